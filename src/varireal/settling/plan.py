"""The looks of `varireal settle`: how many seeds each has, what error it spends, and its experiment's settings."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.files import read_mapping
from varireal.config import Params
from varireal.errors import UserError
from varireal.evaluation.cells import cells
from varireal.evaluation.comparisons import Comparison, comparisons
from varireal.evaluation.looks import levels
from varireal.reporting.dose import NOT_OF_THE_STUDY
from varireal.store import content_key
from varireal.sweeping.points import compose

NOT_OF_A_PLAN: dict[str, Any] = {
    "report": True, "settle": True, "tracking": True, "watch": True,
    "grid": {"seeds"}, "compute": NOT_OF_THE_STUDY["compute"],
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PlannedLook:
    """One look, an experiment with so many seeds."""

    number: int
    level: float  # the part of the error that it spends
    params: Params
    overrides: tuple[str, ...]  # of conf/, as `dvc exp run -S` takes them

    @property
    def seeds(self) -> int:
        """Return the number of seeds."""
        return len(self.params.grid.seeds)

    @property
    def name(self) -> str:
        """Return the experiment's name, such as ``settle-5-seeds``."""
        return f"settle-{self.seeds}-seeds"

    @property
    def fine_tunings(self) -> int:
        """Return the number of fine-tunings of the experiment, each of which predicts the test photos once."""
        return sum(cell.adapter is not None for cell in cells(self.params.grid))


def plan_looks(settings: Sequence[str], conf: Path) -> list[PlannedLook]:
    """Return all looks that the settings plan; the seeds of each hold those of the looks before it.

    Args:
        settings: overrides of conf/.
        conf: the folder that settings are composed from.

    Raises:
        UserError: an override is wrong, or the settings leave nothing to compare.
    """
    params = compose(settings, conf, "settle")
    if not asked(params):
        raise UserError(
            f"grid.conditions = {list(params.grid.conditions)} leaves nothing to compare; name two of feasible, "
            "infeasible and mixed"
        )
    numbers = params.settle.looks
    seeds = seeds_of(params.grid.seeds, numbers[-1])
    others = tuple(setting for setting in settings if setting.split("=")[0] != "grid.seeds")
    planned = []
    for k, (count, level) in enumerate(zip(numbers, levels(numbers)), start=1):
        grid = params.grid.model_copy(update={"seeds": seeds[:count]})
        override = f"grid.seeds=[{','.join(map(str, seeds[:count]))}]"
        own = params.model_copy(update={"grid": grid})
        planned.append(PlannedLook(k, level, own, (*others, override)))
    return planned


def seeds_of(first: Sequence[int], count: int) -> list[int]:
    """Return so many seeds: those of the settings, then the smallest numbers that they leave out."""
    return list(itertools.islice(itertools.chain(first, (n for n in itertools.count() if n not in first)), count))


def asked(params: Params) -> list[Comparison]:
    """Return the comparisons of the study's own question."""
    return [each for each in comparisons(params.grid) if each.family == "feasibility"]


def plan_json(looks: Sequence[PlannedLook]) -> dict[str, Any]:
    """Return what has to stay the same from the first look to the last, as JSON values."""
    last = looks[-1].params
    return {
        "study": content_key(last.model_dump(mode="json", exclude=NOT_OF_A_PLAN))[:16],
        "margin": last.report.margin,
        "seeds": last.grid.seeds,
        "looks": [look.seeds for look in looks],
    }


def check_plan(plan: dict[str, Any], path: Path = paths.SETTLED) -> None:
    """Check that looks at the same study were planned as these are.

    Raises:
        UserError: the file of earlier looks cannot be read, or they were planned otherwise.
    """
    if not path.is_file():
        return
    before = read_mapping(path, "plan")["plan"]
    if not isinstance(before, dict) or before.get("study") != plan["study"]:
        return
    names = {"margin": "report.margin", "seeds": "grid.seeds", "looks": "settle.looks"}
    changed = [
        f"{name} was {before.get(key)}, not {plan[key]}" for key, name in names.items() if before.get(key) != plan[key]
    ]
    if changed:
        raise UserError(
            f"{path} holds looks at this study that were planned otherwise: {'; '.join(changed)}. Who changes the "
            "plan after a look makes more false claims: put it back, or remove the file to begin anew"
        )
