"""Edits as an imagefolder and as shards: the layouts that their loaders document."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.serving.export.conftest import CLASSES, PROMPT

from varireal import paths
from varireal.base.files import read_image, sha256_bytes
from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.errors import UserError
from varireal.serving.export.edits import read_edits, without_splits, write_image_folder


def export(*arguments: str):
    return CliRunner().invoke(main, ["export", *arguments], catch_exceptions=False)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def samples(folder: Path) -> dict[str, dict[str, bytes]]:
    """Read shards by the format's rule: members whose names agree up to the first dot are one sample, side by side."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for shard in sorted(folder.glob("*.tar")):
        previous = None
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                assert key == previous or key not in found, "a sample's members stand apart"
                assert member.mtime == 0 and member.uname == "varireal"
                found[key][kind] = tar.extractfile(member).read()
                previous = key
    return found


def test_an_imagefolder_has_a_row_of_metadata_for_every_picture(study):
    result = export("--data", "color_mixed", "out")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in Path("out/train/metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    pictures = {path.relative_to("out/train").as_posix() for path in Path("out").rglob("*.png")}
    assert {row["file_name"] for row in rows} == pictures == {
        "color/feasible/class-0/0-0.png", "color/infeasible/class-1/1-0.png",
    }  # fmt: skip
    feasible, infeasible = rows
    assert feasible | {"sha256": None} == {
        "file_name": "color/feasible/class-0/0-0.png", "label": "glider", "class_index": 0, "photo_id": "class-0/0",
        "image_id": "class-0/0#color-feasible-0", "attribute": "color", "feasibility": "feasible", "value": "lava",
        "prompt": PROMPT, "index": 0, "seed": 2**53 + 1, "status": "accepted",
        "width": 30, "height": 24, "sha256": None,
    }  # fmt: skip
    assert infeasible["label"] == CLASSES[1]
    for row in rows:
        assert sha256_bytes((Path("out/train") / row["file_name"]).read_bytes()) == row["sha256"]
        assert read_image(Path("out/train") / row["file_name"]).shape == (24, 30, 3)
    about = json.loads(Path("out/varireal.json").read_text())
    assert about["images_by_cell"] == {"color feasible": 1, "color infeasible": 1} and about["classes"] == CLASSES


# https://huggingface.co/docs/datasets/repository_structure: words of splits in paths, between signs and digits
OTHERS = r"(^|[-._ 0-9/])(validation|valid|dev|val|test|testing|eval|evaluation)([-._ 0-9/]|$)"


@pytest.mark.parametrize("name", ["test-tube/1", "cat/test", "val/dev-7", "a-eval-b/validation2", "testing/valid-val"])
def test_no_name_in_an_imagefolder_means_another_split(study, name):
    edits = read_edits("all", ["color"], ["feasible"], include_exhausted=False)
    renamed = tuple(dataclasses.replace(record, photo_id=name) for record in edits.records)
    write_image_folder(Path("out"), dataclasses.replace(edits, records=renamed))
    rows = [json.loads(line) for line in Path("out/train/metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({row["file_name"] for row in rows}) == len(rows) == len(edits.records)
    for row, record in zip(rows, renamed):
        assert not re.search(OTHERS, row["file_name"])
        assert sha256_bytes((Path("out/train") / row["file_name"]).read_bytes()) == record.sha256
        assert (row["label"], row["photo_id"]) == (record.class_name, name)


def test_names_that_only_contain_such_a_word_stay(study):
    for name in ("contest/1", "protest-2/valley", "train-3/tests", "devon-rex/evals"):
        assert without_splits(name) == name


def test_all_takes_accepted_edits_of_every_cell_and_exhausted_ones_if_asked(study):
    export("--data", "all", "some")
    export("--data", "all", "--include-exhausted", "every")
    assert len(list(Path("some").rglob("*.png"))) == 2 * 2 * 4
    assert len(list(Path("every").rglob("*.png"))) == 2 * 2 * 6


def test_shards_hold_every_edit_once_and_have_the_asked_size(study, monkeypatch):
    monkeypatch.setattr("varireal.commands.export.MEGABYTE", 1000)  # pictures have about 2,000 bytes
    export("--data", "all", "--format", "webdataset", "--shard-mb", "5", "out")
    shards = sorted(path.name for path in Path("out").glob("*.tar"))
    assert shards == [f"train-{number:06d}.tar" for number in range(len(shards))] and len(shards) >= 4
    assert json.loads(Path("out/varireal.json").read_text())["shards"] == len(shards)
    found = samples(Path("out"))
    edits = {
        f"{edit.attribute}/{edit.feasibility}/{edit.photo_id}-0": edit
        for folder in Path("data/edits").glob("*/*")
        for edit in read_manifest(folder / "manifest.parquet")
        if edit.status == "accepted"
    }
    assert set(found) == set(edits)
    for name, sample in found.items():
        assert set(sample) == {"png", "cls", "json"}
        assert sample["png"] == Path(edits[name].path).read_bytes()
        assert int(sample["cls"]) == edits[name].class_index
        assert json.loads(sample["json"])["prompt"] == PROMPT
    for shard in shards[:-1]:
        with tarfile.open(Path("out") / shard) as tar:
            sizes = [member.size for member in tar]
        assert sum(sizes) >= 5000 > sum(sizes[:-3])
    assert list(found) != sorted(found), "samples are not shuffled"


def test_the_webdataset_library_reads_the_shards(study):
    import webdataset

    export("--data", "all", "--format", "webdataset", "out")
    read = list(webdataset.WebDataset("out/train-000000.tar", shardshuffle=False, empty_check=False).decode("rgb8"))
    assert len(read) == 16
    for sample in read:
        assert sample["png"].shape == (24, 30, 3) and sample["cls"] == sample["json"]["class_index"]


@pytest.mark.parametrize("form", ["imagefolder", "webdataset"])
def test_the_same_edits_give_the_same_bytes(study, form):
    for target in ("first", "second"):
        export("--data", "all", "--format", form, target)
    assert files(Path("first")) == files(Path("second"))


def test_an_export_is_replaced_with_force_only_and_nothing_else_ever(study):
    export("--data", "all", "out")
    with pytest.raises(UserError, match="out exists; name another folder, or replace it with --force"):
        export("--data", "color_mixed", "out")
    assert export("--data", "color_mixed", "--force", "out").exit_code == 0
    assert len(list(Path("out").rglob("*.png"))) == 2
    with pytest.raises(UserError, match=r"data is no earlier export \(it has no varireal.json\), so --force leaves"):
        export("--data", "all", "--force", "data")


@pytest.mark.parametrize("form", ["imagefolder", "webdataset"])
def test_a_spoilt_edit_stops_the_export_and_leaves_nothing(study, form):
    spoilt = paths.edit_folder("color", "infeasible") / "images/class-1/1-0.png"
    spoilt.write_bytes(spoilt.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"1-0\.png is not the picture that its manifest describes; run its edit stage"):
        export("--data", "all", "--format", form, "out")
    spoilt.unlink()
    with pytest.raises(UserError, match=r"1-0\.png cannot be read \(No such file or directory\)"):
        export("--data", "all", "--format", form, "out")
    assert not [path for path in Path().iterdir() if "out" in path.name]


def test_a_control_is_no_training_set_to_export(study):
    shutil.copytree(paths.mix_folder("color", "mixed"), paths.mix_folder("color", "harm-20"))
    with pytest.raises(UserError, match=r"--data color_harm-20: there is no such mix in .*: all, color_mixed$"):
        export("--data", "color_harm-20", "out")


def test_an_unknown_training_set_is_refused_with_those_that_are_there(study):
    with pytest.raises(
        UserError, match="--data color_mixt: there is no such mix in data/mixes; allowed here: all, color_"
    ):
        export("--data", "color_mixt", "out")
    with pytest.raises(UserError, match=r"--data ../mixes/color_mixed: there is no such mix"):
        export("--data", "../mixes/color_mixed", "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --model or --data"),
        (["--model", "a", "--data", "all"], "give either --model or --data"),
        (["--data", "all", "--format", "mlflow"], "--format mlflow does not fit; with --data"),
        (["--data", "color_mixed", "--include-exhausted"], "--include-exhausted goes with --data all"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(study, arguments, message):
    result = export(*arguments, "out")
    assert result.exit_code == 2 and message in result.output
