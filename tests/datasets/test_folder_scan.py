"""Which files below a folder are photos, of which class and split."""

import os
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varireal.base.file_kinds import register_heif
from varireal.datasets.folder_scan import find_photos
from varireal.errors import UserError


def save(path: Path, number: int = 0, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path, **options)


def fill(root: Path, *folders: str, count: int = 2) -> None:
    for order, folder in enumerate(folders):
        for number in range(count):
            save(root / folder / f"{number}.jpg", 100 * order + number)


def found(root: Path, masks_root: Path | None = None) -> list[tuple[str, str | None, str]]:
    return [(photo.class_name, photo.split, photo.relative.as_posix()) for photo in find_photos(root, masks_root)]


def classes(root: Path, masks_root: Path | None = None) -> list[str]:
    return sorted({name for name, _, _ in found(root, masks_root)})


def refused(root: Path, match: str, masks_root: Path | None = None) -> None:
    with pytest.raises(UserError, match=match) as caught:
        find_photos(root, masks_root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "cat/#recycle/old.jpg", "#recycle/cat/old.jpg", "@eaDir/x.jpg",
        "cat/.thumbnails/1.jpg", "__MACOSX/cat/._1.jpg", "$RECYCLE.BIN/S-1-5/x.jpg", ".Trash-1000/files/x.jpg",
        "lost+found/x.jpg", "cat/.AppleDouble/1.jpg", "cat/.ipynb_checkpoints/1-checkpoint.jpg", "cat/._1.jpg",
    ],
)  # fmt: skip
def test_rests_of_systems_are_passed_over_and_counted_in_one_line(tmp_path, caplog, rest):
    fill(tmp_path, "cat", "dog")
    save(tmp_path / rest, 9)
    assert Counter(name for name, _, _ in found(tmp_path)) == {"cat": 2, "dog": 2}
    assert [record.getMessage().count("passed over 1 hidden files") for record in caplog.records] == [1]


def test_rests_are_counted_with_all_that_is_in_them(tmp_path, caplog):
    fill(tmp_path, "cat", "dog")
    fill(tmp_path / "cat" / "@eaDir", "0.jpg", "1.jpg")
    (tmp_path / "dog" / "Thumbs.db").write_bytes(b"\xd0\xcf")
    assert len(found(tmp_path)) == 4
    assert "passed over 5 hidden files" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Val", "Test"), ("training_set", "validation", "test_set"), ("TRAIN", "dev", "TEST"),
        ("train2017", "val2", "test-1"), ("train", "valid", "testing"),
    ],
)  # fmt: skip
def test_splits_are_splits_in_any_spelling(tmp_path, names):
    for name, count in zip(names, (3, 2, 1)):
        fill(tmp_path, f"{name}/cat", f"{name}/dog", count=count)
    assert Counter((name, split) for name, split, _ in found(tmp_path)) == {
        ("cat", "train"): 3, ("cat", "val"): 2, ("cat", "test"): 1,
        ("dog", "train"): 3, ("dog", "val"): 2, ("dog", "test"): 1,
    }  # fmt: skip


def test_a_photo_keeps_its_name_whatever_its_split_is_called(tmp_path):
    fill(tmp_path, "Training/cat", "Testing/cat", count=1)
    assert [photo.name for photo in find_photos(tmp_path)] == ["test/0.jpg", "train/0.jpg"]


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("Train/cat", "dog"), "split folders Train beside dog"),
        (("train/cat", "test/cat", "val1/cat", "val2/cat"), "two folders for val, val1 and val2"),
        (("Training/cat", "Validation/cat"), r"split folders but no test \(only Training, Validation\)"),
        (("train/train/cat", "test/test/cat"), "train/train' is a split by its name"),
        (("pets/train/cat", "pets/test/cat"), "pets/test holds a split by its name"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "cat/test holds a split by its name"),
        (("pets/cat", "pets/dog"), r"pets is the only class, .* set dataset.root to"),
        (("train/pets/cat", "test/pets/cat"), "pets is the only class"),
        (("train/images", "test/images"), "images is the only class"),
        (("cat", "dog", "masks/cat", "masks/dog"), "masks' holds masks or copies"),
        (("cat", "dog", "masks"), "masks' holds masks"),
        (("cat", "dog", "outlines/cat", "outlines/dog"), "outlines' holds masks or copies of the other classes"),
        (("cat", "dog", "cat/masks"), "cat/masks holds masks by its name"),
        (("seg_train/cat", "seg_test/cat"), "holds seg_test and seg_train, by their names the test and the train part"),
        (("trainA/cat", "trainB/cat", "testA/cat"), "holds testA and trainA, "),
        (("coco_train2014/cat", "coco_val2017/cat"), "the train and the val part of the same; put one folder a class"),
        (("cat_train", "cat_test", "dog_train", "dog_test"), "holds cat_test and cat_train"),
        (("train_v2/cat", "valid_v2/cat"), "holds train_v2 and valid_v2"),
        (("Cat", "cat"), "class folders .*Cat and .*cat differ in case alone; rename one, or merge them"),
        (("train/Cat", "train/dog", "test/cat", "test/dog"), "train/Cat and .*test/cat differ in case alone"),
        (("cat", "dog", "pictures/background/barn", "pictures/texture/fur"), "pictures' holds pictures of places"),
    ],
)
def test_folders_that_are_no_classes_are_refused_by_name(tmp_path, folders, said):
    fill(tmp_path, *folders)
    refused(tmp_path, said)


