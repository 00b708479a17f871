"""Attempts, rounds, batches, content keys, and going on after an interruption."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from varireal.config import EditConfig, InpaintConfig, PriorConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.jobs import EditJob, Failure, Verdict
from varireal.editing.outputs import CellFigures, write_cell
from varireal.editing.results import Attempt, FinishedEdit, attempts_json
from varireal.editing.run import EditRun
from varireal.engines.local import LocalEngine
from varireal.errors import UserError
from varireal.filtering import FILTERS
from varireal.io import decode_png, read_file, read_image, sha256_file
from varireal.manifest import read_manifest
from varireal.packs import PackStore, item_keys

IDS = [f"jet/{k}#background-infeasible-0" for k in range(5)]


class Script:
    """A filter that follows a script: the number of the attempt from which on an edit is accepted."""

    def __init__(self, accepted_from: dict[str, int], name: str = "script", qualities: tuple[float, ...] = ()) -> None:
        self.identity = {"name": name}
        self.thresholds = {"attribute": 0.05}
        self._accepted_from = accepted_from
        self._qualities = qualities
        self.seen: dict[str, int] = {}
        self.batches: list[list[str]] = []

    def check(self, images: list[np.ndarray], jobs: list[EditJob]) -> list[Verdict]:
        self.batches.append([job.image_id for job in jobs])
        verdicts = []
        for job in jobs:
            attempt = self.seen.get(job.image_id, 0)
            self.seen[job.image_id] = attempt + 1
            quality = self._qualities[attempt] if self._qualities else 0.0
            verdicts.append(
                Verdict(attempt >= self._accepted_from[job.image_id], {"attribute": 0.1 * attempt}, quality)
            )
        return verdicts


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


@pytest.fixture
def jobs(make_photo, make_job) -> list[EditJob]:
    return [make_job(make_photo(f"jet/{k}"), "background") for k in range(5)]


@pytest.fixture
def make_run(two_pictures, quick_recipe, compute, tiny_sdxl_inpaint):
    """Return a function that builds a run with this filter; `recipe` and `method` may be changed."""

    def make(edit_filter, recipe: Recipe = quick_recipe, method: str = "diffusion", max_attempts: int = 3, **kwargs):
        inpaint = InpaintConfig(checkpoint=str(tiny_sdxl_inpaint), batch_size=2)
        config = EditConfig(method=method, prior=PriorConfig(source="pictures"), inpaint=inpaint, recipes={})
        editor = EDITORS[method](config, recipe, two_pictures, compute)
        options = {"max_attempts": max_attempts, "batch_size": 2, "keep_priors": True, **kwargs}
        return EditRun(editor, edit_filter, two_pictures, LocalEngine(compute, ("torch",)), **options)

    return make


def no_filter():
    return FILTERS["none"](None, None, None)


def finish(run: EditRun, jobs: list[EditJob]) -> list[FinishedEdit]:
    return list(run.finish(jobs, len(jobs), "test"))


def pictures(run: EditRun, edits: list[FinishedEdit]) -> list[bytes]:
    return [run.files(edit.chosen)["image.png"] for edit in edits]


def figures_of(edits: list[FinishedEdit], failures: list[Failure], thresholds: dict[str, float]) -> dict:
    counted = CellFigures(thresholds)
    assert list(counted.counting(edits)) == edits
    return counted.result(failures)


def test_each_edit_has_its_own_attempts(jobs, make_run) -> None:
    script = Script(
        {
            IDS[0]: 0,
            IDS[1]: 1,
            IDS[2]: 2,
            IDS[3]: 3,
            IDS[4]: 9,
        }
    )
    edits = finish(make_run(script), jobs)
    assert [len(edit.attempts) for edit in edits] == [1, 2, 3, 3, 3]
    assert [edit.status for edit in edits] == ["accepted"] * 3 + ["exhausted"] * 2
    assert [edit.chosen.seed for edit in edits[:3]] == [jobs[k].attempt_seed(k) for k in range(3)]
    # rounds: all jobs in fixed batches of two, then what was rejected, in order
    assert script.batches == [
        [IDS[0], IDS[1]], [IDS[2], IDS[3]], [IDS[4]],
        [IDS[1], IDS[2]], [IDS[3], IDS[4]],
        [IDS[2], IDS[3]], [IDS[4]],
    ]  # fmt: skip


def test_a_filter_that_always_says_no_exhausts_every_edit_after_exactly_three_attempts(jobs, make_run) -> None:
    script = Script(dict.fromkeys([job.image_id for job in jobs], 99), qualities=(0.2, 0.9, 0.9))
    run = make_run(script)
    edits = finish(run, jobs)
    for edit in edits:
        assert edit.status == "exhausted"
        assert len(edit.attempts) == 3
        assert len({attempt.seed for attempt in edit.attempts}) == 3
        assert edit.chosen is edit.attempts[1]  # the best, and of equals the first
        written = json.loads(attempts_json(edit, {}))
        assert [attempt["accepted"] for attempt in written] == [False] * 3
        assert [attempt["scores"] for attempt in written] == [
            {"attribute": 0.0},
            {"attribute": 0.1},
            {"attribute": 0.2},
        ]
    assert figures_of(edits, [], {})["pass_rate"] == 0.0


def test_finished_edits_are_not_made_again(jobs, make_run, monkeypatch) -> None:
    run = make_run(no_filter())
    first = pictures(run, finish(run, jobs))
    again = make_run(no_filter())
    monkeypatch.setattr(again._editor, "edit", lambda *args: pytest.fail("an edit was made again"))
    assert pictures(again, finish(again, jobs)) == first


def test_what_could_not_be_made_is_left_alone_until_the_next_run_and_its_neighbours_are_made_once(
    jobs, make_run, monkeypatch
) -> None:
    run = make_run(no_filter())
    made: list[list[str]] = []
    edit = run._editor.edit

    def break_down(batch: list[EditJob], seeds: list[int]):
        made.append([job.image_id for job in batch])
        if IDS[3] in made[-1]:
            raise ZeroDivisionError("a defect")
        return edit(batch, seeds)

    monkeypatch.setattr(run._editor, "edit", break_down)
    edits = finish(run, jobs)
    assert [each.status for each in edits] == ["accepted"] * 3 + ["failed", "accepted"]
    assert "ZeroDivisionError: a defect" in edits[3].note
    tries = len(made)
    assert finish(run, jobs) == edits and made[tries:] == []  # the same run once more, to write its outputs

    again = make_run(no_filter())
    edits = finish(again, jobs)
    assert [each.status for each in edits] == ["accepted"] * 5


def test_edits_that_join_a_finished_batch_are_made_once(jobs, make_run, monkeypatch) -> None:
    finish(make_run(no_filter()), jobs[1:])  # batches of 1 and 2, 3 and 4
    run = make_run(no_filter())
    made: list[list[str]] = []
    edit = run._editor.edit
    monkeypatch.setattr(
        run._editor, "edit", lambda batch, seeds: made.append([job.image_id for job in batch]) or edit(batch, seeds)
    )
    edits = finish(run, jobs)
    assert made == [IDS[:2]]  # a batch is made as a whole; the others are found piece by piece
    assert finish(run, jobs) == edits and made == [IDS[:2]]


def test_an_interrupted_run_ends_with_the_same_bytes(jobs, make_run, tmp_path, monkeypatch) -> None:
    accepted_from = {
        IDS[0]: 1,
        IDS[1]: 0,
        IDS[2]: 2,
        IDS[3]: 1,
        IDS[4]: 0,
    }
    undisturbed = make_run(Script(accepted_from))
    edits = finish(undisturbed, jobs)
    expected = pictures(undisturbed, edits)
    known = {
        decode_png(undisturbed.files(attempt)["image.png"]).tobytes(): number
        for edit in edits
        for number, attempt in enumerate(edit.attempts)
    }
    for stop_after in (1, 4, 7):  # 9 attempts in 5 batches make 10 puts
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / str(stop_after)))
        broken = make_run(_Memoryless(accepted_from, known))
        _die_at_put(broken, stop_after)
        with pytest.raises(KeyboardInterrupt):
            finish(broken, jobs)
        resumed = make_run(_Memoryless(accepted_from, known))
        again = finish(resumed, jobs)
        assert pictures(resumed, again) == expected
        assert [attempts_json(edit, {}) for edit in again] == [attempts_json(edit, {}) for edit in edits]


class _Memoryless:
    """The same script for runs that share pictures: which attempt it is shows in the picture alone."""

    identity = {"name": "script"}  # noqa: RUF012 - never changed

    def __init__(self, accepted_from: dict[str, int], known: dict[bytes, int]) -> None:
        self._accepted_from = accepted_from
        self._known = known

    def check(self, images: list[np.ndarray], jobs: list[EditJob]) -> list[Verdict]:
        numbers = [self._known[image.tobytes()] for image in images]
        return [
            Verdict(number >= self._accepted_from[job.image_id], {"attribute": 0.1 * number}, 0.0)
            for job, number in zip(jobs, numbers)
        ]


def _die_at_put(run: EditRun, number: int) -> None:
    puts = iter(range(number))
    for store in (run._images, run._verdicts):
        put = store.put

        def counting(items, put=put):
            if next(puts, None) is None:
                raise KeyboardInterrupt
            return put(items)

        store.put = counting


def test_only_what_decides_a_picture_makes_it_anew(jobs, make_run, quick_recipe) -> None:
    def key(run: EditRun) -> str:
        return run._image_key(jobs[0], jobs[0].attempt_seed(0))

    base = key(make_run(no_filter()))
    assert key(make_run(Script({}))) == base  # another filter judges the same pictures
    assert key(make_run(no_filter(), max_attempts=1)) == base
    changed = [
        key(make_run(no_filter(), recipe=quick_recipe.model_copy(update=update)))
        for update in ({"strength": 0.5}, {"dilation": 2}, {"guidance_scale": 1.0})
    ]
    changed += [key(make_run(no_filter(), method="paste")), key(make_run(no_filter(), keep_priors=False))]
    other_mask = EditJob(**{**vars_of(jobs[0]), "mask_sha256": "0" * 64})
    changed.append(make_run(no_filter())._image_key(other_mask, jobs[0].attempt_seed(0)))
    changed.append(make_run(no_filter())._image_key(jobs[0], jobs[0].attempt_seed(1)))
    assert len({base, *changed}) == 8


def vars_of(job: EditJob) -> dict:
    return {name: getattr(job, name) for name in EditJob.__dataclass_fields__}


def test_the_paste_method_ignores_settings_of_the_model(jobs, make_run, quick_recipe) -> None:
    keys = {
        make_run(no_filter(), method="paste", recipe=quick_recipe.model_copy(update=update))._image_key(jobs[0], 1)
        for update in ({}, {"strength": 0.5}, {"num_inference_steps": 9})
    }
    assert len(keys) == 1


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
        FinishedEdit(
            job, tuple(Attempt(0, "", Verdict(False, dict(zip(("attribute", "class"), s)), 0.0)) for s in made)
        )
        for made in scores
    ]
    figures = figures_of(edits, [], {"class": 0.3, "attribute": 0.5})
    assert figures["first_pass_rate_by_question"] == {"attribute": 0.6667, "class": 0.6667}
    assert figures["first_mean_score_by_question"] == {"attribute": 0.5, "class": 0.4667}


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(jobs, make_run, work, monkeypatch) -> None:
    run = make_run(no_filter(), method="paste")
    calls = iter(range(3))  # the third pack of pictures or verdicts is the last whole one
    fsync = os.fsync

    def full_after_a_while(handle: int) -> None:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full_after_a_while)
    with pytest.raises(UserError, match="the disk is full"):
        finish(run, jobs)
    monkeypatch.setattr(os, "fsync", fsync)
    kept = [pack for stage in ("edit", "verdict") for pack in PackStore(stage).packs()]
    assert [len(item_keys(pack)) for pack in kept] == [2, 2, 2]
    assert sorted(path for path in work.rglob("*") if path.is_file()) == sorted(kept)
    assert len(finish(make_run(no_filter(), method="paste"), jobs)) == 5
