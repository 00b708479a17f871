"""Hours of one GPU from stated costs, worked out by hand."""

from __future__ import annotations

import pytest
from tests.test_conf import compose

from varireal.config import Params, load_params
from varireal.datasets import DATASETS
from varireal.doctor.hours import H100, CallCosts, stated_hours
from varireal.doctor.workload import Workload, count_workload
from varireal.evaluation.comparisons import ALPHA, comparisons
from varireal.evaluation.planning import decides
from varireal.evaluation.statistics import POWER, CrossedMean

# a second is 12 units of work here, and the machine that trains reaches 5 FLOPs a second
COSTS = CallCosts(
    step=1.0,
    work={
        "UNet 1024": 12, "UNet 768": 6, "ControlNet 768": 3, "ControlNet 1024": 4, "VAE encoder 768": 2,
        "VAE decoder 768": 3, "UNet of priors 768": 1.2, "judge, look": 1, "judge, picture": 23, "judge, question": 0.4,
    },
    mask=0.5, image_flops=2.0, text_flops=1.0, flops_per_second=10.0, utilisation=0.5,
)  # fmt: skip
WORK = Workload(
    photos={"train": 10, "val": 20, "test": 30},
    edits_per_cell=50,
    denoising_steps={"color feasible": 6 + 25, "background feasible": 30},
    refining_steps={"color feasible": 25, "background feasible": 0},
    max_attempts=3,
    training_processes=2,
    fine_tunings=4,
    steps=100,
    looks=5,
    batch_size=8,
)


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Params:
    target = tmp_path_factory.mktemp("lean") / "params.yaml"
    compose(target, ["dataset=oxford_pets", "models=sdxl", "scale=lean"])
    return load_params(target)


def test_hours_are_those_worked_out_by_hand(lean: Params) -> None:
    """Lean paints squares of 768 pixels, draws 4 pictures a value in 20 steps, and finds no masks for pets."""
    hours = stated_hours(lean, WORK, classes=3, values=6, costs=COSTS, attempts=2.0)
    expected = {
        "masks": 0,
        "priors": 6 * 4 * (20 * 0.1 + 0.25),
        "inpainting": 50 * 2 * (6 + 30) * 0.5,
        "refining": 50 * 2 * 25 * (0.5 + 0.25),
        "autoencoder": 50 * 2 * (2 * (2 * 2 * 2 / 12 + 0.25) + 0.25),
        "judge": 50 * 2 * 2 * (2 + 3 * 0.4 / 12),
        "training": 4 * 100 * 3 * (8 * 2 + 3 * 1) / 5,
        "looks and tests": (4 * 5 * 20 + 5 * 30) * 2 / 5,
    }
    assert hours == pytest.approx({part: seconds / 3600 for part, seconds in expected.items()})
    read_anew = stated_hours(lean, WORK, classes=3, values=6, costs=COSTS, attempts=2.0, readings=3)
    assert read_anew["judge"] * 3600 == pytest.approx(50 * 2 * 2 * (3 * 2 + 3 * 0.4 / 12))
    found = lean.model_copy(update={"segment": lean.segment.model_copy(update={"source": "grounded_sam2"})})
    assert stated_hours(found, WORK, 3, 6, COSTS)["masks"] == pytest.approx(10 * 0.5 / 3600)


def test_a_size_that_nobody_counted_is_not_guessed(lean: Params) -> None:
    inpaint = lean.edit.inpaint.model_copy(update={"image_size": 640})
    other = lean.model_copy(update={"edit": lean.edit.model_copy(update={"inpaint": inpaint})})
    with pytest.raises(KeyError, match="640"):
        stated_hours(other, WORK, 3, 6, COSTS)


def test_lean_is_small_enough_for_a_day_and_keeps_the_recipes_of_the_study(lean: Params) -> None:
    photos = {"train": 48 * 37, "val": 552, "test": 3669}
    work = count_workload(lean, photos)
    # 29 steps for a background, 6 + 25 for a color or texture; 120 rounds over 1,776 edits in batches of 64
    assert set(work.denoising_steps.values()) == {29, 31} and set(work.refining_steps.values()) == {0, 25}
    assert (work.edits, work.steps, work.looks) == (6 * 1776, 3330, 14)
    assert lean.edit.lengths_at == 1024  # lengths of the recipes are pixels of the study's square all the same
    assert sum(stated_hours(lean, work, 37, 300, H100, attempts=3.0).values()) < 25


# test photos, and the share of wrong answers that the study's standard errors of these test sets come from
PUBLISHED = {"oxford_pets": (3669, 0.05), "stanford_cars": (8041, 0.10), "fgvc_aircraft": (3333, 0.20)}
SEEDS_APART = 0.5  # points between seeds of one difference, assumed


@pytest.mark.parametrize("name", PUBLISHED)
def test_lean_decides_that_nothing_differs_within_its_margin(lean: Params, name: str) -> None:
    """Two models as wrong as the study's, half of whose mistakes are the same, differ on that share of the photos."""
    photos, wrong = PUBLISHED[name]
    seeds = len(lean.grid.seeds)
    assert DATASETS[name].photo_counts["test"] == photos
    count = sum(each.family == "feasibility" for each in comparisons(lean.grid))
    assert (seeds, count) == (5, 18)  # 3 attributes, 2 sources, 3 pairs of conditions
    found = CrossedMean(
        0.0, photos, seeds, 100**2 * wrong / photos, SEEDS_APART**2 / seeds, 0.0, freedom=2 * (seeds - 1)
    )
    # by hand, in standard errors: z(0.05/18) = 2.77 and t of 8 degrees 3.76 for the interval, z(0.9) = 1.28 for power
    photo, seed = found.photo, found.seed
    by_hand = (2.77 * photo + 3.76 * seed) / (photo + seed) ** 0.5 + 1.28 * (photo + seed) ** 0.5
    least = {"oxford_pets": 1.87, "stanford_cars": 1.82, "fgvc_aircraft": 3.34}[name]
    assert by_hand == pytest.approx(least, rel=0.01)

    def decided(margin: float, seeds: int = seeds) -> bool:
        return decides(found.planned(photos, seeds), margin, ALPHA / count, POWER)

    assert decided(lean.report.margin)
    assert decided(least + 0.01) and not decided(least - 0.02)
    assert not any(decided(0.3, more) for more in (5, 40, 1000))  # the photos alone are too few


def test_the_stated_h100_draws_a_picture_of_30_steps_in_the_published_time() -> None:
    assert 30 * H100.seconds("UNet", 1024) == pytest.approx(2.496)
