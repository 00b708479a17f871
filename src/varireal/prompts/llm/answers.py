"""The forms of answers: their JSON schemas, and how text from a model becomes checked values. Answers are data."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from varireal.base.manifest import Attribute
from varireal.base.text import text_problem
from varireal.prompts.llm.backend import MalformedAnswerError
from varireal.prompts.llm.json_text import excerpt, read_object
from varireal.prompts.schema import AttributeSpec, describe_problems

# no sentence for an image model needs these; markup, addresses and code do
_NOT_PLAIN = re.compile(r"[<>{}\[\]\\|`$#@^~=]|//|\.\.")
MAX_REASON = 1000

_TEXT: dict[str, Any] = {"type": "string"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_FIELDS: dict[Attribute, dict[str, Any]] = {
    "background": {"name": _TEXT, "phrase": _TEXT, "description": _TEXT},
    "color": {"name": _TEXT, "description": _TEXT, "red": _INTEGER, "green": _INTEGER, "blue": _INTEGER},
    "texture": {"name": _TEXT, "description": _TEXT},
}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object in the subset that every endpoint's strict mode takes: all required, no others."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def proposals_schema(attribute: Attribute) -> dict[str, Any]:
    """Return the JSON schema of a list of proposals."""
    return _object({"items": {"type": "array", "items": _object(_FIELDS[attribute])}})


def judgements_schema() -> dict[str, Any]:
    """Return the JSON schema of a list of judgements."""
    fields = {"number": _INTEGER, "reason": _TEXT, "verdict": {"type": "string", "enum": list(_OPINIONS)}}
    return _object({"judgements": {"type": "array", "items": _object(fields)}})


Opinion = Literal["feasible", "infeasible", "unsure"]
_OPINIONS: tuple[Opinion, ...] = ("feasible", "infeasible", "unsure")


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Proposal(_Model):
    name: str
    phrase: str | None = None
    description: str | None = None
    red: int | None = None
    green: int | None = None
    blue: int | None = None


class _Judgement(_Model):
    number: int
    verdict: Annotated[Opinion, BeforeValidator(lambda said: said.strip().lower() if isinstance(said, str) else said)]
    reason: str = ""


class _Judgements(_Model):
    judgements: list[_Judgement]


def read_proposals(text: str, attribute: Attribute, weight: float) -> tuple[list[AttributeSpec], list[tuple[str, str]]]:
    """Turn an answer into values, and name the ones that break the rules: (what was proposed, why it cannot be used).

    Raises:
        MalformedAnswerError: the answer is not of the form that was asked for, or no value in it can be used.
    """
    items = read_object(text, "items")["items"]
    if not items:
        raise MalformedAnswerError(f'the answer has no list "items": {excerpt(text)}')
    specs, dropped = [], []
    for item in items:
        try:
            specs.append(_spec(_Proposal.model_validate(item), attribute, weight))
        except ValidationError as error:
            dropped.append((excerpt(json.dumps(item)), excerpt(describe_problems(error))))
        except ValueError as error:
            dropped.append((excerpt(json.dumps(item)), str(error)))
    if not specs:
        raise MalformedAnswerError(f"none of the {len(items)} proposals can be used; the first {dropped[0][1]}")
    return specs, dropped


def _spec(proposal: _Proposal, attribute: Attribute, weight: float) -> AttributeSpec:
    """Return a proposal as a value.

    Raises:
        ValueError: it breaks a rule (pydantic's ValidationError is one).
    """
    name = proposal.name.strip().lower() if attribute != "background" else proposal.name.strip()
    phrases = {"background": proposal.phrase, "color": name, "texture": f"{name} textured"}
    if phrases[attribute] is None:
        raise ValueError("phrase is missing")
    spec = AttributeSpec(
        name=name,
        phrase=phrases[attribute].strip(),
        description=(proposal.description or "").strip() or None,
        weight=weight,
        rgb=_rgb(proposal) if attribute == "color" else None,
    )
    for text in (spec.name, spec.phrase, spec.description or ""):
        if _NOT_PLAIN.search(text):
            raise ValueError("has signs that belong to markup, code or addresses")
    return spec


def _rgb(proposal: _Proposal) -> tuple[int, int, int]:
    if proposal.red is None or proposal.green is None or proposal.blue is None:
        raise ValueError("red, green or blue is missing")
    return proposal.red, proposal.green, proposal.blue


def read_judgements(text: str, count: int) -> list[tuple[Opinion, str]]:
    """Return the opinion and its reason for the values numbered 1 to ``count``, in order.

    Raises:
        MalformedAnswerError: the answer has another form, or judges other numbers or one number twice.
    """
    try:
        judgements = _Judgements.model_validate(read_object(text, "judgements")).judgements
    except ValidationError as error:
        raise MalformedAnswerError(f"the answer has another form: {excerpt(describe_problems(error))}") from error
    numbers = sorted(judgement.number for judgement in judgements)
    if numbers != list(range(1, count + 1)):
        raise MalformedAnswerError(f"the answer judges {len(numbers)} values, not each of 1 to {count} once")
    ordered = sorted(judgements, key=lambda judgement: judgement.number)
    return [(judgement.verdict, _shown_reason(judgement.reason)) for judgement in ordered]


def _shown_reason(reason: str) -> str:
    return excerpt(reason, MAX_REASON) if text_problem(reason, MAX_REASON) else reason
