"""The answers in sentences: bounds, attributes, power and advice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from varireal import paths
from varireal.config import load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.planning import Size
from varireal.evaluation.predictions import REAL, ZERO_SHOT, Model, read_predictions
from varireal.evaluation.statistics import crossed_mean
from varireal.reporting.answers import all_sentences, answers, chance_words, headline
from varireal.reporting.words import at_most, less_than


@pytest.fixture(scope="module")
def judged(study_to_copy: Path) -> list[Verdict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(study_to_copy)
        patch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no test here looks at the bootstrap
        grid = load_params(Path("params.yaml")).grid
        right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
        return judge(comparisons(grid), right, 0.3, seed=0)


@pytest.fixture
def verdicts(judged: list[Verdict]) -> list[Verdict]:
    return list(judged)


def changed(verdicts: list[Verdict], **values) -> list[Verdict]:
    return [dataclasses.replace(verdict, **values) for verdict in verdicts]


def test_bounds_are_rounded_up_and_named() -> None:
    assert [at_most(points) for points in (0.3, 0.301, 0.7, 1.0, 1.01, 4.056, 12.3)] == [
        "0.3", "0.31", "0.7", "1.0", "1.1", "4.1", "12.3",
    ]  # fmt: skip
    assert less_than(4.056) == "less than 4.1 points"
    assert less_than(None) == "by an unknown amount, with one seed"
    assert less_than(100.0) == "any number of points"


def test_a_question_opens_with_one_bound_for_all_its_comparisons(verdicts: list[Verdict]) -> None:
    feasibility, gain = answers(verdicts, 0.3)
    # per attribute and source: feasible and mixed each 3 above infeasible, and mixed the same as feasible
    assert feasibility.question == "Does feasibility matter?"
    assert feasibility.short == (
        "By less than 4.1 points in all 12 comparisons (95 %): 8 different, 4 undecided (margin ±0.3)."
    )
    assert gain.short.startswith(
        "It changes top-1 by less than 37.1 points in all 13 comparisons (95 %): all different"
    )
    assert gain.advice == ()


def test_each_attribute_has_a_line_with_bound_intervals_and_outcome(verdicts: list[Verdict]) -> None:
    feasibility, gain = answers(verdicts, 0.3)
    # Seed 0 wins photos 188 to 199 and seed 1 those from 196 to 207. Of 400 photos 16 gain a half, 4 one, the mean is
    # 0.03: (7.64 + 1) / 401 / 400 less the rest 8 / 399 / 800, times 100²: a variance of 0.288. 1.966 errors: ±1.05.
    # The bound counts 0.410 at its own margin: 1.6487 * sqrt(0.410) = 1.056, so 4.056, rounded up.
    same = "less than 4.1 points; feasible − infeasible +1.9 to +4.1 alone, +1.9 to +4.1 with real photos: different"
    assert feasibility.parts == (f"color: {same}", f"texture: {same}")
    assert gain.parts[0].startswith("color: less than ") and gain.parts[0].endswith(" points: all different")
    assert len(gain.baselines) == 1
    assert gain.baselines[0].startswith("baselines: real only − zero-shot +31.0 (") and "different" in gain.baselines[0]


def test_outcomes_of_an_attribute_that_differ_stand_by_their_source(verdicts: list[Verdict]) -> None:
    verdicts[0] = dataclasses.replace(verdicts[0], outcome="undecided")
    assert (
        answers(verdicts, 0.3)[0]
        .parts[0]
        .endswith("feasible − infeasible +1.9 to +4.1 alone (undecided), +1.9 to +4.1 with real photos (different)")
    )


def test_a_smaller_bound_of_its_own_is_an_attributes(verdicts: list[Verdict]) -> None:
    small = [v if v.comparison.first.attribute == "texture" else dataclasses.replace(v, bound=0.5) for v in verdicts]
    parts = answers(small, 0.3)[0].parts
    assert parts[0].startswith("color: less than 0.5 points;") and parts[1].startswith("texture: less than 4.1 points;")


def test_claims_name_the_better_one_and_where(verdicts: list[Verdict]) -> None:
    feasibility, gain = answers(verdicts, 0.3)
    assert feasibility.details[0] == (
        "feasible is better than infeasible: color, synthetic (+3.0); color, real+synthetic (+3.0); "
        "texture, synthetic (+3.0); texture, real+synthetic (+3.0)."
    )
    assert feasibility.details[1].startswith("mixed is better than infeasible: color, synthetic (+3.0);")
    assert len(feasibility.details) == 2
    assert gain.details[-1] == "real only is better than zero-shot: baselines (+31.0)."


def test_power_is_told_of_the_quietest_and_the_noisiest(verdicts: list[Verdict]) -> None:
    values = changed(verdicts, detectable=1.23)
    values[3] = dataclasses.replace(values[3], detectable=0.5)
    gain = values[-1].comparison.family
    assert answers(values, 0.3)[1].family == gain
    said = "A true difference of 0.5 points would be found with 80 % power in the quietest comparison, "
    told = {answer.family: answer.power for answer in answers(values, 0.3)}
    assert told[values[3].comparison.family] == (said + "1.3 points in the noisiest.",)
    values[-1] = dataclasses.replace(values[-1], detectable=100.0)
    assert answers(values, 0.3)[1].power[0].endswith("the noisiest hides any.")
    assert answers(changed(verdicts, detectable=100.0), 0.3)[0].power == (
        "No difference, however large, would be found here with 80 % power.",
    )


def test_advice_is_given_only_where_a_realistic_study_would_do(verdicts: list[Verdict]) -> None:
    (advice,) = answers(changed(verdicts, outcome="undecided", needed=[Size(400, 9)]), 0.3)[0].advice
    assert advice == "Nearest to a verdict is color, synthetic (feasible − infeasible): it needs about 7 more seeds."
    (advice,) = answers(changed(verdicts, outcome="undecided", needed=[]), 2.0)[1].advice
    assert advice == (
        "Even 20 times the photos and seeds would decide nothing more (the noise is too large for this margin): widen "
        "the margin (report.margin), or lower the noise: more steps at a lower rate (train.max_steps, "
        "train.learning_rate), more edits (edit.edits_per_photo)."
    )
    three = [v for v in verdicts if v.difference.mean == 3.0 and v.comparison.family == "feasibility"]
    (advice,) = answers(changed(three, outcome="undecided", needed=[]), 2.0)[0].advice
    assert "nothing more (the difference measured is about the margin itself): widen" in advice


def test_all_equivalent_and_one_seed(verdicts: list[Verdict]) -> None:
    equal = answers(changed(verdicts, outcome="equivalent", bound=0.25, family_bound=0.21), 0.3)[0]
    assert equal.short == "By less than 0.21 points in all 12 comparisons (95 %): all equivalent (margin ±0.3)."
    assert (equal.details, equal.advice) == ((), ())
    one = [
        dataclasses.replace(
            v, outcome="undecided", bound=None, family_bound=None, detectable=None, needed=[],
            difference=dataclasses.replace(v.difference, seeds=1),
        )
        for v in verdicts
    ]  # fmt: skip
    found = answers(one, 0.3)[0]
    assert found.short == "One seed says nothing about others, so nothing is bounded: all undecided."
    assert found.advice == ("A second seed (grid.seeds) would tell the spread over seeds.",)
    assert found.power == () and found.parts[0].startswith("color: by an unknown amount, with one seed; feasible")


def test_a_study_that_bounds_nothing_says_so(verdicts: list[Verdict]) -> None:
    wide = answers(changed(verdicts, outcome="undecided", bound=100.0, family_bound=100.0), 0.3)[0]
    assert wide.short == "This study is too small to bound any difference: all undecided (margin ±0.3)."


def test_the_terminal_gets_the_attributes_of_the_studys_own_question_only(verdicts: list[Verdict]) -> None:
    lines = headline(verdicts, 0.3)
    assert lines[0].startswith("Does feasibility matter? By less than 4.1 points")
    assert [line.split(":")[0] for line in lines if line.startswith("  ")][:2] == ["  color", "  texture"]
    assert sum(line.startswith("  color:") for line in lines) == 1
    assert sum(line.startswith("  baselines:") for line in lines) == 1
    assert lines[-1].startswith("A question's bound holds for all its comparisons at once (95 %)")


def test_all_sentences_hold_the_attributes_of_every_question_and_what_differs(verdicts: list[Verdict]) -> None:
    lines = all_sentences(verdicts, 0.3)
    assert sum(line.startswith("  color:") for line in lines) == 2
    assert "  real only is better than zero-shot: baselines (+31.0)." in lines


def test_classifiers_that_guess_are_named() -> None:
    def right(share: float) -> np.ndarray:
        return np.tile(np.arange(100)[:, None] < 100 * share, (1, 2))

    cell = Model("synthetic", "color", "feasible")
    shares = {ZERO_SHOT: 0.22, REAL: 0.60, cell: 0.20, Model("synthetic", "color", "infeasible"): 0.70}
    means = {model: crossed_mean(right(share)) for model, share in shares.items()}
    # of 4 classes 25 % are guessed; 100 photos leave about 8 points either side
    assert chance_words(means, 4) == [
        "At chance level (25.0 % for 4 classes): zero-shot (22.0 %), 1 of 2 trained on edits. Comparisons of such "
        "classifiers say nothing of feasibility."
    ]
    assert chance_words(means, 20) == []  # 5 % are guessed, and all are above
