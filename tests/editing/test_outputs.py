"""What a cell leaves: its pictures, its manifest and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.editing.scripted import IDS, Script, figures_of, finish

from varireal.base.files import read_file, read_image, sha256_file
from varireal.base.manifest import read_manifest
from varireal.config import EditConfig, InpaintConfig, PriorConfig
from varireal.editing.attempts import Attempt, Edit, FilterAnswer
from varireal.editing.jobs import Failure
from varireal.editing.outputs import write_cell


def test_the_outputs_name_everything(jobs, make_run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(
        Script(
            {
                IDS[0]: 0,
                IDS[1]: 1,
                IDS[2]: 0,
                IDS[3]: 9,
                IDS[4]: 0,
            }
        )
    )
    edits = finish(run, jobs)
    final = Path("data/edits/background/infeasible")
    config = EditConfig(method="paste", prior=PriorConfig(source="pictures"), inpaint=InpaintConfig(), recipes={})
    write_cell(final, final, run, edits, config)
    records = read_manifest(final / "manifest.parquet")
    assert [record.image_id for record in records] == [job.image_id for job in jobs]
    for record, edit, job in zip(records, edits, jobs):
        assert record.path == f"data/edits/background/infeasible/images/{job.photo.image_id}-0.png"
        assert record.sha256 == sha256_file(Path(record.path))
        assert read_image(Path(record.prior_path)).shape == (32, 32, 3)
        assert (record.origin, record.split, record.photo_id) == ("edit", "train", job.photo.image_id)
        assert record.photo_path == job.photo.path
        assert (record.attribute, record.feasibility, record.value) == ("background", "infeasible", "lava")
        assert record.prompt == "a photo of a jet aircraft on a lava field"
        assert (record.seed, record.key, record.index) == (edit.chosen.seed, edit.chosen.key, 0)
        assert len(json.loads(record.attempts)) == len(edit.attempts)
        made_with = json.loads(record.settings)
        assert made_with["method"] == "diffusion" and made_with["batch_size"] == 2
        assert len(made_with["inpaint"]["weights"]) == 64 and made_with["recipe"]["strength"] == 1.0
        assert made_with["max_attempts"] == 3 and made_with["filter"] == {"name": "script"}
    assert [record.status for record in records] == ["accepted"] * 3 + ["exhausted", "accepted"]
    figures = figures_of(edits, [Failure("jet/x", "its mask is empty")], run.thresholds)
    assert figures == {
        "edits": 5, "accepted": 4, "exhausted": 1, "failed": 1, "failed_photos": {"jet/x": "its mask is empty"},
        "failed_edits": {},
        "pass_rate": 0.8, "first_pass_rate": 0.6, "mean_attempts": 1.6, "pass_rate_by_value": {"lava": 0.8},
        "first_pass_rate_by_question": {"attribute": 0.0}, "first_mean_score_by_question": {"attribute": 0.0},
    }  # fmt: skip


@pytest.mark.parametrize("storage", ["files", "shards"])
def test_rejected_attempts_are_stored_where_that_is_asked_for(storage, jobs, make_run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(Script(dict(zip(IDS, (0, 2, 9, 0, 1))), qualities=(0.2, 0.9, 0.4)))
    edits = finish(run, jobs)
    settings = {"prior": PriorConfig(source="pictures"), "inpaint": InpaintConfig(), "recipes": {}}
    config = EditConfig(method="paste", storage=storage, save_rejected=True, **settings)
    folder = Path("cell")
    write_cell(folder, folder, run, edits, config)
    for record, edit in zip(read_manifest(folder / "manifest.parquet"), edits):
        told = json.loads(record.attempts)
        rejected = [n for n, attempt in enumerate(edit.attempts) if attempt is not edit.chosen]
        assert [n for n, each in enumerate(told) if "path" in each] == rejected
        for number in rejected:  # the very picture that the filter saw, and not the edit
            assert read_file(Path(told[number]["path"])) == run.files(edit.attempts[number])["image.png"]
            assert sha256_file(Path(told[number]["path"])) != record.sha256
    assert [len(edit.attempts) for edit in edits] == [1, 3, 3, 1, 2]
    names = {"files": "attempts/jet/2-0.0.png", "shards": "shards/000000.tar/jet/2-0.attempt-0.png"}
    assert json.loads(read_manifest(folder / "manifest.parquet")[2].attempts)[0]["path"] == f"cell/{names[storage]}"
    write_cell(Path("bare"), Path("bare"), run, edits, config.model_copy(update={"save_rejected": False}))
    assert not any("path" in each.attempts for each in read_manifest(Path("bare/manifest.parquet")))


def test_figures_of_a_cell_without_edits() -> None:
    figures = figures_of([], [Failure("jet/0", "its mask is full")], {"attribute": 0.5})
    assert (figures["edits"], figures["failed"], figures["pass_rate"]) == (0, 1, None)
    assert figures["first_pass_rate_by_question"] == {"attribute": None}


def test_questions_are_counted_one_by_one_over_the_first_attempts(make_photo, make_job) -> None:
    job = make_job(make_photo("jet/0"), "color")
    scores = [[(0.2, 0.9), (1.0, 1.0)], [(0.5, 0.4)], [(0.8, 0.1), (0.0, 0.0)]]
    edits = [
        Edit(
            job,
            tuple(
                Attempt(job, k, 0, "", "", FilterAnswer(False, dict(zip(("attribute", "class"), s)), 0.0))
                for k, s in enumerate(made)
            ),
        )
        for made in scores
    ]
    figures = figures_of(edits, [], {"class": 0.3, "attribute": 0.5})
    assert figures["first_pass_rate_by_question"] == {"attribute": 0.6667, "class": 0.6667}
    assert figures["first_mean_score_by_question"] == {"attribute": 0.5, "class": 0.4667}
