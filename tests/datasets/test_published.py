"""What the published data sets share: splits, few photos, copies, counts, files."""

import logging
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.datasets import published_layouts as layouts

from varireal import paths
from varireal.base.files import read_json, read_mask
from varireal.base.manifest import read_manifest
from varireal.config import DatasetConfig
from varireal.datasets import DATASETS, open_dataset
from varireal.errors import UserError
from varireal.stages.prepare import command

NAMES = ("oxford_pets", "fgvc_aircraft", "stanford_cars", "waterbirds")


def opened(name, root, seed=0, **settings):
    settings = {"complete": False, "train_per_class": None, "val_per_class": None, **settings}
    return open_dataset(DatasetConfig(name=name, domain_word="x", root=str(root), **settings), seed)


def splits_of(name, root, **settings):
    return {photo.image_id: photo.split for photo in opened(name, root, **settings).photos()}


def of(splits, split):
    return {image_id for image_id, its_split in splits.items() if its_split == split}


def refused(name, root, match, **settings):
    with pytest.raises(UserError, match=match) as caught:
        opened(name, root, **settings).photos()
    assert "\n" not in str(caught.value)


@pytest.fixture(params=NAMES)
def mini(request, tmp_path):
    return request.param, getattr(layouts, request.param)(tmp_path)


def test_every_published_photo_is_there_and_loads(mini):
    name, root = mini
    dataset = opened(name, root)
    photos = dataset.photos()
    assert len(photos) == {"fgvc_aircraft": 36, "waterbirds": 24}.get(name, 33)
    assert len({photo.image_id for photo in photos}) == len(photos)
    assert dataset.pictures() == []
    for photo in photos:
        assert photo.image_id.isascii() and ".." not in photo.image_id and photo.image_id.count("/") == 1
    files = photos[0].load()
    assert (files.width, files.height) == (70, 40 if name == "fgvc_aircraft" else 60)
    assert (files.mask is not None) == (name == "oxford_pets") == dataset.has_masks


@pytest.mark.parametrize(("name", "others"), [("fgvc_aircraft", 24), ("waterbirds", 16)])
def test_a_published_val_split_may_join_train_and_val_is_drawn_from_both(name, others, tmp_path):
    root = getattr(layouts, name)(tmp_path)
    published, drawn = splits_of(name, root), splits_of(name, root, val_split="drawn", val_share=0.25)
    assert of(drawn, "test") == of(published, "test")
    assert of(drawn, "train") | of(drawn, "val") == of(published, "train") | of(published, "val")
    assert len(of(drawn, "val")) == others // 4 and len(of(drawn, "train")) == others - others // 4
    assert of(drawn, "train") & of(published, "val") and of(drawn, "val") & of(published, "train")
    smaller = splits_of(name, root, val_split="drawn", val_share=0.25, train_per_class=2)
    assert of(smaller, "train") < of(drawn, "train") and of(smaller, "val") == of(drawn, "val")


def test_val_never_comes_from_test(mini):
    name, root = mini
    seeds = [splits_of(name, root, seed=seed) for seed in range(3)]
    assert of(seeds[0], "test") == of(seeds[1], "test") == of(seeds[2], "test") != set()
    drawn = [of(splits, "val") for splits in seeds]
    if name in ("fgvc_aircraft", "waterbirds"):
        assert drawn[0] == drawn[1] == drawn[2]  # published
    else:
        assert drawn[0] != drawn[1] or drawn[0] != drawn[2]
    assert splits_of(name, root) == seeds[0]


def test_a_smaller_number_of_photos_is_a_part_of_a_larger_one(mini):
    name, root = mini
    by_count = [splits_of(name, root, train_per_class=count, val_per_class=2) for count in (1, 2, 4)]
    classes = len(opened(name, root).classes)
    trains = [of(splits, "train") for splits in by_count]
    assert [len(train) for train in trains] == [classes, 2 * classes, 4 * classes]
    assert trains[0] < trains[1] < trains[2]
    assert of(by_count[0], "val") == of(by_count[2], "val")
    more = splits_of(name, root, train_per_class=2, val_per_class=3)
    assert of(by_count[1], "val") < of(more, "val")
    assert of(more, "train") == trains[1]
    assert of(more, "test") == of(by_count[0], "test")


