"""One attribute of one subject: rounds of proposing, dropping near-duplicates and judging, until the lists are full."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from varireal.base.manifest import Attribute, Feasibility
from varireal.base.seeding import derive_seed, generator
from varireal.config import LlmConfig
from varireal.errors import UserError
from varireal.prompts.llm.answers import Opinion, read_judgements, read_proposals
from varireal.prompts.llm.asking import Asked, Asker
from varireal.prompts.llm.near import near_duplicate
from varireal.prompts.llm.questions import Subject, judging, proposing
from varireal.prompts.schema import AttributeSpec

SPARE = 1.25  # so many times the missing values are asked for, since some will be dropped
MAX_ASKED = 60  # values that one question asks for, so that the answer fits into llm.max_tokens
Drop = dict[str, Any]  # attribute, feasibility, subject, what, why


@dataclasses.dataclass
class Interview:
    """Collects what is known so far about an attribute of a subject."""

    subject: Subject
    attribute: Attribute
    lists: dict[Feasibility, list[AttributeSpec]]
    asked: list[Asked] = dataclasses.field(default_factory=list)
    dropped: list[Drop] = dataclasses.field(default_factory=list)

    def drop(self, feasibility: Feasibility, what: str, why: str, detail: str) -> None:
        """Note a proposal that is not used."""
        self.dropped.append(
            {"attribute": self.attribute, "feasibility": feasibility, "subject": self.subject.name, "what": what,
             "why": why, "detail": detail}
        )  # fmt: skip


def interview(
    asker: Asker,
    config: LlmConfig,
    subject: Subject,
    attribute: Attribute,
    feasibilities: Sequence[Feasibility],
    seed: int,
) -> Interview:
    """Return lists of ``llm.counts`` values, or at least ``llm.min_share`` of them.

    Raises:
        UserError: too few values are left after ``llm.max_rounds``, or asking failed.
    """
    state = Interview(subject, attribute, {feasibility: [] for feasibility in feasibilities})
    counts = config.counts[attribute]
    for round_number in range(1, config.max_rounds + 1):
        missing: dict[Feasibility, int] = {kind: counts[kind] - len(specs) for kind, specs in state.lists.items()}
        if not any(missing.values()):
            break
        _round(asker, config, state, missing, round_number, seed)
    for feasibility, specs in state.lists.items():
        least = math.ceil(config.min_share * counts[feasibility])
        if len(specs) < least:
            raise UserError(
                f"prompt.llm: {attribute}, {feasibility}, {subject.name}: {len(specs)} values are left after "
                f"{config.max_rounds} rounds, at least {least} are wanted ({_reasons(state.dropped)}); lower "
                "llm.counts or llm.min_share, raise llm.max_rounds, or take another llm.model"
            )
    return state


def _round(
    asker: Asker,
    config: LlmConfig,
    state: Interview,
    missing: dict[Feasibility, int],
    round_number: int,
    seed: int,
) -> None:
    """Propose for both kinds what is missing, judge all of it at once, and keep what both passes agree on."""
    parts = (state.attribute, state.subject.name, round_number)
    fresh: list[tuple[Feasibility, AttributeSpec]] = []
    for feasibility, number in missing.items():
        if not number:
            continue
        known = [spec for specs in state.lists.values() for spec in specs] + [spec for _, spec in fresh]
        question = proposing(
            state.subject,
            state.attribute,
            feasibility,
            count=min(math.ceil(SPARE * number), MAX_ASKED),
            taken=[spec.name for spec in known],
            round_number=round_number,
            seed=derive_seed("propose", seed, feasibility, *parts),
        )
        (specs, invalid), asked = asker.ask(
            question, lambda text: read_proposals(text, state.attribute, config.weights[state.attribute])
        )
        state.asked.append(asked)
        for what, why in invalid:
            state.drop(feasibility, what, "invalid", why)
        for spec in specs:
            if other := near_duplicate(spec, known):
                state.drop(feasibility, spec.name, "duplicate", f"says the same as {other.name!r}")
            else:
                known.append(spec)
                fresh.append((feasibility, spec))
    if fresh:
        _judge(asker, state, fresh, missing, round_number, derive_seed("judge", seed, *parts))


def _judge(
    asker: Asker,
    state: Interview,
    fresh: list[tuple[Feasibility, AttributeSpec]],
    missing: dict[Feasibility, int],
    round_number: int,
    seed: int,
) -> None:
    """Keep the new values that the critic judges as they were meant; the order shown does not tell how that was."""
    order = [int(index) for index in generator("judging order", seed).permutation(len(fresh))]
    shown = [fresh[index][1] for index in order]
    question = judging(state.subject, state.attribute, shown, round_number=round_number, seed=seed)
    opinions, asked = asker.ask(question, lambda text: read_judgements(text, len(shown)))
    state.asked.append(asked)
    by_index: dict[int, tuple[Opinion, str]] = dict(zip(order, opinions))
    for index, (feasibility, spec) in enumerate(fresh):
        opinion, reason = by_index[index]
        if opinion != feasibility:
            state.drop(feasibility, spec.name, "judged otherwise", f"{opinion}: {reason}")
        elif missing[feasibility]:
            state.lists[feasibility].append(spec)
            missing[feasibility] -= 1


def _reasons(dropped: Sequence[Drop]) -> str:
    """Say how many proposals were dropped for which reason."""
    whys = [drop["why"] for drop in dropped]
    counted = ", ".join(f"{whys.count(why)} {why}" for why in sorted(set(whys)))
    return f"dropped: {counted}" if counted else "no more were proposed"
