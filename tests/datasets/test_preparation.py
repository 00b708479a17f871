import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varireal.base.files import sha256_file, staged_folder
from varireal.config import DatasetConfig
from varireal.datasets import open_dataset
from varireal.datasets.preparation import write_photos, write_pictures
from varireal.errors import UserError


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def rendered():
    config = DatasetConfig(
        name="rendered_aircraft", domain_word="aircraft", size=32, train_per_class=1, val_per_class=1, test_per_class=1,
        pictures_per_place=1, pictures_per_material=1,
    )  # fmt: skip
    return open_dataset(config, 0)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for order, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(8):
            rng = np.random.default_rng(100 * order + number)
            Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(root / name / f"{number}.jpg")
    return root


def opened(root, **settings):
    return open_dataset(DatasetConfig(name="image_folder", domain_word="pet", root=str(root), **settings), 0)


def test_the_number_of_workers_changes_nothing(photos, tmp_path):
    (photos / "cat" / "3.jpg").write_bytes(b"broken")
    written = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        prepared = write_photos(opened(photos), folder, Path("data/prepared"), "skip", workers)
        written[workers] = (prepared, files_below(folder))
    assert written[1] == written[2]
    assert len(written[1][1]) == 15


def test_pictures_are_files_by_attribute_and_name(rendered, tmp_path):
    assert write_pictures(rendered, tmp_path, 1) == 26
    assert {"pictures/background/under water/000.png", "pictures/texture/brick/000.png"} <= set(files_below(tmp_path))


def test_records_describe_the_files(rendered, tmp_path):
    prepared = write_photos(rendered, tmp_path, Path("data/prepared"), "error", 1)
    assert prepared.counts(["biplane"]) == {"train": {"biplane": 1}, "val": {"biplane": 1}, "test": {"biplane": 1}}
    record = next(record for record in prepared.records if record.image_id == "biplane/train-0000")
    assert record.path == "data/prepared/photos/biplane/train-0000.png"
    assert record.mask_path == "data/prepared/masks/biplane/train-0000.png"
    assert record.sha256 == sha256_file(tmp_path / "photos/biplane/train-0000.png")
    assert (record.class_name, record.width, record.height, record.status) == ("biplane", 32, 32, "ok")


def test_a_photo_without_a_mask_has_no_mask_path(photos, tmp_path):
    prepared = write_photos(opened(photos), tmp_path / "out", Path("p"), "error", 1)
    assert {record.mask_path for record in prepared.records} == {None}


