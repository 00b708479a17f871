"""Look after look, with experiments that are there already; tests/commands/test_settle.py runs real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from varireal.base.seeding import generator
from varireal.errors import UserError
from varireal.evaluation.predictions import Model, Predictions
from varireal.reporting.experiments import Experiment
from varireal.reporting.settling import end_line
from varireal.settling import costs
from varireal.settling.plan import PlannedLook, plan_looks
from varireal.settling.settle import Budget, settle
from varireal.store import FolderStore
from varireal.sweeping.experiments import SavedExperiment

CONF = Path(__file__).parents[2] / "conf"
SETTINGS = ["grid.attributes=[color]", "grid.sources=[synthetic]", "grid.conditions=[feasible,infeasible]",
            "grid.controls=[]", "settle.looks=[2,4,8]", "report.margin=4"]  # fmt: skip
PHOTOS = 1000


def predictions(apart: float, photos: int = PHOTOS, **others: float) -> Predictions:
    """Two conditions so many points apart, whose seeds scatter by a point or two, and others worse by their points."""
    rng = generator("settle", apart)
    by_model = {}
    worse = {"feasible": 0.0, "infeasible": apart, **others}
    for condition, share in ((name, 0.7 - points / 100) for name, points in worse.items()):
        answers = {}
        for seed in range(8):
            right = round((share + 0.02 * rng.standard_normal()) * photos)
            answers[seed] = (np.arange(photos) >= right).astype(int)
        by_model[Model("synthetic", "color", condition)] = answers
    return Predictions(tuple(f"{k:04}" for k in range(photos)), np.zeros(photos, int), by_model)


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[str]]:
    """A function that lets every experiment find conditions so many points apart; it returns the names of those run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)

    def conditions(apart: float) -> list[str]:
        names: list[str] = []

        def run(wanted: list[PlannedLook], jobs: int, tell: object, shared: object) -> dict[str, SavedExperiment]:
            names.append(wanted[0].name)
            return {wanted[0].name: SavedExperiment(wanted[0].name, f"rev-{wanted[0].seeds}")}

        found = predictions(apart)
        monkeypatch.setattr("varireal.settling.settle.run_missing", run)
        monkeypatch.setattr("varireal.settling.settle.read_experiment", lambda rev: Experiment(rev, found, None))
        return names

    return conditions


def run(budget: Budget, clock: Callable[[], float] = lambda: 0.0) -> tuple[str, list[str]]:
    """Settle; return the state and the lines shown."""
    shown: list[str] = []
    settled = settle(plan_looks(SETTINGS, CONF), budget, tell=lambda line: None, show=shown.append, clock=clock)
    return settled.state, [*shown, end_line(settled)]


def test_it_ends_as_soon_as_all_is_decided(ran: Callable[[float], list[str]]) -> None:
    names = ran(30.0)
    state, shown = run(Budget(8))
    assert (state, names) == ("decided", ["settle-2-seeds", "settle-4-seeds"])  # two seeds decide nothing at 1.25 %
    assert shown[0].startswith("After 2 seeds (look 1 of 3, at 1.2 %): 0 of 1 comparisons decided")
    assert shown[1].startswith("Next, 4 seeds: 6 more fine-tunings and their tests, of unknown length")
    assert "would decide 1 of the 1 left" in shown[1]
    assert shown[3].startswith("  color, synthetic: feasible − infeasible is different, +")
    assert shown[-1].startswith("Every comparison is decided: 1 of 1 decided after 4 seeds. `dvc exp apply settle-4")
    found = json.loads(Path("metrics/settle.json").read_text())
    assert (found["state"], found["seeds"], found["photos"]) == ("decided", 4, PHOTOS)
    assert found["comparisons"]["color"]["synthetic"]["feasible_minus_infeasible"]["decided_after_seeds"] == 4