def test_classes_that_have_a_splits_word_in_their_names_are_classes(tmp_path):
    fill(tmp_path, "train station", "bullet train", "test tube", "validation stamp")
    assert classes(tmp_path) == ["bullet train", "test tube", "train station", "validation stamp"]


def test_a_pipe_is_passed_over_and_not_waited_for(tmp_path, caplog):
    fill(tmp_path, "cat", "dog")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    assert len(found(tmp_path)) == 4
    assert "1 .jpg (the first: " in caplog.text


def test_a_folder_that_may_not_be_read_is_named_with_the_remedy(tmp_path, monkeypatch):
    fill(tmp_path, "cat", "dog")
    looking = Path.iterdir

    def locked(path):  # whoever runs as root may read everything
        if path.name == "dog":
            raise PermissionError(13, "Permission denied")
        return looking(path)

    monkeypatch.setattr(Path, "iterdir", locked)
    refused(tmp_path, r"the folder .*dog may not be read; allow it \(chmod u\+rx\)")


def test_a_link_to_a_folder_elsewhere_says_that_it_is_one(tmp_path):
    fill(tmp_path, "photos/cat", "dog")
    (tmp_path / "photos" / "dog").symlink_to(tmp_path / "dog")
    refused(tmp_path / "photos", "photos/dog leads out of .*; copy the folder in, or remove the link")


def test_a_folder_of_masks_below_the_root_is_no_class(tmp_path, caplog):
    fill(tmp_path, "cat", "dog", "masks/cat", "masks/dog")
    assert classes(tmp_path, tmp_path / "masks") == ["cat", "dog"]
    assert not caplog.records
    refused(tmp_path, "masks_root is dataset.root", tmp_path)


def test_a_mask_beside_its_photo_is_refused(tmp_path):
    fill(tmp_path, "cat", "dog")
    save(tmp_path / "cat" / "1_mask.png")
    refused(tmp_path, r"cat/1_mask\.png is the mask of a photo beside it")


def test_a_photo_that_is_called_mask_is_a_photo(tmp_path):
    fill(tmp_path, "cat", "dog")
    save(tmp_path / "cat" / "gas_mask.png")
    assert len(found(tmp_path)) == 5


def test_classes_whose_photos_all_lie_deeper_are_told(tmp_path, caplog):
    fill(tmp_path, "cats/bengal", "dogs/beagle")
    assert classes(tmp_path) == ["cats", "dogs"]
    assert "no photo lies right in its class folder" in caplog.text


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("jfif", "JPEG"), ("jpe", "JPEG"), ("avif", "AVIF"), ("JPG", "JPEG"), ("ppm", "PPM"), ("jp2", "JPEG2000"),
     ("apng", "PNG"), ("tga", "TGA")],
)  # fmt: skip
def test_every_suffix_that_pillow_opens_is_a_photo(tmp_path, caplog, suffix, kind):
    fill(tmp_path, "cat", "dog")
    save(tmp_path / "cat" / f"more.{suffix}", 7, format=kind)
    assert len(found(tmp_path)) == 5
    assert not caplog.records


@pytest.mark.skipif(register_heif(), reason="pillow-heif is installed, so HEIC is read")
def test_heic_is_named_with_what_reads_it(tmp_path, caplog):
    fill(tmp_path, "cat", "dog")
    for number in range(3):
        (tmp_path / "cat" / f"{number}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "dog" / "notes.txt").write_text("x")
    (tmp_path / "dog" / "IMG_0001").write_bytes(b"x")
    assert len(found(tmp_path)) == 4
    (record,) = caplog.records
    assert "3 .heic, 1 .txt, 1 without suffix" in record.getMessage() or "3 .heic, 1 without" in record.getMessage()
    assert "pip install pillow-heif" in record.getMessage()


@pytest.mark.skipif(register_heif(), reason="pillow-heif is installed, so HEIC is read")
def test_a_class_of_unreadable_kinds_alone_says_what_is_there(tmp_path):
    fill(tmp_path, "dog")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.heic").write_bytes(b"x")
    refused(tmp_path, r"cat holds no photo that can be read here, only 1 \.heic; .*pip install pillow-heif")


def test_classes_are_the_same_class_however_their_letters_are_composed(tmp_path):
    train, test = (unicodedata.normalize(form, "Épagneul") for form in ("NFC", "NFD"))
    fill(tmp_path, f"train/{train}", f"test/{test}", "train/cat", "test/cat")
    assert classes(tmp_path) == ["cat", unicodedata.normalize("NFC", "Épagneul")]


def test_two_photos_whose_names_look_the_same_are_refused(tmp_path):
    fill(tmp_path, "cat", "dog")
    for form in ("NFC", "NFD"):
        save(tmp_path / "cat" / unicodedata.normalize(form, "höhle.jpg"))
    refused(tmp_path, "two photos are called .*höhle.jpg")


def test_a_class_whose_name_is_no_utf8_is_refused(tmp_path):
    fill(tmp_path, "cat", "dog", os.fsdecode(b"caf\xe9"))
    refused(tmp_path, "no UTF-8; rename it")
