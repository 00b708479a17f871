from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.errors import UserError
from varireal.store import FolderStore, content_key, work_root

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_keys_ignore_the_order_of_the_inputs_and_see_every_value(inputs):
    backwards = dict(reversed(inputs.items()))
    assert content_key(inputs) == content_key(backwards)
    assert content_key(inputs) != content_key({**inputs, "one more": 1})


def test_an_item_is_there_after_it_was_put_and_not_before(tmp_path):
    store, key = FolderStore("edit", tmp_path), content_key({"a": 1})
    assert store.get(key) is None
    [kept] = store.put({key: {"x.png": b"1", "y.json": b"2"}})
    assert store.get(key) == store.require(key) == kept and kept.path == tmp_path / "edit" / key[:2] / key
    assert kept.read("x.png") == b"1" and kept.read("z.png") is None
    assert {path.name: path.read_bytes() for path in kept.path.iterdir()} == {"x.png": b"1", "y.json": b"2"}
    assert FolderStore("train", tmp_path).get(key) is None


def test_what_was_stored_first_is_kept(tmp_path):
    store, key = FolderStore("edit", tmp_path), content_key({})
    store.put({key: {"x": b"first"}})
    store.put({key: {"x": b"second"}})
    assert store.get(key).read("x") == b"first"
    assert [path.name for path in (tmp_path / "edit" / key[:2]).iterdir()] == [key]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    store, key = FolderStore("edit", tmp_path), content_key({})
    with pytest.raises(UserError, match="the disk is full"):
        store.put({key: {"x": b"1"}})
    assert store.get(key) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_many_writers_of_one_item_leave_one_whole_item(tmp_path):
    store, key = FolderStore("edit", tmp_path), content_key({})
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        store.put({key: {name: bytes([number]) * 1000 for name in "abc"}})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = {path.read_bytes() for path in store.get(key).path.iterdir()}
    assert len(contents) == 1 and len(list((tmp_path / "edit" / key[:2]).iterdir())) == 1


def test_the_store_lies_in_dvcs_repository_also_from_its_temporary_checkouts(monkeypatch):
    monkeypatch.setenv("DVC_ROOT", "/some/repository")
    assert work_root() == Path("/some/repository/.work")
    monkeypatch.delenv("DVC_ROOT")
    assert work_root() == Path(".work")


def test_an_item_that_vanished_is_named_in_one_line(tmp_path):
    store, key = FolderStore("edit", tmp_path), content_key({})
    with pytest.raises(UserError, match=f"the finished item {key} vanished from .* while the stage ran; run it again"):
        store.require(key)
    [kept] = store.put({key: {"x": b"1"}})
    shutil.rmtree(kept.path)
    with pytest.raises(OSError):
        kept.read("x")
