from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from varireal.errors import UserError
from varireal.store import BatchStore, content_key
from varireal.store.batches import KeptInBatch, item_keys

KEYS = [content_key({"item": number}) for number in range(6)]


def items(keys, text: str = "") -> dict[str, dict[str, bytes]]:
    return {key: {"a.png": f"{text}{key}".encode(), "empty": b""} for key in keys}


def test_items_are_found_together_alone_and_in_other_groups(tmp_path):
    BatchStore("edit", tmp_path).put(items(KEYS[:3]))
    BatchStore("edit", tmp_path).put(items(KEYS[3:5]))
    store = BatchStore("edit", tmp_path)
    for group in (KEYS[:3], KEYS[2:4], KEYS[4:5], KEYS[::-1]):
        found = store.find(group)
        assert [None if kept is None else kept.read("a.png") for kept in found] == [
            None if key == KEYS[5] else key.encode() for key in group
        ]
    assert store.find([KEYS[0]])[0].read("empty") == b"" and store.find([KEYS[0]])[0].read("prior.png") is None
    assert BatchStore("verdict", tmp_path).find(KEYS[:3]) == [None] * 3


def test_a_batch_is_named_by_its_keys_and_has_the_same_bytes_in_any_order(tmp_path):
    for name, keys in (("one", KEYS[:3]), ("two", KEYS[2::-1])):
        BatchStore("edit", tmp_path / name).put(items(keys))
    (one,), (two,) = (BatchStore("edit", tmp_path / name).items() for name in ("one", "two"))
    assert one.relative_to(tmp_path / "one") == two.relative_to(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes() and item_keys(one) == set(KEYS[:3])


def test_what_was_stored_first_is_kept_and_of_two_batches_with_an_item_always_the_same_is_read(tmp_path):
    store = BatchStore("edit", tmp_path)
    store.put(items(KEYS[:2], "first "))
    assert store.put(items(KEYS[:2], "second "))[0].read("a.png") == f"first {KEYS[0]}".encode()
    store.put(items(KEYS[:3], "third "))
    first = min(store.items())
    found = BatchStore("edit", tmp_path).find([KEYS[0], KEYS[5]])
    assert found == [KeptInBatch(KEYS[0], first), None]


def test_keys_that_begin_alike_are_told_apart(tmp_path):
    alike = ["f" * 63 + end for end in "012"]
    BatchStore("edit", tmp_path).put(items(alike[:1]))
    BatchStore("edit", tmp_path).put(items(alike[1:2]))
    found = BatchStore("edit", tmp_path).find([*alike, "e" * 64])
    assert [kept and kept.read("a.png").decode() for kept in found] == [alike[0], alike[1], None, None]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"\xff" * len(data)])
def test_a_damaged_batch_is_thrown_away_and_stored_anew(tmp_path, damage, caplog):
    BatchStore("edit", tmp_path).put(items(KEYS[:2]))
    (batch,) = BatchStore("edit", tmp_path).items()
    batch.write_bytes(damage(batch.read_bytes()))
    store = BatchStore("edit", tmp_path)
    assert store.find(KEYS[:2]) == [None, None]
    assert not batch.exists() and "is damaged" in caplog.text
    assert [kept.read("a.png") for kept in store.put(items(KEYS[:2]))] == [key.encode() for key in KEYS[:2]]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(UserError, match="the disk is full"):
        BatchStore("edit", tmp_path).put(items(KEYS))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_batch_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
    BatchStore("edit", tmp_path).put(items(KEYS))
    (batch,) = BatchStore("edit", tmp_path).items()
    assert synced == [batch.stat().st_size]


def test_many_writers_of_the_same_items_leave_one_whole_batch(tmp_path):
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        BatchStore("edit", tmp_path).put({key: {"x": bytes([number]) * 1000} for key in KEYS})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == BatchStore("edit", tmp_path).items()
    contents = {kept.read("x") for kept in BatchStore("edit", tmp_path).find(KEYS)}
    assert len(contents) == 1 and len(contents.pop()) == 1000


def test_without_links_a_batch_is_renamed(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    (kept,) = BatchStore("edit", tmp_path).put(items(KEYS[:1]))
    assert kept.read("a.png") == KEYS[0].encode()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept.path]