@pytest.mark.parametrize(("harm", "outcome"), [(30.0, "equivalent"), (0.0, "unproven")])
def test_nothing_is_equivalent_before_a_known_harm_is_found(
    harm: float, outcome: str, ran: Callable[[float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(0.0)
    found = predictions(0.0, **{"harm-20": harm})
    monkeypatch.setattr("varireal.settling.settle.read_experiment", lambda rev: Experiment(rev, found, None))
    settings = [each for each in SETTINGS if "controls" not in each and "margin" not in each]
    looks = plan_looks([*settings, "grid.controls=[harm-20]", "report.margin=9"], CONF)
    shown: list[str] = []
    settled = settle(looks, Budget(8), tell=lambda line: None, show=shown.append, clock=lambda: 0.0)
    assert settled.now.verdicts[0].outcome == outcome
    written = json.loads(Path("metrics/settle.json").read_text())
    told = [line for line in shown if line.startswith("  Controls of synthetic: a known harm is not found")]
    failed = [look["controls_failed"] for look in written["looks"]]
    if outcome == "equivalent":
        assert settled.state == "decided" and failed[-1] == [] and len(told) == len(failed) - failed.count([])
    else:
        assert settled.state == "no seeds left" and failed == [["synthetic"]] * 3 and len(told) == 3
        assert written["undecided"] == 1


def test_it_ends_with_its_seeds(ran: Callable[[float], list[str]]) -> None:
    names = ran(3.0)
    state, shown = run(Budget(7))
    assert (state, names) == ("no seeds left", ["settle-2-seeds", "settle-4-seeds"])
    assert "0 of 1 decided after 4 seeds; for the rest allow more (--max-seeds, settle.looks)" in shown[-1]


def test_no_look_begins_that_would_not_end_in_time(ran: Callable[[float], list[str]]) -> None:
    """6 more fine-tunings of 500 s and 100 s of tests each are an hour, the 12 after them two."""
    for stage, seconds in (("train", 1000.0), ("evaluate", 200.0)):
        FolderStore(stage).note_time(2, seconds)
    names = ran(3.0)
    state, shown = run(Budget(8, hours=0.99))
    assert (state, names) == ("no time left", ["settle-2-seeds"]) and "about 60 min" in shown[1]
    assert run(Budget(8, hours=1.01))[0] == "no time left" and names[1:] == ["settle-2-seeds", "settle-4-seeds"]


def test_predictions_of_other_photos_are_refused_and_what_was_found_stays(
    ran: Callable[[float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(3.0)
    by_rev = {"rev-2": predictions(3.0), "rev-4": predictions(3.0, PHOTOS - 1)}
    read = "varireal.settling.settle.read_experiment"
    monkeypatch.setattr(read, lambda rev: Experiment(rev, by_rev[rev], None))
    with pytest.raises(UserError, match="the test sets differ"):
        run(Budget(8))
    assert json.loads(Path("metrics/settle.json").read_text())["seeds"] == 2


def test_a_seed_without_predictions_is_named(
    ran: Callable[[float], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran(3.0)
    short = predictions(3.0)
    del short.by_model[Model("synthetic", "color", "infeasible")][1]
    monkeypatch.setattr("varireal.settling.settle.read_experiment", lambda rev: Experiment(rev, short, None))
    with pytest.raises(UserError, match="settle-2-seeds lacks predictions of color infeasible synthetic, seed 1"):
        run(Budget(8))


def test_costs_are_the_middle_of_the_newest_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert costs.seconds_of(5) is None
    train, evaluate = FolderStore("train"), FolderStore("evaluate")
    for seconds in [900.0] * 30 + [10.0] * 6 + [500.0] * 4:
        train.note_time(1, seconds)
    assert costs.seconds_of(5) is None  # no test was clocked
    evaluate.note_time(10, 5.0)
    with (train.folder / "times.txt").open("a") as file:
        file.write("3 17")  # of a process that was killed
    assert costs.seconds_of(5) == pytest.approx(5 * (10.0 + 0.5))
