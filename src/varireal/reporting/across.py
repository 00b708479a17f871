"""The study's question side by side for all classifiers and editors that were run: which studies, and what they say.

Every study keeps its own verdicts and bounds, corrected within itself. Two things hold for all of them together: the
largest of their bounds, and the verdicts that pass a correction for the number of studies as well.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from varireal.errors import UserError
from varireal.evaluation.comparisons import ALPHA
from varireal.evaluation.statistics import POINTS
from varireal.reporting.answers import OUTCOMES, QUESTIONS, largest
from varireal.reporting.side_by_side import ABSENT
from varireal.reporting.studies import Study
from varireal.reporting.words import BESIDE, UNPROVEN, less_than, outcome_words

FAMILY, PAIR = "feasibility", "feasible_minus_infeasible"
CLASSIFIER = ("clip.kind", "clip.model", "clip.pretrained", "clip.frozen")  # settings that say which one it is
EDITOR = ("edit.method", "edit.inpaint.checkpoint")
# sections that say nothing of a study beside its classifier and editor, or that no prediction depends on
NOT_BESIDE = ("clip.", "compute.", "measure.", "report.", "settle.", "tracking.", "watch.")
OF_EDITOR = ("edit.", "filter.", "segment.")  # what another editor may need otherwise
CLAIMS = {"different": "p_difference_holm", "equivalent": "p_equivalence_holm"}
ROUNDING = 5e-5  # of p-values in verdicts.json
MOST_SETTINGS = 4  # that a line names


@dataclasses.dataclass(frozen=True)
class Side:
    """One study of several: its classifier and editor in words, and its part of the answer."""

    study: Study
    classifier: str
    editor: str
    beside: dict[str, tuple[Any, Any]]  # other settings unlike the first study's: its value, and this one's

    @property
    def label(self) -> str:
        """Return what tells the study from the others of the table."""
        return f"{self.classifier} × {self.editor}"

    @property
    def question(self) -> dict[str, Any]:
        """Return the figures of the study's question: its bound, and the number of comparisons that it holds for."""
        return self.study.told["questions"][FAMILY]

    @property
    def pairs(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return feasible minus infeasible by attribute and training source."""
        compared = self.study.told["comparisons"][FAMILY]
        return {(a, s): found[PAIR] for a, by in compared.items() for s, found in sorted(by.items()) if PAIR in found}

    @property
    def blind(self) -> list[str]:
        """Return the training sources that the controls do not show to see; none where there are no controls."""
        cells = (self.study.told.get("controls") or {}).get("cells", {})
        return sorted({source for by in cells.values() for source, cell in by.items() if not cell["able"]})

    def top1(self, baseline: str) -> float | None:
        """Return top-1 of a baseline in percent; None where the classifier has none."""
        figures = self.study.told["top1"].get(baseline)
        return None if figures is None else float(figures["mean"])


@dataclasses.dataclass(frozen=True)
class Across:
    """Studies side by side, which share data set, test photos and margin."""

    dataset: str
    margin: float
    sides: tuple[Side, ...]
    apart: dict[str, str]  # study -> why it cannot be compared
    left: dict[str, str]  # study -> the one of the same classifier and editor that is shown

    @property
    def bound(self) -> float | None:
        """Return the points that all differences of all studies lie below (95 %); None where one study has no bound.

        It needs no correction for the number of studies: it is passed only if the largest of all true differences
        passes its own test (Berger's intersection-union test), whatever the studies share.
        """
        return largest(side.question["bound"] for side in self.sides)

    def holds(self, figures: Mapping[str, Any]) -> bool:
        """Tell whether a verdict, corrected within its study, also stands a correction for the number of studies."""
        name = CLAIMS.get(figures["outcome"])
        return name is not None and (figures[name] + ROUNDING) * len(self.sides) <= ALPHA


def side_by_side(studies: Sequence[Study], *, one_each: bool, apart: Mapping[str, str] | None = None) -> Across:
    """Put studies side by side with the first of them.

    Args:
        one_each: show one study of every classifier and editor: the first, or the one whose settings are nearest to
            the first study's.
        apart: what could not be read, with the reason.

    Raises:
        UserError: fewer than two are left, or one has figures of another shape than `report` writes.
    """
    aside, comparable = dict(apart or {}), []
    for study in studies:
        try:
            reason = _why_apart(studies[0], study)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{study.name} has verdicts of another version ({type(error).__name__}: {error}); make them anew with "
                "`dvc repro`"
            ) from error
        if reason:
            aside[study.name] = reason
        else:
            comparable.append(study)
    chosen, left = _one_each(comparable) if one_each else (comparable, {})
    if len(chosen) < 2:
        told = [f"{name} is set apart: {reason}" for name, reason in aside.items()]
        told += [f"{name} has the classifier and editor of {shown}" for name, shown in left.items()]
        raise UserError(
            f"{studies_words(len(chosen))} to show"
            f"{' (' + '; '.join(told) + ')' if told else ''}; two are the least: run another classifier or editor "
            "(`dvc exp run -S models=...`), or name experiments, revisions or folders"
        )
    return Across(
        dataset=str(chosen[0].settings.get("dataset.name")),
        margin=float(chosen[0].told["margin"]),
        sides=tuple(_labelled(chosen)),
        apart=aside,
        left=left,
    )


def _why_apart(first: Study, other: Study) -> str | None:
    """Return why a study cannot stand beside the first one; None where it can."""
    if (name := other.settings.get("dataset.name")) != first.settings.get("dataset.name"):
        return f"of another data set, {name}"
    if other.photos != first.photos:
        return "of other photos (data/prepared/manifest.parquet in its dvc.lock)"
    if other.told["margin"] != first.told["margin"]:
        return f"judged by another margin, ±{other.told['margin']:g} (report.margin)"
    question = other.told.get("questions", {}).get(FAMILY)
    if question is None or not Side(other, "", "", {}).pairs:
        return "without a comparison of feasible with infeasible (grid.conditions)"
    _ = question["bound"], question["comparisons"], other.told["top1"].keys()  # asked for below
    return None


def _named(study: Study, keys: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the settings of these keys, as far as they are there, as something to compare."""
    return tuple((key, str(study.settings[key])) for key in keys if key in study.settings)


def _one_each(studies: Sequence[Study]) -> tuple[list[Study], dict[str, str]]:
    """Return a study of every classifier and editor in the order given, and those left out with the one shown."""
    by_pair: dict[Any, list[Study]] = {}
    for study in studies:
        by_pair.setdefault((_named(study, CLASSIFIER), _named(study, EDITOR)), []).append(study)
    shown, left = [], {}
    for own in by_pair.values():
        nearest = min(own, key=lambda study: len(_beside(studies[0], study)))  # the first one of several
        shown.append(nearest)
        left |= {study.name: nearest.name for study in own if study is not nearest}
    return shown, left


def _beside(first: Study, other: Study) -> dict[str, tuple[Any, Any]]:
    """Return settings unlike the first study's that decide results and do not belong to the classifier or editor."""
    skipped = NOT_BESIDE if _named(first, EDITOR) == _named(other, EDITOR) else (*NOT_BESIDE, *OF_EDITOR)
    keys = sorted(key for key in first.settings.keys() | other.settings.keys() if not key.startswith(skipped))
    values = {key: (first.settings.get(key, ABSENT), other.settings.get(key, ABSENT)) for key in keys}
    return {key: (a, b) for key, (a, b) in values.items() if a != b}


def _labelled(studies: Sequence[Study]) -> Iterator[Side]:
    """Give every study a label of its own: the experiment's name joins where classifier and editor are the same."""
    pairs = [(classifier_words(study.settings), editor_words(study.settings)) for study in studies]
    for study, (classifier, editor) in zip(studies, pairs):
        told = editor if pairs.count((classifier, editor)) == 1 else f"{editor} ({study.name})"
        yield Side(study, classifier, told, _beside(studies[0], study))


def classifier_words(settings: Mapping[str, Any]) -> str:
    """Return a study's classifier in a few words: ``ViT-B-16-quickgelu (openai)``, ``probe on dinov3, frozen``."""
    model, pretrained = settings.get("clip.model"), settings.get("clip.pretrained")
    kind = settings.get("clip.kind", "clip")  # a study of before there were others does not say
    named = _last(model) if kind == "clip" else f"{kind} on {_last(model)}"
    return (
        named + (f" ({_last(pretrained)})" if pretrained else "") + (", frozen" if settings.get("clip.frozen") else "")
    )


def editor_words(settings: Mapping[str, Any]) -> str:
    """Return a study's editor in a few words: its checkpoint, or the method that does without one."""
    method, checkpoint = settings.get("edit.method"), settings.get("edit.inpaint.checkpoint")
    if checkpoint is None or method == "paste":
        return str(method)
    return _last(checkpoint) + ("" if method == "diffusion" else f" ({method})")


def _last(name: Any) -> str:
    """Return the last part of a folder's or checkpoint's name."""
    return str(name).rstrip("/").rpartition("/")[2].rpartition(":")[2]


def studies_words(count: int) -> str:
    """Return a number of studies in words."""
    return f"{count} {'study' if count == 1 else 'studies'}"


def lines(across: Across) -> list[str]:
    """Return what the studies say together in plain sentences, and which are set apart."""
    sides, total = across.sides, sum(side.question["comparisons"] for side in across.sides)
    scope = f"in all {total} comparisons of all {studies_words(len(sides))}"
    bound = across.bound
    if bound is None:
        single = [side.study.name for side in sides if side.question["bound"] is None]
        answer = f"Nothing is bounded {scope}: one seed alone says nothing of others ({', '.join(single)})."
    elif bound >= POINTS:
        answer = f"No difference is bounded {scope}: these studies are too small."
    else:
        answer = f"By {less_than(bound)} {scope} (95 %)."
    found = [figures for side in sides for figures in side.pairs.values()]
    counts = Counter(figures["outcome"] for figures in found)
    outcomes = ", ".join(f"{counts[each]} {outcome_words(each)}" for each in OUTCOMES if counts[each])
    told = [
        f"{QUESTIONS[FAMILY]} {answer}",
        f"Feasible − infeasible: {outcomes} (margin ±{across.margin:g}). {_corrected(across, found)}",
        "Studies are not tested against each other; `varireal compare A B` does that, model by model.",
    ]
    unseeing = [f"{side.label} ({', '.join(BESIDE.get(s, s) for s in side.blind)})" for side in sides if side.blind]
    if unseeing:
        told.append(f"{UNPROVEN.capitalize()}: {'; '.join(unseeing)}.")
    told += [_settings_line(side) for side in sides if side.beside]
    told += [f"Set apart: {name}, {reason}." for name, reason in across.apart.items()]
    for shown in dict.fromkeys(across.left.values()):
        names = [name for name, other in across.left.items() if other == shown]
        told.append(f"Left out, of the classifier and editor of {shown}: {', '.join(names)}; name them to see them.")
    return told


def _corrected(across: Across, found: Sequence[Mapping[str, Any]]) -> str:
    """Say how verdicts are corrected, and how many stand a correction for all studies."""
    claims = [figures for figures in found if figures["outcome"] in CLAIMS]
    own = "Verdicts are each study's own, corrected within it (Holm)"
    if not claims:
        return f"{own}."
    held = sum(across.holds(figures) for figures in claims)
    return f"{own}; corrected for {len(across.sides)} studies too (Bonferroni), {held} of the {len(claims)} found hold."


def _settings_line(side: Side) -> str:
    named = [f"{key} {values[0]} → {values[1]}" for key, values in list(side.beside.items())[:MOST_SETTINGS]]
    more = len(side.beside) - len(named)
    return f"{side.study.name} differs from the first study also in {', '.join(named)}" + (
        f" and {more} more." if more else "."
    )


def as_json(across: Across) -> dict[str, Any]:
    """Return everything that stands side by side as JSON values; differences are points of top-1."""
    return {
        "dataset": across.dataset,
        "margin": across.margin,
        "alpha": ALPHA,
        "bound": across.bound,
        "studies": [_side_json(side, across) for side in across.sides],
        "apart": across.apart,
        "left_out": across.left,
        "lines": lines(across),
    }


def _side_json(side: Side, across: Across) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for (attribute, source), figures in side.pairs.items():
        pairs.setdefault(attribute, {})[source] = {**figures, "holds_for_all_studies": across.holds(figures)}
    return {
        "name": side.study.name,
        "classifier": side.classifier,
        "editor": side.editor,
        "bound": side.question["bound"],
        "comparisons": side.question["comparisons"],
        "controls": side.study.told.get("controls"),
        "top1": {name: side.top1(name) for name in ("real", "zero-shot")},
        PAIR: pairs,
        "differs_in": {key: list(values) for key, values in side.beside.items()},
    }
