"""The points of a sweep: a share of infeasible images each, the settings it means, and the experiment's name."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from varireal.config import Params, composing, load_params
from varireal.errors import UserError

SWEPT = ("mix.ratio", "edit.edits_per_photo")  # what a sweep sets itself


@dataclasses.dataclass(frozen=True)
class Point:
    """One experiment of a sweep."""

    ratio: float  # mix.ratio, the share of infeasible images in the condition mixed
    edits_per_photo: int | None  # None: as the settings have it
    params: Params  # all settings of the experiment, validated
    overrides: tuple[str, ...]  # of conf/, as `dvc exp run -S` takes them

    @property
    def name(self) -> str:
        """Return the experiment's name, such as ``ratio-0p25`` or ``ratio-0p25-edits-3``."""
        return _name(self.ratio, self.edits_per_photo)


def plan_points(
    ratios: Sequence[float], edits_per_photo: Sequence[int], settings: Sequence[str], conf: Path
) -> list[Point]:
    """Return the points; those with the most edits a photo come first, as they make all that the others need.

    Args:
        ratios: shares of infeasible images, at least two.
        edits_per_photo: one curve for each of these; empty: one curve with the number that the settings have.
        settings: further overrides of conf/, for all points.
        conf: the folder that settings are composed from.

    Raises:
        UserError: a value is not allowed, an override is wrong, or the settings leave out the condition mixed.
    """
    for name, values, least in (("ratio", ratios, 2), ("number of edits per photo", edits_per_photo, 0)):
        if len(set(values)) != len(values):
            raise UserError(f"a {name} is named twice: {', '.join(map(str, values))}; name each once")
        if len(values) < least:
            raise UserError(f"a curve needs two ratios at least, found {list(values)}; give more, such as 0,0.5,1")
    for setting in settings:
        if (key := setting.split("=")[0].lstrip("+~")) in SWEPT:
            raise UserError(f"{key} is what the sweep changes; give its values to --ratios or --edits-per-photo")
    points = []
    for edits, ratio in itertools.product(sorted(edits_per_photo, reverse=True) or [None], sorted(ratios)):
        swept = [f"mix.ratio={_decimal(ratio)}"] + ([] if edits is None else [f"edit.edits_per_photo={edits}"])
        overrides = (*settings, *swept)
        points.append(Point(ratio, edits, compose(overrides, conf, _name(ratio, edits)), overrides))
    if "mixed" not in points[0].params.grid.conditions:
        raise UserError("grid.conditions leaves out mixed, the only condition that a ratio changes; put it in")
    return points


def compose(overrides: Sequence[str], conf: Path, name: str) -> Params:
    """Compose the settings that `dvc exp run` would write from conf/ with these overrides.

    Raises:
        UserError: an override is wrong, or the settings it leads to are; ``name`` says of which experiment.
    """
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "params.yaml"
        try:
            composing.compose(conf, written, overrides)
            return load_params(written)
        except UserError as error:
            message = str(error).replace(f"{written}: ", "").replace(str(written), "params.yaml")
            raise UserError(f"the experiment {name}: {message}") from error


def count_stages(pipeline: dict[str, Any], params: Params) -> int:
    """Count the stages of a pipeline with these settings, every cell of a matrix for itself.

    Args:
        pipeline: dvc.yaml as read.
    """
    sections = params.model_dump(mode="json")
    total = 0
    for stage in pipeline["stages"].values():
        cells = 1
        for axis in stage.get("matrix", {}).values():
            section, key = axis.removeprefix("${").removesuffix("}").split(".")
            cells *= len(sections[section][key])
        total += cells
    return total


def _name(ratio: float, edits_per_photo: int | None) -> str:
    name = f"ratio-{_decimal(ratio).replace('.', 'p')}"
    return name if edits_per_photo is None else f"{name}-edits-{edits_per_photo}"


def _decimal(value: float) -> str:
    """Return a number without an exponent, whose minus would split a cell's name."""
    text = format(Decimal(str(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
