from __future__ import annotations

import pytest

from varireal.doctor.workload import H100, StepCosts, Workload, stated_hours

WORK = Workload(
    photos={"train": 10, "val": 20, "test": 30},
    edits_per_cell=50,
    denoising_steps={"color feasible": 6, "background feasible": 30},
    max_attempts=3,
    training_processes=2,
    fine_tunings=4,
    steps=100,
    looks=5,
    batch_size=8,
)


def test_hours_are_those_worked_out_by_hand():
    """A second a denoising step; towers of 2 and 1 FLOPs on a machine that reaches 5 FLOPs a second."""
    hours = stated_hours(WORK, classes=3, costs=StepCosts(1.0, 2.0, 1.0, 10.0, 0.5), attempts=2.0)
    assert hours["edits"] == pytest.approx(50 * 36 * 1.0 * 2 / 3600)
    assert hours["training"] == pytest.approx(4 * 100 * 3 * (8 * 2 + 3 * 1) / 5 / 3600)
    assert hours["looks and tests"] == pytest.approx((4 * 5 * 20 + 5 * 30) * 2 / 5 / 3600)


def test_the_stated_h100_draws_a_picture_of_30_steps_in_the_published_time():
    assert 30 * H100.denoising_step == pytest.approx(2.496)
