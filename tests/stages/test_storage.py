"""A cell's pictures as files and as tar shards: whatever reads them cannot tell."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.tiny_study import CELLS, CONDITIONS, TO_MIX, change, make_study, run_stages

from varireal import paths
from varireal.base.files import read_file, read_json, sha256_file
from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.errors import UserError
from varireal.reporting.gallery import build_examples, choose_examples

pytestmark = pytest.mark.slow

TRAIN = ["train", *CONDITIONS[2]]


def make(folder: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, **settings) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    make_study(clip)
    change(**settings)
    run_stages(TO_MIX)


def cell_records():
    return [r for c in CELLS for r in read_manifest(paths.edit_folder(c[1], c[3]) / "manifest.parquet")]


def without_paths(records):
    return [dataclasses.replace(each, path="", prior_path=None, attempts="") for each in records]


@pytest.fixture(scope="module")
def both_to_copy(tmp_path_factory, tiny_clip) -> Path:
    """The same study up to its mixes, once with files and once with shards, made once for all tests.

    Its filter is never content, so that every edit is the best of two attempts.
    """
    root = tmp_path_factory.mktemp("both")
    clip = {"name": "clip", "model": f"local-dir:{tiny_clip}", "attribute_threshold": 1.0, "max_attempts": 2}
    with pytest.MonkeyPatch.context() as patch:
        for storage in ("files", "shards"):
            make(root / storage, tiny_clip, patch, filter=clip, mix__include_exhausted=True, edit__storage=storage)
    return root


@pytest.fixture
def both(both_to_copy, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Both studies in folders of the test's own; the current folder is that of the shards."""
    for storage in ("files", "shards"):
        shutil.copytree(both_to_copy / storage, tmp_path / storage)
    monkeypatch.chdir(tmp_path / "shards")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "shards"))
    return tmp_path / "files", tmp_path / "shards"


def test_shards_hold_the_same_pictures_and_train_the_same_adapter(both, monkeypatch) -> None:
    adapters, manifests, exports, pages, figures = [], [], [], [], []
    for folder in both:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DVC_ROOT", str(folder))
        records = cell_records()
        assert len(records) == 2 * 3 * 3 * 2  # cells, classes, photos, edits
        for record in records:
            assert sha256_file(Path(record.path)) == record.sha256 and len(read_file(Path(record.prior_path))) > 50
        manifests.append(without_paths(records))
        run_stages([["measure"], TRAIN, ["export", "--data", "color_mixed", "out"]])
        figures.append(read_json(paths.MEASURED))
        adapters.append(sorted(sha256_file(path) for path in paths.ADAPTERS.rglob("*.safetensors")))
        exports.append({p.relative_to("out"): p.read_bytes() for p in sorted(Path("out").rglob("*")) if p.is_file()})
        pages.append(build_examples(choose_examples(records, "exhausted", 3, 0)))
    assert manifests[0] == manifests[1]
    assert adapters[0] == adapters[1] and len(adapters[0]) == 2
    assert exports[0] == exports[1] and len(exports[0]) > 5
    assert figures[0] == figures[1] and figures[0]["cells"]["color"]["feasible"]["measured"] == 18
    assert pages[0] == pages[1] and set(pages[0][0].shots) == {"photo", "mask", "prior", "edit"}
    assert [sum(each.shot is not None for each in example.tries) for example in pages[0]] == [1, 1, 1]  # and the edit
    cell = both[1] / paths.edit_folder("color", "feasible")
    assert sorted(path.relative_to(cell).as_posix() for path in cell.rglob("*") if path.is_file()) == [
        "manifest.parquet", "shards/000000.json", "shards/000000.tar",
    ]  # fmt: skip


def test_rejected_attempts_are_trained_on_by_nobody(both) -> None:
    """What comes behind `edit` does the same whether they are kept, are not, or have vanished from the disk."""
    found = []
    for keep, storage in ((True, "files"), (False, "files"), (True, "shards")):
        change(edit__save_rejected=keep, edit__storage=storage)
        run_stages([["edit", *cell] for cell in CELLS])
        assert all(("path" in record.attempts) == keep for record in cell_records())
        for cell in CELLS if keep and storage == "files" else ():
            attempts = paths.edit_folder(cell[1], cell[3]) / "attempts"
            assert len(list(attempts.rglob("*.png"))) == 18
            shutil.rmtree(attempts)
        shutil.rmtree(".work/train", ignore_errors=True)
        out = f"out-{len(found)}"
        run_stages([["mix", *CONDITIONS[2][:2]], ["measure"], TRAIN, ["export", "--data", "color_mixed", out]])
        mixed = read_manifest(paths.mix_folder("color", "mixed") / "manifest.parquet")
        assert not any("attempt" in record.path for record in mixed)
        adapters = sorted(sha256_file(path) for path in paths.ADAPTERS.rglob("*.safetensors"))
        exported = sorted(sha256_file(path) for path in Path(out).rglob("*.png"))
        found.append((without_paths(mixed), read_json(paths.MEASURED), adapters, exported))
    assert found[1:] == found[:1] * 2 and len(found[0][2]) == 2 and len(found[0][3]) == len(found[0][0]) == 18


def test_a_damaged_shard_stops_the_training_in_one_line(both) -> None:
    shard = paths.edit_folder("color", "feasible") / "shards" / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    result = CliRunner().invoke(main, TRAIN)
    assert isinstance(result.exception, UserError)
    assert f"{shard.as_posix()} has" in str(result.exception) and "\n" not in str(result.exception)


def test_a_new_storage_makes_no_edit_anew(both, monkeypatch) -> None:
    monkeypatch.setattr(
        "varireal.editing.attempts.EditWorker.__call__", lambda *_: pytest.fail("an edit was made again")
    )
    before = cell_records()
    change(edit__storage="files")
    run_stages([["edit", *cell] for cell in CELLS])
    after = cell_records()
    assert without_paths(before) == without_paths(after)
    assert {Path(each.path).parts[4] for each in before + after} == {"shards", "images"}
    assert not (paths.edit_folder("color", "feasible") / "shards").exists()


def test_shards_are_cut_at_the_size_asked_for_and_begin_where_they_began_before(
    tmp_path, tiny_clip, monkeypatch
) -> None:
    monkeypatch.setattr("varireal.editing.storage.MEGABYTE", 10_000)
    make(tmp_path / "a", tiny_clip, monkeypatch, edit__storage="shards", edit__shard_mb=2)
    shards = sorted((paths.edit_folder("color", "feasible") / "shards").iterdir())
    tars = [path for path in shards if path.suffix == ".tar"]
    assert len(tars) > 2
    for path in tars:
        files = json.loads(path.with_suffix(".json").read_text())["files"]
        assert max(start + size for start, size, _ in files.values()) <= 20_000 and len(files) % 2 == 0
    first = [path.read_bytes() for path in shards]
    run_stages([["edit", *CELLS[0]]])
    assert [path.read_bytes() for path in shards] == first
