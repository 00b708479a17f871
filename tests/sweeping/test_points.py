from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from varireal.errors import UserError
from varireal.sweeping.points import count_stages, plan_points

REPOSITORY = Path(__file__).parents[2]
CONF = REPOSITORY / "conf"


def test_every_point_has_a_readable_name_and_validated_settings() -> None:
    points = plan_points([1, 0.25], [1, 3], ["grid.attributes=[color]"], CONF)
    assert [point.name for point in points] == [
        "ratio-0p25-edits-3", "ratio-1-edits-3", "ratio-0p25-edits-1", "ratio-1-edits-1",
    ]  # fmt: skip
    first = points[0]
    assert first.overrides == ("grid.attributes=[color]", "mix.ratio=0.25", "edit.edits_per_photo=3")
    assert (first.params.mix.ratio, first.params.mix.share("mixed")) == (0.25, 0.25)
    assert (first.params.edit.edits_per_photo, first.params.grid.attributes) == (3, ["color"])


def test_without_numbers_of_edits_there_is_one_curve_with_that_of_the_settings() -> None:
    points = plan_points([0.00001, 0.5], [], [], CONF)
    assert [point.name for point in points] == ["ratio-0p00001", "ratio-0p5"]  # a minus would look like a name's end
    assert {point.params.edit.edits_per_photo for point in points} == {1}


@pytest.mark.parametrize(
    ("ratios", "edits", "settings", "message"),
    [
        ([0.5], [], [], "a curve needs two ratios at least"),
        ([0, 0], [], [], "a ratio is named twice: 0, 0"),
        ([0, 1], [2, 2], [], "a number of edits per photo is named twice"),
        ([0, 1.5], [], [], "the experiment ratio-1p5: mix.ratio = 1.5: input should be less than or equal to 1"),
        ([0, 1], [], ["mix.ratio=0.3"], "mix.ratio is what the sweep changes; give its values to --ratios"),
        ([0, 1], [], ["grid.colours=2"], "the experiment ratio-0: unknown key grid.colours; allowed here: attributes"),
        ([0, 1], [], ["dataset=none"], "dataset=none: there is no such choice; allowed: fgvc_aircraft, image_folder"),
        ([0, 1], [], ["seed=1,2"], "cannot be composed: Ambiguous value"),
        ([0, 1], [], ["grid.attributes=[hue]"], "the experiment ratio-0: grid.attributes.0 = 'hue'"),
        ([0, 1], [], ["grid.conditions=[feasible]"], "grid.conditions leaves out mixed"),
    ],
)
def test_a_wrong_value_is_named_before_anything_is_queued(
    ratios: list[float], edits: list[int], settings: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan_points(ratios, edits, settings, CONF)
    assert message in str(caught.value)


def test_the_stages_of_a_smaller_grid_are_counted() -> None:
    (point, _) = plan_points([0, 1], [], ["grid.attributes=[color]"], CONF)
    pipeline = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
    # 3 before the edits, 2 kinds of edits, measure, mix, 3 trainings, 5 of controls, real only, evaluate, report
    assert count_stages(pipeline, point.params) == 3 + 2 + 1 + 1 + 3 + 5 + 1 + 1 + 1