def test_too_few_train_photos_for_the_number_asked_for_are_told(mini, caplog):
    name, root = mini
    with caplog.at_level(logging.WARNING):
        opened(name, root, train_per_class=50).photos()
    assert "fewer train photos than dataset.train_per_class 50" in caplog.text


def test_val_share_is_of_each_class(tmp_path):
    dataset = opened("oxford_pets", layouts.oxford_pets(tmp_path), val_share=0.3)
    counts = Counter((photo.class_index, photo.split) for photo in dataset.photos())
    # 30 % of 8 is 2.4
    assert counts == {(k, split): n for k in range(3) for split, n in (("train", 6), ("val", 2), ("test", 3))}


def test_a_class_that_validation_uses_up_is_named(tmp_path):
    root = layouts.oxford_pets(tmp_path)
    refused("oxford_pets", root, "class 'Abyssinian' has no train photo left: of 8 published ones 8", val_per_class=8)


def test_a_missing_folder_says_what_to_get_and_where_to_put_it(tmp_path):
    sources = {"oxford_pets": "robots.ox.ac.uk/~vgg/data/pets", "fgvc_aircraft": "fgvc-aircraft-2013b.tar.gz",
               "stanford_cars": "kaggle.com/datasets", "waterbirds": "waterbird_complete95"}  # fmt: skip
    for name, source in sources.items():
        refused(name, tmp_path / "gone", f"gone' does not exist; looked for .*{source}.*unpack into {tmp_path}/gone")
        (tmp_path / name).mkdir()
        refused(name, tmp_path / name, rf"dataset\.root = '.*{name}' lacks .*{source}")


def test_the_published_numbers_are_compared(mini, monkeypatch):
    name, root = mini
    numbers = DATASETS[name].class_count, DATASETS[name].photo_counts
    found = len(opened(name, root).classes)
    wrong = f"{found} classes instead of {numbers[0]}" if found != numbers[0] else "train photos instead of 4795"
    refused(name, root, f"is not the whole of .*{wrong}.*dataset.complete to false", complete=True)
    counts = Counter(split for split in ("train", "val", "test") for _ in range({"fgvc_aircraft": 12}.get(name, 8)))
    if "val" not in numbers[1]:
        counts = {"train": 24, "test": 9}
    monkeypatch.setattr(DATASETS[name], "class_count", found)
    monkeypatch.setattr(DATASETS[name], "photo_counts", dict(counts))
    assert opened(name, root, complete=True).photos()
    monkeypatch.setattr(DATASETS[name], "photo_counts", {**counts, "test": counts["test"] + 1})
    refused(name, root, f"{counts['test']} test photos instead of {counts['test'] + 1}", complete=True)


def test_the_published_numbers_add_up():
    totals = {name: (DATASETS[name].class_count, sum(DATASETS[name].photo_counts.values())) for name in NAMES}
    assert totals == {"oxford_pets": (37, 7349), "fgvc_aircraft": (100, 10000), "stanford_cars": (196, 16185),
                      "waterbirds": (2, 11788)}  # fmt: skip


def first_file(name, root, split):
    return next(Path(photo.source) for photo in opened(name, root).photos() if photo.split == split)


def test_a_missing_photo_is_named(mini):
    name, root = mini
    path = first_file(name, root, "train")
    path.unlink()
    refused(name, root, f"1 of .* files that the annotations of .* list are missing: {path}")


def test_a_link_out_of_the_folder_is_refused(mini, tmp_path_factory):
    name, root = mini
    path, outside = first_file(name, root, "test"), tmp_path_factory.mktemp("outside") / "secret.jpg"
    shutil.move(path, outside)
    path.symlink_to(outside)
    refused(name, root, f"{path.name} .*leads out of")


