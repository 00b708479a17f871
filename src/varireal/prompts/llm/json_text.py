"""Finding the JSON that was asked for in what a model says: after its reasoning, its drafts, its words and fences."""

from __future__ import annotations

import json
import re
from typing import Any

from varireal.prompts.llm.backend import MalformedAnswerError

# <think> of DeepSeek and Qwen, [THINK] of Mistral, and what others call it
_TAG = r"(?:think|thinking|thought|thoughts|reasoning|reason|reflection|analysis|scratchpad)"
_CLOSING = re.compile(rf"</{_TAG}>|\[/{_TAG}\]|◁/{_TAG}▷", re.IGNORECASE)
_OPENING = re.compile(rf"<{_TAG}>|\[{_TAG}\]|◁{_TAG}▷", re.IGNORECASE)
_STARTS = re.compile(r"[{\[]")
_LOOSE_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_DEEPEST = 3  # objects around the one that was asked for
_MOST_TRIES = 1_000  # starts of a value that are none


def read_object(text: str, member: str) -> dict[str, Any]:
    """Return the last JSON object in a text that holds the wanted list, or a bare list as if it were that.

    What stands in a block of reasoning counts only where nothing follows the block.

    Raises:
        MalformedAnswerError: there is none, or it is cut off.
    """
    answer = text[_end_of(_CLOSING, text) :]
    unfinished = _OPENING.search(answer)
    answer = answer[: unfinished.start()] if unfinished else answer
    values, problem = _json_values(answer)
    found = _wanted(values, member)
    if problem is not None:
        mended, still = _json_values(_without_loose_commas(answer))
        if still is None or found is None:  # else the first has parts of what the second has whole
            found = _wanted(mended, member)
    if found is None and not answer.strip() and not unfinished:
        found = _wanted(_json_values(text)[0], member)
    if found is not None:
        return found
    if unfinished:
        raise MalformedAnswerError(f"the answer ends within its reasoning: {excerpt(text)}")
    if problem is not None:
        raise MalformedAnswerError(f"the answer is not valid JSON ({problem}): {excerpt(answer)}") from problem
    if any(isinstance(value, dict) for value in values):
        raise MalformedAnswerError(f'the answer has no list "{member}": {excerpt(answer)}')
    raise MalformedAnswerError(f"the answer holds no JSON object: {excerpt(answer)}" if text else "the answer is empty")


def _without_loose_commas(text: str) -> str:
    """Return a text without commas before a closing bracket, as many models write them; texts in quotes stay."""
    return _LOOSE_COMMA.sub(lambda match: match[1] or "", text)


def _end_of(pattern: re.Pattern[str], text: str) -> int:
    """Return where the last match ends; 0 without one."""
    return max((match.end() for match in pattern.finditer(text)), default=0)


def _json_values(text: str) -> tuple[list[Any], Exception | None]:
    """Return the JSON objects and lists in a text, the outermost ones, and why the first thing like one is none."""
    # not strict: line breaks within quotes, which values are checked for later
    decoder, values, place, problem = json.JSONDecoder(strict=False), [], 0, None
    for _ in range(_MOST_TRIES):
        start = _STARTS.search(text, place)
        if start is None:
            break
        try:
            value, place = decoder.raw_decode(text, start.start())
            values.append(value)
        except (ValueError, RecursionError) as error:
            if text[start.start()] == "{":
                problem = problem or error
            place = start.end()
    return values, problem


def _wanted(values: list[Any], member: str) -> dict[str, Any] | None:
    """Return the last object with the list, a filled one before an empty one; else the last list of objects."""
    holders = [holder for value in values for holder in _holders(value, member, _DEEPEST)]
    filled = [holder for holder in holders if holder[member]]
    if filled or holders:
        return (filled or holders)[-1]
    lists = [value for value in values if _is_filled_list(value)]
    return {member: lists[-1]} if lists else None


def _holders(value: Any, member: str, levels: int) -> list[dict[str, Any]]:
    """Return the objects in a value that have the list."""
    if not isinstance(value, dict) or not levels:
        return []
    if isinstance(value.get(member), list):
        return [value]
    return [holder for inner in value.values() for holder in _holders(inner, member, levels - 1)]


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def excerpt(text: str, length: int = 120) -> str:
    """Return the beginning of a text from outside as one printable line."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split())
    return line if len(line) <= length else f"{line[:length]}..."
