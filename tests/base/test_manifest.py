from __future__ import annotations

import dataclasses
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from varireal.base.manifest import (
    ImageRecord,
    copy_rows,
    iterate_manifest,
    manifest_writer,
    read_manifest,
    write_manifest,
)
from varireal.errors import UserError

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def record(image_id: str, **changes) -> ImageRecord:
    plain = ImageRecord(image_id, path="a/b.png", origin="photo", split="train", class_name="glider", class_index=2,
                        width=128, height=96, sha256="00ff", photo_id=image_id)  # fmt: skip
    return dataclasses.replace(plain, **changes)


@st.composite
def records(draw: st.DrawFn) -> list[ImageRecord]:
    ids = draw(st.lists(TEXT, unique=True, max_size=6))
    return [
        record(
            image_id,
            class_name=draw(TEXT),
            note=draw(st.none() | TEXT),
            seed=draw(st.none() | st.integers(0, 2**63 - 1)),
            index=draw(st.none() | st.integers(0, 9)),
            attribute=draw(st.sampled_from((None, "color", "texture"))),
        )
        for image_id in ids
    ]


@given(records(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_records_come_back_as_they_were_sorted_and_their_order_leaves_no_trace(tmp_path_factory, rows, random):
    folder = tmp_path_factory.mktemp("manifest")
    write_manifest(folder / "a.parquet", rows)
    write_manifest(folder / "b.parquet", random.sample(rows, len(rows)))
    assert read_manifest(folder / "a.parquet") == sorted(rows, key=lambda row: row.image_id)
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


@given(records(), st.data())
@settings(max_examples=30, deadline=None)
def test_copied_rows_have_the_bytes_that_their_records_would_give(tmp_path_factory, rows, data):
    folder = tmp_path_factory.mktemp("manifest")
    sources = [folder / "even.parquet", folder / "odd.parquet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("varireal.base.manifest.ROWS", 2)  # row groups and batches of two rows
        for number, path in enumerate(sources):
            write_manifest(path, rows[number::2])
        held = {row.image_id: (s, n) for s, path in enumerate(sources) for n, row in enumerate(read_manifest(path))}
        chosen = [row for row in rows if data.draw(st.booleans())]
        copy_rows(folder / "copy.parquet", sources, [held[name] for name in sorted(row.image_id for row in chosen)])
        write_manifest(folder / "expected.parquet", chosen)
    assert (folder / "copy.parquet").read_bytes() == (folder / "expected.parquet").read_bytes()


def test_two_records_with_one_id_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="share the image_id 'x'"):
        write_manifest(tmp_path / "m.parquet", [record("x"), record("y"), record("x", class_index=1)])
    assert list(tmp_path.iterdir()) == []


def test_rows_stream_to_a_file_and_back_with_few_of_them_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("varireal.base.manifest.ROWS", 500)
    path, count = tmp_path / "m.parquet", 10_000
    write_manifest(path, [record("first")])
    assert len(read_manifest(path)) == 1  # loads what pyarrow loads late
    rows = (record(f"{number:06d}", attempts=f"[{number}]" + " " * 500) for number in range(count))
    tracemalloc.start()
    try:
        with manifest_writer(path) as add:
            for row in rows:
                add(row)
        read = sum(row.attempts.startswith(f"[{int(row.image_id)}]") for row in iterate_manifest(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == count and pq.ParquetFile(path).num_row_groups == 20
    assert peak < count * 500 / 4  # all rows have 10,000 texts of 500 characters, those in memory a few times 500


def test_rows_that_come_in_the_wrong_order_are_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="'x' comes behind 'y'"), manifest_writer(tmp_path / "m.parquet") as add:
        add(record("y"))
        add(record("x"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_a_broken_one_and_a_missing_column_are_users_errors(tmp_path):
    with pytest.raises(UserError, match="is missing; run the stage"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(tmp_path / "broken.parquet")
    pq.write_table(pa.table({"image_id": ["x"]}), tmp_path / "short.parquet")
    with pytest.raises(UserError, match="cannot be read"):
        read_manifest(tmp_path / "short.parquet")
