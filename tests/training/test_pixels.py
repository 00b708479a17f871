from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from varireal.base.files import encode_png, read_image, sha256_file
from varireal.base.manifest import ImageRecord
from varireal.base.seeding import generator
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training import pixels
from varireal.training.pixels import PixelCache


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files that were decoded."""
    names: list[str] = []
    monkeypatch.setattr(pixels, "read_image", lambda path: names.append(path.name) or read_image(path))
    return names


def pictures(folder: Path, *names: str) -> list[ImageRecord]:
    records = []
    for name in names:
        path = folder / f"{name}.png"
        if not path.exists():
            path.write_bytes(encode_png(generator("picture", name).integers(0, 256, (40, 50, 3), dtype=np.uint8)))
        records.append(ImageRecord(name, path=path.name, origin="photo", split="train", class_name="x", class_index=0,
                                   width=50, height=40, sha256=sha256_file(path), photo_id=name))  # fmt: skip
    return records


def test_a_picture_is_decoded_once_whichever_manifests_name_it(clip, tmp_path, decoded):
    first = PixelCache(clip, tmp_path / "work").load(pictures(tmp_path, "b", "a", "b"), tmp_path)
    assert sorted(decoded) == ["a.png", "b.png"]
    other = PixelCache(clip, tmp_path / "work")  # of another stage
    second = other.load(pictures(tmp_path, "c", "a"), tmp_path)
    assert sorted(decoded) == ["a.png", "b.png", "c.png"]
    for name, images, row in (("b", first, 0), ("a", first, 1), ("a", second, 1)):
        found = images[torch.tensor([row])]
        assert np.array_equal(found[0].numpy(), clip.resize(read_image(tmp_path / f"{name}.png")))
    assert torch.equal(torch.cat(list(first.split(2))), first[torch.tensor([0, 1, 2])]) and len(first) == 3
    assert first[torch.tensor([], dtype=torch.int64)].shape == (0, 32, 32, 3)
    first[torch.tensor([0])].zero_()  # a copy
    assert other.load(pictures(tmp_path, "b"), tmp_path)[torch.tensor([0])].any()


def test_whole_pictures_keep_their_shape_and_are_decoded_once(clip, tmp_path, decoded, caplog):
    work = tmp_path / "work"
    records = pictures(tmp_path, "a", "b")
    data = encode_png(generator("wide").integers(0, 256, (18, 90, 3), dtype=np.uint8))
    (tmp_path / "c.png").write_bytes(data)
    records.append(dataclasses.replace(records[0], path="c.png", sha256=sha256_file(tmp_path / "c.png")))
    small = PixelCache(clip, work, short_side=20).load_whole(records, tmp_path)
    assert [part.shape for part in small[torch.tensor([0, 2])]] == [(20, 25, 3), (18, 90, 3)]
    assert np.array_equal(small[torch.tensor([2])][0], read_image(tmp_path / "c.png"))  # small enough as it is
    shorter = Image.fromarray(read_image(tmp_path / "a.png")).resize((25, 20), Image.Resampling.BICUBIC)
    assert np.array_equal(small[torch.tensor([0])][0], np.asarray(shorter))
    assert len(small) == 3 and small.mean_bytes == (2 * 20 * 25 * 3 + 18 * 90 * 3) / 3
    decoded.clear()
    again = PixelCache(clip, work, short_side=20).load_whole(records[::-1], tmp_path)
    assert np.array_equal(again[torch.tensor([0])][0], small[torch.tensor([2])][0]) and not decoded
    PixelCache(clip, work).load(records, tmp_path)  # squares have packs of their own
    PixelCache(clip, work, short_side=10).load_whole(records, tmp_path)
    assert len(decoded) == 6
    for index in work.rglob(pixels.INDEX):
        if "sizes" in (told := json.loads(index.read_text())):
            index.write_text(json.dumps({**told, "sizes": [[1, 1]] * len(told["sha256"])}))
    decoded.clear()
    after = PixelCache(clip, work, short_side=20).load_whole(records, tmp_path)
    assert np.array_equal(after[torch.tensor([0])][0], np.asarray(shorter))
    assert len(decoded) == 3 and "are damaged" in caplog.text


def test_several_processes_at_once_decode_each_picture_once(clip, tmp_path, decoded):
    records = pictures(tmp_path, *"abcdefgh")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: PixelCache(clip, tmp_path / "work").load(records, tmp_path), range(4)))
    assert sorted(decoded) == [f"{name}.png" for name in "abcdefgh"]
    everything = torch.arange(8)
    assert all(torch.equal(one[everything], found[0][everything]) for one in found)


def _shorten(pack: Path) -> None:
    data = (pack / pixels.PIXELS).read_bytes()
    (pack / pixels.PIXELS).write_bytes(data[:-1])


def _flip(pack: Path) -> None:
    data = bytearray((pack / pixels.PIXELS).read_bytes())
    data[100] ^= 1
    (pack / pixels.PIXELS).write_bytes(bytes(data))


def _empty(pack: Path) -> None:
    (pack / pixels.PIXELS).write_bytes(b"")


def _lose_index(pack: Path) -> None:
    (pack / pixels.INDEX).unlink()


def _foreign_index(pack: Path) -> None:
    (pack / pixels.INDEX).write_text(json.dumps([1, 2]))


@pytest.mark.parametrize("damage", [_shorten, _flip, _empty, _lose_index, _foreign_index])
def test_a_damaged_pack_is_made_again_and_no_other(clip, tmp_path, decoded, caplog, damage):
    kept, records = pictures(tmp_path, "x"), pictures(tmp_path, "a", "b")
    PixelCache(clip, tmp_path / "work").load(kept, tmp_path)
    before = PixelCache(clip, tmp_path / "work").load(records, tmp_path)[torch.arange(2)]
    packs = [path.parent for path in (tmp_path / "work").rglob(pixels.PIXELS)]
    damage(next(pack for pack in packs if records[0].sha256 in (pack / pixels.INDEX).read_text()))
    decoded.clear()
    after = PixelCache(clip, tmp_path / "work").load([*records, *kept], tmp_path)
    assert torch.equal(after[torch.arange(2)], before)
    assert sorted(decoded) == ["a.png", "b.png"] and "are damaged" in caplog.text


def test_what_was_decoded_before_a_failure_is_kept(clip, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(pixels, "PACK_BYTES", 2 * 32 * 32 * 3)  # two pictures
    records = pictures(tmp_path, *"abcde")
    (tmp_path / "e.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"e\.png cannot be read"):
        PixelCache(clip, tmp_path / "work").load(records, tmp_path)
    decoded.clear()
    assert len(PixelCache(clip, tmp_path / "work").load(records[:4], tmp_path)) == 4 and not decoded


def test_a_file_that_is_not_the_manifests_is_refused(clip, tmp_path):
    (record,) = pictures(tmp_path, "a")
    (tmp_path / "a.png").write_bytes(encode_png(np.zeros((40, 50, 3), np.uint8)))
    with pytest.raises(UserError, match=r"a\.png is not the one in the manifest; run the stage that made it"):
        PixelCache(clip, tmp_path / "work").load([record], tmp_path)


def test_another_way_of_resizing_has_packs_of_its_own(clip, tmp_path, decoded):
    records = pictures(tmp_path, "a")
    PixelCache(clip, tmp_path / "work").load(records, tmp_path)
    squashing = dataclasses.replace(clip, preprocessing=clip.preprocessing.replace("shortest", "squash"))
    assert squashing.preprocessing != clip.preprocessing
    PixelCache(squashing, tmp_path / "work").load(records, tmp_path)
    assert decoded == ["a.png", "a.png"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(clip, tmp_path):
    (tmp_path / "work").mkdir(mode=0o500)
    with pytest.raises(UserError, match="no permission to write there"):
        PixelCache(clip, tmp_path / "work").load(pictures(tmp_path, "a"), tmp_path)
