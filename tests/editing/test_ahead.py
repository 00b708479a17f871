"""Edits that a preview made ahead: found by the run, whose other batches go around them."""

from __future__ import annotations

from tests.editing.scripted import IDS, Script, finish, no_filter, pictures

from varireal.editing.ahead import AheadEdits


def test_what_a_preview_made_is_not_painted_again_and_shares_no_batch(jobs, make_run, monkeypatch) -> None:
    accepted_from = {IDS[0]: 0, IDS[1]: 1, IDS[2]: 0, IDS[3]: 2, IDS[4]: 0}
    shown = [jobs[1], jobs[3]]
    preview = make_run(Script(accepted_from))
    preview.ahead(shown[0]).add(job.image_id for job in shown)
    made = pictures(preview, finish(preview, shown))
    script = Script(accepted_from)
    run = make_run(script)
    edits = finish(run, jobs)
    # batches of two: what the preview made is found with all attempts, and the others close ranks
    assert script.batches == [[IDS[0], IDS[2]], [IDS[4]]]
    assert [edit.job for edit in edits] == list(jobs)  # in their own order all the same
    assert [len(edit.attempts) for edit in edits] == [1, 2, 1, 3, 1]
    assert [pictures(run, edits)[place] for place in (1, 3)] == made


def test_without_a_record_batches_are_cut_as_ever(jobs, make_run) -> None:
    script = Script(dict.fromkeys(IDS, 0))
    finish(make_run(script), jobs)
    assert script.batches == [IDS[0:2], IDS[2:4], IDS[4:]]


def test_a_second_preview_adds_a_group_of_what_is_new(jobs, make_run) -> None:
    run = make_run(no_filter())
    record = run.ahead(jobs[0])
    assert record.groups() == []
    record.add([IDS[0], IDS[3]])
    record.add([IDS[3], IDS[0]])
    record.add([IDS[0], IDS[1], IDS[3]])
    assert record.groups() == [[IDS[0], IDS[3]], [IDS[1]]]
    other = AheadEdits({"another": "editor"}, "background", "infeasible", 0)
    assert other.groups() == []
