from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from varireal.base.files import encode_png, read_file, read_image, sha256_bytes, sha256_file
from varireal.base.shards import ShardWriter, file_exists, open_file, sample_name
from varireal.errors import UserError

SAMPLES = {
    f"jet/{number}": {f"jet/{number}.png": bytes([number]) * 700, f"jet/{number}.prior.png": b"p"}
    for number in range(7)
}


def write(folder: Path, most_bytes: int = 10**6, samples=SAMPLES) -> dict[str, Path]:
    with ShardWriter(folder, most_bytes) as writer:
        return {name: folder / path for files in samples.values() for name, path in writer.add(files).items()}


def test_what_was_written_is_read_by_its_path(tmp_path):
    paths = write(tmp_path)
    for name, path in paths.items():
        assert path == tmp_path / "000000.tar" / name
        expected = next(files[name] for files in SAMPLES.values() if name in files)
        assert read_file(path) == expected and sha256_file(path) == sha256_bytes(expected) and file_exists(path)
    (tmp_path / "plain").write_bytes(b"x")
    assert read_file(tmp_path / "plain") == b"x" and file_exists(tmp_path / "plain")


def test_a_picture_in_a_shard_is_read_as_any_other(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    (path,) = write(tmp_path, samples={"a": {"a.png": encode_png(pixels)}}).values()
    assert np.array_equal(read_image(path), pixels)


def test_a_shard_is_a_plain_tar_without_a_trace_of_who_wrote_it_when(tmp_path):
    write(tmp_path)
    with tarfile.open(tmp_path / "000000.tar") as tar:
        assert [entry.name for entry in tar] == [name for files in SAMPLES.values() for name in files]
        assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode) for e in tar} == {(0, 0, 0, "", "", 0o644)}
        assert tar.extractfile("jet/3.png").read() == SAMPLES["jet/3"]["jet/3.png"]
    write(tmp_path / "again")
    for name in ("000000.tar", "000000.json"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_shards_hold_whole_samples_up_to_their_size(tmp_path):
    # A sample takes 512 + 1024 bytes for its picture, 512 + 512 for its prior: 2560; the third would end at 7680.
    paths = write(tmp_path, most_bytes=6000)
    assert [path.parent.parent.name for path in paths.values()][::2] == [f"{n:06d}.tar" for n in (0, 0, 1, 1, 2, 2, 3)]
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == [f"{number:06d}.tar" for number in range(4)]
    assert all(read_file(path) for path in paths.values())
    assert len(write(tmp_path / "small", most_bytes=1)) == 14  # a sample larger than a shard has one of its own
    assert len(list((tmp_path / "small").glob("*.tar"))) == 7


def test_shards_of_tiny_pictures_are_full_at_a_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr("varireal.base.shards.MOST_FILES", 5)  # two samples of two files; a third would make it six
    paths = write(tmp_path)
    assert [path.parent.parent.name for path in paths.values()][::2] == [f"{n:06d}.tar" for n in (0, 0, 1, 1, 2, 2, 3)]
    assert all(read_file(path) for path in paths.values())


def test_webdataset_reads_the_samples(tmp_path):
    odd = {"c": {f"{sample_name('jet/a.b %')}.png": b"1", f"{sample_name('jet/a.b %')}.prior.png": b"2"}}
    write(tmp_path, samples={**SAMPLES, **odd})
    found = list(webdataset.WebDataset(str(tmp_path / "000000.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in found] == [*SAMPLES, "jet/a%2Eb %25"]
    assert found[3]["png"] == SAMPLES["jet/3"]["jet/3.png"] and found[-1]["prior.png"] == b"2"


def test_names_of_samples_differ_where_names_differ():
    names = ["a.b", "a%2Eb", "a%b", "a_b", "x.y/a.b"]
    assert len({sample_name(name) for name in names}) == 5
    assert sample_name("x.y/a.b") == "x.y/a%2Eb" and sample_name("a_b") == "a_b"


def test_long_and_foreign_names_are_kept(tmp_path):
    names = ["ä ü/" + "é" * 90 + ".png", "/".join(["deep"] * 60) + ".png"]
    paths = write(tmp_path, samples={name: {name: name.encode()} for name in names})
    assert [read_file(path).decode() for path in paths.values()] == names


def test_a_name_that_is_taken_is_refused(tmp_path):
    with ShardWriter(tmp_path, 10**6) as writer, pytest.raises(ValueError, match="are called 'a'"):
        writer.add({"a": b"1"})
        writer.add({"a": b"2"})


def damage(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda shard: shard.write_bytes(shard.read_bytes()[:3000]), "has 3000 bytes, not the 20480 of its index"),
        (lambda shard: damage(shard, 512 + 5), "is damaged: jet/0.png is not what its index describes"),
        (lambda shard: shard.with_suffix(".json").unlink(), "lacks its index 000000.json"),
        (lambda shard: shard.with_suffix(".json").write_text("{"), "000000.json is no index of a shard"),
        (lambda shard: shard.with_suffix(".json").write_text('{"bytes": 20480, "files": [1]}'), "is no index"),
        (
            lambda shard: shard.with_suffix(".json").write_text('{"bytes": 20480, "files": {"jet/0.png": [-1, 5, 0]}}'),
            "cut short or another",
        ),
    ],
)
def test_a_shard_that_is_not_what_it_was_is_one_line(tmp_path, harm, message):
    path = write(tmp_path)["jet/0.png"]
    harm(tmp_path / "000000.tar")
    with pytest.raises(UserError, match=message) as raised:
        read_image(path)
    assert "dvc checkout" in str(raised.value) and "\n" not in str(raised.value)


def test_the_index_of_another_shard_is_noticed(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    path = write(first)["jet/1.png"]
    write(second, samples=dict(reversed(SAMPLES.items())))  # as long, in another order
    (first / "000000.json").write_bytes((second / "000000.json").read_bytes())
    with pytest.raises(UserError, match=r"is damaged: jet/1\.png is not what its index describes"):
        read_file(path)


def test_what_is_not_there_is_said(tmp_path):
    shard = write(tmp_path)["jet/0.png"].parents[1]
    with pytest.raises(UserError, match=r"000000\.tar holds no jet/9\.png"):
        read_file(shard / "jet" / "9.png")
    assert not file_exists(shard / "jet" / "9.png") and not file_exists(tmp_path / "000009.tar" / "jet" / "0.png")
    with pytest.raises(UserError, match="does not exist"):
        read_image(tmp_path / "000009.tar" / "jet" / "0.png")
    (tmp_path / "plain").write_bytes(b"x")
    with pytest.raises(NotADirectoryError):
        open_file(tmp_path / "plain" / "below")


def test_a_shard_that_took_anothers_place_is_read_by_its_own_index(tmp_path):
    path = write(tmp_path)["jet/0.png"]
    assert read_file(path) == bytes(700)
    for old in tmp_path.iterdir():
        old.unlink()
    again = write(tmp_path, samples={"x": {"x": b"long" * 999}, "jet/0": {"jet/0.png": b"new"}})
    assert read_file(again["jet/0.png"]) == b"new" and again["jet/0.png"] == path


def test_the_index_says_where_the_bytes_are(tmp_path):
    write(tmp_path)
    index = json.loads((tmp_path / "000000.json").read_text())
    data = (tmp_path / "000000.tar").read_bytes()
    assert index["bytes"] == len(data)
    start, size, _ = index["files"]["jet/2.png"]
    assert (start, size) == (2 * 2560 + 512, 700)
    assert io.BytesIO(data[start : start + size]).read() == SAMPLES["jet/2"]["jet/2.png"]
