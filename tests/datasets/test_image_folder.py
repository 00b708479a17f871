import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varireal.config import DatasetConfig
from varireal.datasets import open_dataset
from varireal.errors import UserError


def picture(number: int) -> Image.Image:
    """A different picture for each number."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8))


def fill(folder: Path, names, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, start):
        picture(number).save(folder / name)


@pytest.fixture
def root(tmp_path):
    """Two classes of twenty and ten photos."""
    fill(tmp_path / "photos" / "tabby_cat", [f"{n}.jpg" for n in range(20)])
    fill(tmp_path / "photos" / "husky", [f"{n}.png" for n in range(10)], start=100)
    return tmp_path / "photos"


def opened(root, seed=0, **settings):
    return open_dataset(DatasetConfig(name="image_folder", domain_word="pet", root=str(root), **settings), seed)


def splits_of(root, **settings):
    return {photo.source: photo.split for photo in opened(root, **settings).photos()}


def test_classes_are_folders_in_order_with_underscores_as_spaces(root):
    dataset = opened(root)
    assert list(dataset.classes) == ["husky", "tabby cat"]
    assert {photo.image_id for photo in dataset.photos()} == {
        *(f"husky/{n}" for n in range(10)),
        *(f"tabby-cat/{n}" for n in range(20)),
    }
    assert dataset.pictures() == []


def test_each_class_is_split_by_the_shares(root):
    photos = opened(root, val_share=0.1, test_share=0.25).photos()
    counts = Counter((photo.class_index, photo.split) for photo in photos)
    # 25 % of 10 is 2.5, rounded half up
    assert counts == {
        (0, "test"): 3, (0, "val"): 1, (0, "train"): 6, (1, "test"): 5, (1, "val"): 2, (1, "train"): 13,
    }  # fmt: skip


def test_splits_depend_on_names_and_seed_only(root, tmp_path):
    first = splits_of(root)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(root, elsewhere)
    moved = splits_of(elsewhere)
    assert {Path(path).relative_to(elsewhere): split for path, split in moved.items()} == {
        Path(path).relative_to(root): split for path, split in first.items()
    }
    assert splits_of(root, seed=1) != first


def test_a_new_photo_moves_hardly_any_other(root):
    before = splits_of(root)
    picture(500).save(root / "tabby_cat" / "new.jpg")
    after = splits_of(root)
    assert sum(after[path] != split for path, split in before.items()) <= 2


def test_given_splits_are_kept(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        for order, name in enumerate(("a", "b")):
            fill(tmp_path / split / name, ["1.jpg", "2.jpg"], start=10 * number + 100 * order)
    photos = opened(tmp_path).photos()
    assert Counter(photo.split for photo in photos) == {"train": 4, "val": 4, "test": 4}
    assert "a/train-1" in {photo.image_id for photo in photos}
    for photo in photos:
        assert Path(photo.source).relative_to(tmp_path).parts[0] == photo.split


def test_a_missing_val_folder_is_made_up_for(tmp_path):
    fill(tmp_path / "train" / "a", [f"{n}.jpg" for n in range(10)])
    fill(tmp_path / "test" / "a", ["1.jpg"], start=50)
    splits = splits_of(tmp_path, val_share=0.2)
    assert Counter(splits.values()) == {"train": 8, "val": 2, "test": 1}
    assert splits[str(tmp_path / "test" / "a" / "1.jpg")] == "test"


def test_names_of_every_kind_are_safe_and_distinct(tmp_path):
    names = ["grün weiß.jpg", "三毛.jpg", "柴犬.jpg", "A b.jpg", "a-b.jpg", "a-b.png", "IMG.JPG", "img.jpg", "..x.jpg"]
    fill(tmp_path / "Café au lait", [name for name in names if not name.startswith(".")])
    (tmp_path / "Café au lait" / "sub").mkdir()
    picture(77).save(tmp_path / "Café au lait" / "sub" / "a-b.jpg")
    photos = opened(tmp_path, val_share=0.1, test_share=0.1).photos()
    ids = [photo.image_id for photo in photos]
    assert len(set(ids)) == 9  # a hidden file is passed over
    assert all(part.isascii() and not part.startswith(".") for image_id in ids for part in image_id.split("/"))
    assert all(image_id.startswith("cafe-au-lait/") for image_id in ids)
    assert all(Path(photo.source).is_file() for photo in photos)


def test_masks_are_found_by_relative_name(root, tmp_path):
    masks = tmp_path / "masks" / "husky"
    masks.mkdir(parents=True)
    mask = np.zeros((40, 50), np.uint8)
    mask[:10] = 255
    Image.fromarray(mask).save(masks / "3.png")
    dataset = opened(root, masks_root=str(tmp_path / "masks"))
    assert dataset.has_masks
    found = {photo.image_id: photo.load().mask for photo in dataset.photos()}
    assert [image_id for image_id, data in found.items() if data is not None] == ["husky/3"]


def test_masks_that_belong_to_no_photo_are_an_error(root, tmp_path):
    fill(tmp_path / "masks" / "other", ["1.png"])
    with pytest.raises(UserError, match=r"no photo has a mask .* expected for example .*husky/0\.png"):
        opened(root, masks_root=str(tmp_path / "masks"))


def test_two_masks_of_one_photo_are_an_error(root, tmp_path):
    fill(tmp_path / "masks" / "husky", ["1.png", "1.bmp"])
    with pytest.raises(UserError, match="belong to the same photo"):
        opened(root, masks_root=str(tmp_path / "masks"))


def refused(root, match, **settings):
    with pytest.raises(UserError, match=match) as caught:
        opened(root, **settings).photos()
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    refused(tmp_path / "nowhere", "dataset.root = '.*nowhere' is no folder")
    fill(tmp_path / "photos" / "a", ["1.jpg"])
    refused(tmp_path / "photos", "dataset.masks_root = 'gone' is no folder", masks_root="gone")


def test_a_class_without_a_train_photo_is_named(root):
    fill(root / "lonely", ["1.jpg"], start=900)
    refused(root, "class 'lonely' .* has no train photo")


def test_a_class_that_test_lacks_is_named_early(tmp_path):
    fill(tmp_path / "train" / "a", ["1.jpg", "2.jpg"])
    fill(tmp_path / "train" / "b", ["3.jpg", "4.jpg"], start=2)
    fill(tmp_path / "test" / "a", ["5.jpg"], start=4)
    refused(tmp_path, "class 'b' .* has no test photo, .* move some of its photos there")


def test_no_share_is_blamed_for_a_class_that_train_lacks(tmp_path):
    fill(tmp_path / "train" / "a", ["1.jpg", "4.jpg"], start=3)
    fill(tmp_path / "test" / "a", ["2.jpg"], start=1)
    fill(tmp_path / "test" / "b", ["3.jpg"], start=2)
    refused(tmp_path, r"class 'b' .* has no train photo \(1 photos in all\); add photos, or remove the class$")


def test_an_error_page_that_was_saved_for_several_photos_is_no_photo_twice(root):
    for folder in ("husky", "tabby_cat"):
        (root / folder / "lost.jpg").write_text("<html>404 not found")
    assert len(opened(root).photos()) == 32  # loading them says what they are


def test_a_class_only_in_test_is_named(tmp_path):
    fill(tmp_path / "train" / "a", ["1.jpg", "2.jpg"])
    fill(tmp_path / "test" / "a", ["3.jpg"], start=10)
    fill(tmp_path / "test" / "b", ["4.jpg"], start=20)
    refused(tmp_path, "class 'b' .* has no train photo")


def test_an_empty_class_folder_is_named(root):
    (root / "empty").mkdir()
    refused(root, "class folder .*empty holds no photo")


def test_a_folder_without_classes_is_named(tmp_path):
    refused(tmp_path, "holds no class folder")


def test_a_photo_outside_the_classes_is_named(root):
    picture(1).save(root / "stray.jpg")
    refused(root, r"stray\.jpg lies in no class folder")


def test_splits_beside_classes_are_an_error(root):
    fill(root / "train" / "a", ["1.jpg"])
    refused(root, "split folders train beside husky, tabby_cat")


def test_split_folders_need_train_and_test(tmp_path):
    fill(tmp_path / "train" / "a", ["1.jpg"])
    refused(tmp_path, "split folders but no test")


def test_folders_that_give_one_class_name_are_an_error(root):
    fill(root / "tabby cat", ["1.jpg"], start=300)
    refused(root, "two folders .* give the class name 'tabby cat'")


def test_a_class_name_with_control_characters_is_refused(root):
    fill(root / "evil\nprompt", ["1.jpg"], start=300)
    refused(root, r"evil\\nprompt' gives a name that has the control character U\+000A")


def test_a_link_out_of_the_root_is_refused(root, tmp_path):
    picture(1).save(tmp_path / "secret.jpg")
    (root / "husky" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    refused(root, r"link\.jpg leads out of")


def test_a_linked_mask_outside_is_refused(root, tmp_path):
    fill(tmp_path / "masks" / "husky", ["1.png"])
    picture(1).save(tmp_path / "secret.png")
    (tmp_path / "masks" / "husky" / "2.png").symlink_to(tmp_path / "secret.png")
    refused(root, r"2\.png leads out of", masks_root=str(tmp_path / "masks"))


def test_a_broken_link_and_a_linked_folder_are_refused(root):
    link = root / "husky" / "link.jpg"
    link.symlink_to(root / "gone.jpg")
    refused(root, r"link\.jpg leads nowhere")
    link.unlink()
    (root / "husky" / "loop").symlink_to(root)
    refused(root, "loop is a symbolic link to a folder")


def test_a_link_inside_the_root_is_a_photo(root):
    (root / "husky" / "9.png").unlink()
    (root / "husky" / "again.png").symlink_to(root / "husky" / "8.png")
    photos = {photo.image_id: photo.split for photo in opened(root, val_share=0, test_share=0).photos()}
    assert photos["husky/again"] == "train"


def test_one_file_in_two_splits_is_an_error_naming_both(tmp_path):
    fill(tmp_path / "train" / "a", ["1.jpg", "2.jpg"])
    fill(tmp_path / "test" / "a", ["x.jpg"], start=1)
    refused(tmp_path, r"test/a/x\.jpg \(a, test\) is the same file as .*train/a/2\.jpg \(a, train\);", val_share=0)


def test_one_file_in_two_classes_is_an_error_naming_both(root):
    shutil.copy(root / "husky" / "1.png", root / "tabby_cat" / "copy.png")
    refused(root, r"husky/1\.png .* same file as .*tabby_cat/copy\.png", val_share=0, test_share=0)


def test_a_copy_within_a_class_and_split_is_let_be(root):
    shutil.copy(root / "husky" / "1.png", root / "husky" / "copy.png")
    assert len(opened(root, val_share=0, test_share=0).photos()) == 31


def test_other_files_are_left_out_with_a_warning(root, caplog):
    (root / "husky" / "notes.txt").write_text("x")
    (root / "husky" / ".DS_Store").write_text("x")
    assert len(opened(root).photos()) == 30
    assert "notes.txt" in caplog.text and "more" not in caplog.text


@pytest.mark.skipif("VARIREAL_REALDATA" not in os.environ, reason="VARIREAL_REALDATA names no folder of real photos")
def test_real_photos_of_pets():
    folder = Path(os.environ["VARIREAL_REALDATA"]) / "pets"
    dataset = opened(folder / "images", masks_root=str(folder / "masks"))
    photos = dataset.photos()
    assert len(dataset.classes) == 25
    assert {photo.split for photo in photos if photo.class_index == 0} == {"train", "val", "test"}
    assert photos[0].load().mask is not None
