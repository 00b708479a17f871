from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varireal.base.files import (
    atomic_write_bytes,
    encode_png,
    json_bytes,
    read_image,
    read_json,
    read_mapping,
    read_mask,
    read_yaml,
    sha256_file,
    sha256_folder,
    staged_folder,
    write_json,
)
from varireal.base.seeding import generator
from varireal.datasets.mask_files import read_raw_mask
from varireal.errors import UserError


@pytest.fixture
def full_disk(monkeypatch):
    """Make the system's fsync report a full disk, after the bytes were handed over."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_write_makes_folders_replaces_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b.txt"
    atomic_write_bytes(path, b"old")
    atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_whole_and_no_rest(tmp_path, full_disk):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: the disk is full; free some space"):
        atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_really_full_device_is_named():
    from varireal.base.files import named_os_errors

    with (
        pytest.raises(UserError, match="the disk is full"),
        named_os_errors(Path("x")),
        Path("/dev/full").open("wb") as file,
    ):
        file.write(b"x" * 100_000)


def test_other_failures_are_not_disguised(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        atomic_write_bytes(tmp_path / "file" / "below", b"")


def test_a_staged_folder_replaces_the_old_one_only_when_it_succeeds(tmp_path):
    final = tmp_path / "out"
    for content in ("first", "second"):
        with staged_folder(final) as staging:
            (staging / content).write_text(content)
            assert not (final / content).exists()
    assert [path.name for path in final.iterdir()] == ["second"]
    with pytest.raises(ZeroDivisionError), staged_folder(final) as staging:
        (staging / "third").write_text("")
        raise ZeroDivisionError
    assert [path.name for path in final.iterdir()] == ["second"] and list(tmp_path.iterdir()) == [final]


def test_of_runs_that_replace_a_folder_at_the_same_time_one_leaves_its_whole_folder(tmp_path):
    final, start = tmp_path / "out", threading.Barrier(6)

    def write(number: int) -> None:
        for _ in range(20):
            with staged_folder(final) as staging:
                for name in "abc":
                    (staging / name).write_text(str(number))
                start.wait(timeout=60)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(write, number) for number in range(6)]:
            done.result()
    assert len({path.read_text() for path in final.iterdir()}) == 1 and len(list(final.iterdir())) == 3
    assert list(tmp_path.iterdir()) == [final]


def test_a_full_disk_inside_a_staged_folder_leaves_the_old_one(tmp_path):
    final = tmp_path / "out"
    final.mkdir()
    with pytest.raises(UserError, match="the disk is full"), staged_folder(final):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == [final]


def test_json_is_sorted_comes_back_and_refuses_not_a_number(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"ü": True}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert (tmp_path / "x.json").read_text().index('"a"') < (tmp_path / "x.json").read_text().index('"b"')
    with pytest.raises(ValueError):
        json_bytes(float("nan"))


def test_missing_and_broken_json_are_users_errors(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "x.json")


def test_yaml_refuses_a_key_that_stands_twice_but_lets_a_merged_one_be_replaced(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a {k: 1}\nb: {<<: *a, k: 2}\nc: no\n")
    assert read_yaml(path) == {"a": {"k": 1}, "b": {"k": 2}, "c": False}
    path.write_text("a:\n  k: 1\n  other: [1]\n  k: 2\n")
    with pytest.raises(
        UserError, match=r"x\.yaml is not valid YAML: the key 'k' stands twice in one place \(line 4\)$"
    ):
        read_yaml(path)


def test_a_number_without_a_point_is_read_without_a_warning(tmp_path):
    (tmp_path / "x.yaml").write_text("rate: 1e-08\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_yaml(tmp_path / "x.yaml") == {"rate": 1e-08}


@pytest.mark.parametrize(
    "content", ["[" * 200_000, "{a: " * 200_000, "a: 2020-99-01", "\t- a", "a: *b", "%YAML 9.9\n---\na"]
)
def test_broken_yaml_is_one_line(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(UserError, match=r"not valid YAML: .+") as caught:
        read_yaml(tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)


def test_hashes_follow_names_and_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    assert sha256_file(tmp_path / "a" / "x") == hashlib.sha256(b"1").hexdigest()
    first = sha256_folder(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = sha256_folder(tmp_path)
    (tmp_path / "a" / "y").write_bytes(b"2")
    assert len({first, second, sha256_folder(tmp_path)}) == 3
    for folder in (tmp_path / "none", tmp_path / "a" / "y"):
        with pytest.raises(UserError, match="does not exist or is empty"):
            sha256_folder(folder)


def test_png_keeps_every_pixel_and_is_the_same_every_time(tmp_path):
    pixels = generator("png").integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert encode_png(pixels) == encode_png(pixels.copy())
    (tmp_path / "x.png").write_bytes(encode_png(pixels))
    assert np.array_equal(read_image(tmp_path / "x.png"), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.tiff" if mode == "CMYK" else "x.png")
    Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode).save(path)
    found = read_image(path)
    assert found.shape == (4, 5, 3) and found.dtype == np.uint8 and (found == 255).all()


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path):
    Image.fromarray(np.full((2, 3), 32768, np.uint16)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 128).all()


def test_transparent_pixels_lie_over_white(tmp_path):
    Image.new("RGBA", (2, 2), (200, 0, 0, 0)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png") == 255).all()


def test_exif_rotation_is_applied(tmp_path):
    picture = Image.new("RGB", (6, 3))
    exif = picture.getexif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    picture.save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").shape == (6, 3, 3)


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(generator("cut").integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:500])
    (tmp_path / "text.png").write_bytes(b"no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.jpg", "text.png", "empty.png"):
        with pytest.raises(UserError, match=rf"{name} cannot be read"):
            read_image(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Pillow knows: it is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "pointer of Git LFS, git lfs pull gets",
        ),
        (b"\n<!DOCTYPE html><title>404", "Pillow knows: it is a web page"),
        (b"abc", r"Pillow knows\);"),
    ],
)
def test_what_stands_in_a_pictures_place_is_told(tmp_path, content, said):
    (tmp_path / "1.jpg").write_bytes(content)
    with pytest.raises(UserError, match=f"1.jpg cannot be read .*{said}"):
        read_image(tmp_path / "1.jpg")


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("1.dds", lambda data: data[:80] + bytes(4) + data[84:]),  # the flags of the pixels' format
        ("1.im", lambda data: data.replace(b"RGB image", b"RGB ima4e")),
        ("1.avif", lambda data: data.replace(b"iloc", b"ilXc")),
        ("1.tif", lambda data: data[:4] + b"\xff\xff\xff\x7f" + data[8:]),
    ],
)
def test_damage_of_every_format_is_named(tmp_path, name, spoil):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / name).write_bytes(spoil((tmp_path / name).read_bytes()))
    for read in (read_image, read_raw_mask):
        with pytest.raises(UserError, match=rf"{name} cannot be read"):
            read(tmp_path / name)


def test_masks_are_true_above_the_middle_grey(tmp_path):
    (tmp_path / "m.png").write_bytes(encode_png(np.array([[0, 127, 128, 255]], np.uint8)))
    assert read_mask(tmp_path / "m.png").tolist() == [[False, False, True, True]]


CONFLICT = '{"a": 1,\n<<<<<<< HEAD\n"b": 1\n=======\n"b": 2\n>>>>>>> feature\n}\n'


@pytest.mark.parametrize("read", [read_json, read_yaml, read_mapping])
def test_a_merge_with_conflicts_is_told_with_its_line_and_remedy(tmp_path, read):
    (tmp_path / "prompts.json").write_text(CONFLICT)
    with pytest.raises(
        UserError, match=r"prompts\.json holds conflict markers of a merge \(line 2\); .*--theirs"
    ) as caught:
        read(tmp_path / "prompts.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"), [("[1]", "holds no object"), ("null", "holds no object"), ('{"a": 1}', "lacks classes, name")]
)
def test_a_file_of_another_shape_is_one_line(tmp_path, content, said):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=rf"dataset\.json has another shape than expected \(it {said}\); make it anew"):
        read_mapping(tmp_path / "dataset.json", "a", "classes", "name")


def test_the_remedy_is_that_of_a_file_which_no_stage_makes(tmp_path):
    for content, said in (("[]", "holds no object"), ("version https://git-lfs", "is not valid JSON")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=rf"config\.json .*{said}.*; get it again$"):
            read_mapping(tmp_path / "config.json", remedy="get it again")


def test_a_file_of_the_expected_shape_is_read(tmp_path):
    (tmp_path / "dataset.json").write_text('{"a": 1, "b": 2}')
    assert read_mapping(tmp_path / "dataset.json", "a") == {"a": 1, "b": 2}