def test_an_unreadable_photo_is_named(mini):
    name, root = mini
    path = first_file(name, root, "test")
    path.write_bytes(path.read_bytes()[:200])
    (photo,) = (photo for photo in opened(name, root).photos() if photo.source == str(path))
    with pytest.raises(UserError, match=f"{path.name} cannot be read"):
        photo.load()


def test_copies_in_two_splits_are_an_error_naming_both(mini):
    name, root = mini
    train, test = first_file(name, root, "train"), first_file(name, root, "test")
    shutil.copy(test, train)
    refused(name, root, rf"{test} \(.*, test\) is the same file as {train} \(.*, train\);.*on_duplicate to drop")


def test_copies_of_test_photos_are_left_out_of_train_and_told(mini, caplog):
    name, root = mini
    before = splits_of(name, root)
    train, test = first_file(name, root, "train"), first_file(name, root, "test")
    shutil.copy(test, train)
    with caplog.at_level(logging.WARNING):
        photos = opened(name, root, on_duplicate="drop").photos()
    assert str(train) in caplog.text and "left out 1 " in caplog.text
    assert {photo.source for photo in photos}.isdisjoint({str(train)})
    assert {photo.image_id for photo in photos if photo.split == "test"} == of(before, "test")
    assert len(photos) == len(before) - 1


def test_copies_that_contradict_each_other_are_all_left_out(tmp_path):
    root = layouts.oxford_pets(tmp_path)
    shutil.copy(root / "images" / "Abyssinian_7.jpg", root / "images" / "Egyptian_Mau_7.jpg")
    refused("oxford_pets", root, r"Abyssinian_7.jpg \(Abyssinian, train\) is the same file as .*Egyptian_Mau_7.jpg")
    sources = {Path(photo.source).name for photo in opened("oxford_pets", root, on_duplicate="drop").photos()}
    assert len(sources) == 31 and not sources & {"Abyssinian_7.jpg", "Egyptian_Mau_7.jpg"}


def test_copies_of_one_class_count_once(tmp_path):
    root = layouts.oxford_pets(tmp_path)
    shutil.copy(root / "images" / "Abyssinian_7.jpg", root / "images" / "Abyssinian_14.jpg")
    sources = {Path(photo.source).name for photo in opened("oxford_pets", root).photos()}
    assert len(sources) == 32 and len(sources & {"Abyssinian_7.jpg", "Abyssinian_14.jpg"}) == 1


def test_masks_of_ones_own_have_the_photos_names(tmp_path):
    root = layouts.waterbirds(tmp_path / "photos")
    photo = Path(opened("waterbirds", root).photos()[0].source)
    layouts.photo(tmp_path / "masks" / "other" / "1.png", 1)
    refused("waterbirds", root, "no photo has a mask", masks_root=str(tmp_path / "masks"))
    mask = tmp_path / "masks" / photo.parent.name / f"{photo.stem}.png"
    layouts.photo(mask, 1)
    found = {p.source: p.mask_path for p in opened("waterbirds", root, masks_root=str(tmp_path / "masks")).photos()}
    assert found[str(photo)] == mask
    assert sum(path is not None for path in found.values()) == 1


def test_prepare_writes_a_published_data_set_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    root = str(layouts.oxford_pets(tmp_path / "raw", test=2))
    params["dataset"] |= {"name": "oxford_pets", "domain_word": "pet", "root": root, "complete": False}
    params["dataset"] |= {"train_per_class": 2, "val_per_class": 1}
    paths.PARAMS.write_text(yaml.safe_dump(params))
    CliRunner().invoke(command, [], catch_exceptions=False)
    counts = read_json(paths.DATASET_INFO)["counts"]
    assert {split: set(of_class.values()) for split, of_class in counts.items()} == {
        "train": {2}, "val": {1}, "test": {2},
    }  # fmt: skip
    for record in read_manifest(paths.PHOTOS_MANIFEST):
        assert read_mask(Path(record.mask_path)).mean() == 22 / 60
    shutil.rmtree(root)
    result = CliRunner().invoke(command, [])
    assert isinstance(result.exception, UserError)
    assert "raw' does not exist; looked for images, annotations/trimaps" in str(result.exception)
    assert paths.PHOTOS_MANIFEST.is_file()