def turned(root, masks, orientation):
    """Give all photos an EXIF orientation, and masks of the stored pixels' size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in sorted(root.rglob("*.jpg")):
        Image.open(path).save(path, exif=exif)
        mask = masks / path.relative_to(root).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((40, 50), np.uint8)
        pixels[:10, :20] = 255
        Image.fromarray(pixels).save(mask)


def test_masks_of_stored_pixels_are_turned_with_their_photos(photos, tmp_path, caplog):
    turned(photos, tmp_path / "masks", 6)
    dataset = opened(photos, masks_root=str(tmp_path / "masks"))
    prepared = write_photos(dataset, tmp_path / "out", Path("p"), "error", 2)
    stored = np.asarray(Image.open(tmp_path / "out" / str(prepared.records[0].mask_path).removeprefix("p/")))
    expected = np.zeros((50, 40), np.uint8)
    expected[:20, 30:] = 255  # a quarter turn to the right takes the top left corner to the top right
    assert np.array_equal(stored, expected)
    assert not caplog.records


def test_masks_that_may_lie_either_way_are_told_in_one_line(photos, tmp_path, caplog):
    turned(photos, tmp_path / "masks", 3)
    write_photos(opened(photos, masks_root=str(tmp_path / "masks")), tmp_path / "out", Path("p"), "error", 2)
    (record,) = caplog.records
    assert record.getMessage().startswith("16 photos are turned by their EXIF orientation")


def test_films_and_files_of_several_pages_are_told_in_one_line(photos, tmp_path, caplog):
    one, other = (Image.open(photos / "cat" / f"{number}.jpg") for number in (0, 1))
    one.save(photos / "cat" / "film.gif", save_all=True, append_images=[other])
    one.save(photos / "dog" / "pages.tif", save_all=True, append_images=[other])
    one.save(photos / "dog" / "preview.tif", save_all=True, append_images=[other.resize((10, 8))])
    prepared = write_photos(opened(photos), tmp_path / "out", Path("p"), "error", 1)
    assert len(prepared.records) == 19
    (record,) = caplog.records
    assert "2 files hold several pages or frames, of which the first is taken (the first file: " in record.getMessage()
    assert "film.gif" in record.getMessage()


def test_label_masks_are_read_by_the_numbers_that_are_named(photos, tmp_path):
    for path in photos.rglob("*.jpg"):
        mask = tmp_path / "masks" / path.relative_to(photos).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(np.array([[0, 1], [2, 3]], np.uint16), 25, axis=1).repeat(20, axis=0)).save(mask)
    dataset = opened(photos, masks_root=str(tmp_path / "masks"), mask_labels=[1, 3])
    prepared = write_photos(dataset, tmp_path / "out", Path("p"), "error", 1)
    stored = np.asarray(Image.open(tmp_path / "out" / str(prepared.records[0].mask_path).removeprefix("p/")))
    assert (stored[:, 25:] == 255).all()
    assert (stored[:, :25] == 0).all()


@pytest.mark.parametrize("broken", [False, True])
def test_a_photo_whose_name_is_no_utf8_is_left_out_on_request_and_recorded(photos, tmp_path, broken):
    path = photos / "cat" / os.fsdecode(b"caf\xe9.jpg")
    data = (photos / "cat" / "1.jpg").read_bytes()
    path.write_bytes(data[:300] if broken else data[:-2] + b"\xff\xd9\0")
    with pytest.raises(UserError, match=r"cat/caf\\udce9\.jpg has a name that is no UTF-8; rename it"):
        write_photos(opened(photos), tmp_path / "out", Path("p"), "error", 1)
    prepared = write_photos(opened(photos), tmp_path / "out", Path("p"), "skip", 1)
    assert len(prepared.records) == 16
    assert [name.encode().endswith(rb"caf\udce9.jpg") for name in prepared.skipped] == [True]


def spoil(path):
    path.write_bytes(path.read_bytes()[:300])


def test_unusable_photos_stop_the_work_and_all_are_named(photos, tmp_path):
    spoil(photos / "cat" / "1.jpg")
    spoil(photos / "dog" / "2.jpg")
    with pytest.raises(UserError) as caught:
        write_photos(opened(photos), tmp_path / "out", Path("p"), "error", 1)
    assert "cat/1.jpg" in str(caught.value) and "dog/2.jpg" in str(caught.value)


def test_unusable_photos_are_left_out_on_request(photos, tmp_path, caplog):
    before = {photo.image_id: photo.split for photo in opened(photos).photos()}
    spoil(photos / "cat" / "1.jpg")
    with caplog.at_level(logging.WARNING):
        prepared = write_photos(opened(photos), tmp_path / "out", Path("p"), "skip", 1)
    assert {record.image_id: record.split for record in prepared.records} == {
        image_id: split for image_id, split in before.items() if image_id != "cat/1"
    }
    assert list(prepared.skipped) == [str(photos / "cat" / "1.jpg")]
    assert "cat/1.jpg" in caplog.text


def test_a_class_whose_train_photos_are_all_unusable_is_an_error(photos, tmp_path):
    for number in range(8):
        (photos / "dog" / f"{number}.jpg").write_bytes(b"%d" % number)
    with pytest.raises(UserError, match="class 'dog' has no train photo left, after 8 photos were left out"):
        write_photos(opened(photos), tmp_path / "out", Path("p"), "skip", 1)


def test_a_full_disk_leaves_nothing_half_written(rendered, tmp_path, monkeypatch):
    final = tmp_path / "data" / "prepared"
    final.mkdir(parents=True)
    (final / "old").write_text("from an earlier run")
    write_bytes, written = Path.write_bytes, []

    def full_after_five(path, data):
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full_after_five)
    with pytest.raises(UserError, match="the disk is full"), staged_folder(final) as folder:
        write_photos(rendered, folder, final, "error", 1)
    assert len(written) == 5
    assert files_below(tmp_path / "data") == {"prepared/old": b"from an earlier run"}
