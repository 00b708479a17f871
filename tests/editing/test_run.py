"""Attempts, rounds, batches, content keys, and going on after an interruption."""

from __future__ import annotations

import errno
import json
import os
import threading

import numpy as np
import pytest
from tests.editing.scripted import IDS, Script, figures_of, finish, no_filter, pictures

from varireal.base.files import decode_png, encode_png
from varireal.editing.attempts import FilterAnswer, attempts_json
from varireal.editing.jobs import EditJob
from varireal.editing.run import EditRun
from varireal.errors import UserError
from varireal.store import BatchStore
from varireal.store.batches import item_keys


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


def test_an_edit_that_no_other_picture_can_help_is_painted_once_and_keeps_its_score(jobs, make_run) -> None:
    hopeless = Script(dict.fromkeys(IDS, 9), qualities=(-2.0,))
    run, settled = make_run(hopeless), []
    edits = list(run.finish(jobs, len(jobs), "test", settled.append))
    assert [edit.status for edit in edits] == ["exhausted"] * 5
    assert [len(edit.attempts) for edit in edits] == [1] * 5 and hopeless.seen == dict.fromkeys(IDS, 1)
    assert edits[0].chosen.judged.scores == {"attribute": 0.0} and len(settled) == 5
    assert finish(make_run(Script({})), jobs) == edits  # what is finished stays finished


def test_pictures_are_encoded_while_they_are_judged(jobs, make_run, monkeypatch) -> None:
    begun, threads = threading.Event(), threading.active_count()

    class Patient(Script):
        def check(self, images: list[np.ndarray], jobs: list[EditJob]) -> list[FilterAnswer]:
            assert begun.wait(10)  # it would wait in vain for what is encoded after the judgement
            return super().check(images, jobs)

    def encode(pixels: np.ndarray) -> bytes:
        begun.set()
        return encode_png(pixels)

    monkeypatch.setattr("varireal.editing.attempts.encode_png", encode)
    run = make_run(Patient(dict.fromkeys(IDS, 0)))
    made = pictures(run, finish(run, jobs))
    assert len(made) == 5 and all(encode_png(decode_png(each)) == each for each in made)
    assert threading.active_count() == threads


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

    def load(self) -> None: ...

    def worth_another(self, answer: FilterAnswer) -> bool:
        return True

    def check(self, images: list[np.ndarray], jobs: list[EditJob]) -> list[FilterAnswer]:
        numbers = [self._known[image.tobytes()] for image in images]
        return [
            FilterAnswer(number >= self._accepted_from[job.image_id], {"attribute": 0.1 * number}, 0.0)
            for job, number in zip(jobs, numbers)
        ]


def _die_at_put(run: EditRun, number: int) -> None:
    puts = iter(range(number))
    for store in (run._images, run._answers):
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


@pytest.mark.parametrize(("name", "anew"), [("REVISION", ["image", "answer"]), ("ANSWER_REVISION", ["answer"])])
def test_a_new_revision_makes_pictures_or_answers_anew(name, anew, jobs, make_run, monkeypatch) -> None:
    run = make_run(no_filter(), method="paste")

    def keys() -> dict[str, str]:
        image = run._image_key(jobs[0], 1)
        return {"image": image, "answer": run._answer_key(jobs[0], image)}

    before = keys()
    monkeypatch.setattr(f"varireal.editing.run.{name}", 99)
    assert [what for what, key in keys().items() if key != before[what]] == anew


def vars_of(job: EditJob) -> dict:
    return {name: getattr(job, name) for name in EditJob.__dataclass_fields__}


def test_the_paste_method_ignores_settings_of_the_model(jobs, make_run, quick_recipe) -> None:
    keys = {
        make_run(no_filter(), method="paste", recipe=quick_recipe.model_copy(update=update))._image_key(jobs[0], 1)
        for update in ({}, {"strength": 0.5}, {"num_inference_steps": 9})
    }
    assert len(keys) == 1


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
    kept = [pack for stage in ("edit", "verdict") for pack in BatchStore(stage).items()]
    assert [len(item_keys(pack)) for pack in kept] == [2, 2, 2]
    assert sorted(path for path in work.rglob("*") if path.is_file()) == sorted(kept)
    assert len(finish(make_run(no_filter(), method="paste"), jobs)) == 5
