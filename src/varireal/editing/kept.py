"""What the folder of finished work keeps of an attempt: its picture for a worker, and the filter's answer as bytes."""

from __future__ import annotations

import dataclasses
import json

from varireal.base.files import json_bytes
from varireal.editing.attempts import IMAGE, Attempt, FilterAnswer
from varireal.store import Kept

ANSWER = "verdict.json"
SCORE_DECIMALS = 6


def with_picture(attempt: Attempt) -> Attempt:
    """Return the attempt as a worker needs it: with the picture, if that was made before."""
    data = attempt.kept.read(IMAGE) if attempt.kept else None
    return attempt if data is None else dataclasses.replace(attempt, files={IMAGE: data})


def joined(attempt: Attempt, kept: Kept | None, kept_answer: Kept | None) -> Attempt:
    """Return the attempt with what is stored of it, besides what was known to be."""
    kept, kept_answer = attempt.kept or kept, attempt.kept_answer or kept_answer
    answer = attempt.answer
    if answer is None and kept_answer is not None:
        answer = FilterAnswer(**json.loads(kept_answer.read(ANSWER) or b""))
    return dataclasses.replace(attempt, kept=kept, kept_answer=kept_answer, answer=answer)


def answer_bytes(answer: FilterAnswer) -> bytes:
    scores = {name: round(score, SCORE_DECIMALS) for name, score in answer.scores.items()}
    return json_bytes(dataclasses.asdict(dataclasses.replace(answer, scores=scores)))
