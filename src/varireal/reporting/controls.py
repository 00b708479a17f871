"""Can this study see? What its controls show, in plain sentences that stand before all answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from varireal.evaluation.comparisons import Family, Verdict
from varireal.evaluation.controls import Sight, baseline, is_found, sights
from varireal.reporting.words import BESIDE, UNPROVEN, interval_words, label, p_words, signed

QUESTION = "Can this study see?"
CONTROL_QUESTIONS: dict[Family, str] = {
    "harm": "Control: is a known harm seen?",
    "null": "Control: is something found where nothing is?",
}
SEE_MORE = (
    "More seeds (grid.seeds) or test photos would let it see more, and so would less noise: more steps at a lower rate "
    "(train.max_steps, train.learning_rate)."
)
DRAW_LESS = (
    "More edits of a photo (edit.edits_per_photo) make the worth of a draw matter less; in one study of twenty a "
    "difference is found by chance."
)


@dataclasses.dataclass(frozen=True)
class ControlsAnswer:
    """What all controls say together."""

    able: bool  # they are as they should be, for every training source
    short: str  # what is seen; before it what is not
    parts: tuple[str, ...]  # every training source, and real photos alone
    advice: str  # what to change, where they are not as they should be


def controls_answer(verdicts: Sequence[Verdict], margin: float) -> ControlsAnswer | None:
    """Return what the controls show; None where the study has none.

    Args:
        margin: points of top-1 within which a difference does not matter.
    """
    found = sights(verdicts)
    if not found:
        return None
    several = len({sight.attribute for sight in found}) > 1
    failing = [sight for sight in found if not sight.able]
    told = [*(_failure(sight, several) for sight in failing), *_successes([s for s in found if s.able], several)]
    if failing:
        everywhere = len(failing) == len(found)
        told.append(f"So no comparison {'' if everywhere else 'there '}is called equivalent, but “{UNPROVEN}”.")
    told += [_within_margin(sight, margin, several) for sight in found if sight.able and _is_small(sight, margin)]
    parts = [f"{_place(sight, several)}: {_details(sight)}" for sight in found]
    if (real := baseline(verdicts)) is not None:
        seen = "found" if is_found(real) and real.difference.mean > 0 else "not found to help"
        parts.append(f"real photos alone: {signed(real.difference.mean)} over zero-shot ({_p(real)}), {seen}")
    advice = [SEE_MORE] if any(sight.harms and sight.seen is None for sight in failing) else []
    advice += [DRAW_LESS] if not all(sight.finds_nothing for sight in failing) else []
    return ControlsAnswer(not failing, " ".join(told), tuple(parts), " ".join(advice))


def controls_headline(verdicts: Sequence[Verdict], margin: float) -> list[str]:
    """Return what the controls show as lines for the terminal: one, or two where they are not as they should be."""
    answer = controls_answer(verdicts, margin)
    if answer is None:
        return []
    return [f"{QUESTION} {answer.short}", *([f"  {answer.advice}"] if answer.advice else [])]


def controls_sentences(verdicts: Sequence[Verdict], margin: float) -> list[str]:
    """Return everything that is to say of the controls as lines."""
    answer = controls_answer(verdicts, margin)
    if answer is None:
        return []
    below = (*answer.parts, *([answer.advice] if answer.advice else []))
    return [f"{QUESTION} {answer.short}", *(f"  {each}" for each in below)]


def _place(sight: Sight, several: bool) -> str:
    """Return where a control was made: how edits were trained with, and their attribute where there are several."""
    place = BESIDE.get(sight.source, sight.source)
    return f"{place} on {sight.attribute}" if several else place


def _failure(sight: Sight, several: bool) -> str:
    """Say what is not as it should be."""
    said = []
    if sight.harms and sight.seen is None:
        largest = sight.harms[-1]
        said.append(f"does not see {label(largest.comparison.first)} ({_figures(largest)})")
    if sight.null is not None and not sight.finds_nothing:
        said.append(f"finds a difference where nothing is but the draw ({_figures(sight.null)})")
    return f"Edits {_place(sight, several)}: this study {' and '.join(said)}."


def _is_small(sight: Sight, margin: float) -> bool:
    """Tell whether even the largest harm made is less than what is taken to matter."""
    return bool(sight.harms) and abs(sight.harms[-1].difference.mean) < margin


def _within_margin(sight: Sight, margin: float, several: bool) -> str:
    """Say what a margin wider than the largest known harm means: ICH E10 asks for one that is narrower."""
    return (
        f"Edits {_place(sight, several)}: even {label(sight.harms[-1].comparison.first)} cost less than the margin of "
        f"{margin:g} points, so what is called equivalent there may hide a harm of that size; read the bounds."
    )


def _successes(able: Sequence[Sight], several: bool) -> list[str]:
    """Say in one sentence what is seen, and that nothing is where nothing is."""
    if not able:
        return []
    seen = [
        f"a harm of {abs(sight.seen.difference.mean):.1f} points {_place(sight, several)} ({_harm(sight.seen)})"
        for sight in able
        if sight.seen is not None
    ]
    nothing = ["finds nothing where nothing is"] if any(sight.null for sight in able) else []
    claims = ([f"sees {' and '.join(seen)}"] if seen else []) + nothing
    return [f"This study {', and '.join(claims)}."]


def _details(sight: Sight) -> str:
    told = [f"{_harm(v)}{'' if is_found(v) else ' not found'}" for v in sight.harms]
    if sight.null is not None:
        found = "nothing found" if sight.finds_nothing else "found"
        told.append(f"two draws {signed(sight.null.difference.mean)} ({interval_words(sight.null)}), {found}")
    return "; ".join(told)


def _harm(verdict: Verdict) -> str:
    return f"{label(verdict.comparison.first)}: {signed(verdict.difference.mean)}, {_p(verdict)}"


def _figures(verdict: Verdict) -> str:
    return f"{signed(verdict.difference.mean)}, {interval_words(verdict)}, {_p(verdict)}"


def _p(verdict: Verdict) -> str:
    """Return the corrected p-value, such as ``p = 0.012``."""
    if verdict.difference.seeds < 2:
        return "one seed tells nothing"
    words = p_words(verdict.p_difference_holm)
    return f"p {words}" if words.startswith("<") else f"p = {words}"
