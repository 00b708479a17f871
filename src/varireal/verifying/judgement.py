"""The answer to whether the working folder's results are those of a commit."""

from __future__ import annotations

import dataclasses

from varireal import paths
from varireal.errors import UserError
from varireal.verifying.causes import causes
from varireal.verifying.revision import State
from varireal.verifying.tolerances import NOTHING, Difference, Scale, count_figures, differences

EVALUATED, MEASURED, JUDGED = (f"{paths.METRICS}/{name}.json" for name in ("evaluate", "measure", "verdicts"))
MOST = 5  # differences that are named of a file


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What was compared, and where it differs."""

    files: int
    same: int  # files, to the byte
    figures: int
    verdicts: int
    differing: dict[str, list[Difference]]  # by file; an empty list where only the writing or sentences differ
    lacking: list[str]  # files that one side does not have
    drawn: list[str]  # other files that differ: tables, curves and pictures of the same figures
    stages: dict[str, tuple[str, list[str]]]  # why, and outputs, by stage

    @property
    def outside(self) -> list[tuple[str, Difference]]:
        """Return the figures and verdicts that do not agree, with their files."""
        return [(path, each) for path, found in self.differing.items() for each in found if not each.agrees]

    @property
    def agrees(self) -> bool:
        """Tell whether every figure is within its tolerance and every verdict the same."""
        return not self.outside and not self.lacking


def judge_states(before: State, now: State) -> Judgement:
    """Compare all files of metrics of two states; only JSON holds figures, the rest is drawn from them.

    Raises:
        UserError: a file is no JSON, or what tolerances depend on is missing.
    """
    both = [path for path in before.files if path in now.files and path.endswith(".json")]
    # looks of `varireal settle` are no results of a stage: one side may well have none
    of_stages = (before.files.keys() ^ now.files.keys()) - {paths.SETTLED.as_posix()}
    lacking = sorted(path for path in of_stages if path.endswith(".json"))
    unlike = [path for path in both if before.files[path] != now.files[path]]
    scale = _scale(before) if unlike else Scale(0, 1, 1, 1)
    counts = [count_figures(before.figures(path)) for path in both]
    return Judgement(
        files=len(both),
        same=len(both) - len(unlike),
        figures=sum(figures for figures, _ in counts),
        verdicts=sum(verdicts for _, verdicts in counts),
        differing={path: differences(before.figures(path), now.figures(path), scale) for path in unlike},
        lacking=lacking,
        drawn=sorted(
            path
            for path in now.files
            if path not in both and now.files[path] != before.files.get(path, now.files[path])
        ),
        stages=causes(before.lock, now.lock),
    )


def _scale(state: State) -> Scale:
    try:
        tested, measured = state.figures(EVALUATED), state.figures(MEASURED)
        margin, classes = state.figures(JUDGED)["margin"], len((tested["zero_shot"] or tested["real"][0])["per_class"])
        return Scale(margin, tested["images"], measured["real"]["val_photos"], classes)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{state.name} has metrics of another shape ({type(error).__name__}: {error}), of which no tolerance is "
            "known; name a commit of this version's results"
        ) from error


def told(judgement: Judgement) -> list[str]:
    """Return what was found as lines: files that differ with their largest difference, then why."""
    lines = []
    for path, found in judgement.differing.items():
        wrong = sorted((each for each in found if not each.agrees), key=lambda each: not each.is_verdict)
        if wrong:
            lines.append(f"  {path}: {len(wrong)} of {len(found)} differences too large")
            lines += [f"    {_told(each)}" for each in wrong[:MOST]]
        elif found:
            lines.append(f"  {path}: {len(found)} within tolerance, the largest {_told(max(found, key=_share))}")
        else:
            lines.append(f"  {path}: the same figures, other words")
    lines += [f"  {path}: only one of the two has it" for path in judgement.lacking]
    if judgement.drawn:
        lines.append(f"  {', '.join(judgement.drawn)}: drawn from these figures")
    grouped: dict[tuple[str, str], list[str]] = {}
    for stage, (why, outs) in judgement.stages.items():
        grouped.setdefault((stage.partition("@")[0], why), []).extend(outs)
    for (stage, why), outs in grouped.items():
        more = f" and {len(outs) - MOST} more" if len(outs) > MOST else ""
        lines.append(f"  {stage}: {', '.join(outs[:MOST])}{more}: {why}")
    return lines


def _share(each: Difference) -> float:
    return each.share


def _told(each: Difference) -> str:
    values = f"{each.key} {_short(each.before)} → {_short(each.now)}"
    return values if each.allowed is None else f"{values} (±{each.allowed:.3g} allowed)"


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(NOTHING if value is None else value)
