"""Checks of text from outside (banks, folder names) that ends up in prompts, file names and pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from string import Formatter

MAX_TEMPLATE = 300  # characters
_CONFLICT = re.compile(r"^(<{7}|>{7})( |$)", re.MULTILINE)
_DEVICES = re.compile(r"con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]", re.IGNORECASE)


def text_problem(text: str, max_length: int) -> str | None:
    """Say what is wrong with a line of text from outside, or None.

    Control and formatting characters (line breaks, terminal escapes, direction overrides), unassigned and private
    ones are refused: they have no place in a prompt and can disguise what a log or a page shows.
    """
    if not text.strip():
        return "is empty"
    if text != text.strip():
        return "begins or ends with a space"
    if len(text) > max_length:
        return f"is {len(text)} characters long, at most {max_length} are allowed"
    for position, letter in enumerate(text, start=1):
        if unicodedata.category(letter).startswith("C") or letter in "\u2028\u2029":
            return f"has the control character U+{ord(letter):04X} at position {position}"
    return None


def names_a_device(file_name: str) -> bool:
    """Tell whether Windows takes a file name for a device, whatever suffix follows (`nul.png`).

    Microsoft, "Naming Files, Paths, and Namespaces".
    """
    return _DEVICES.fullmatch(file_name.partition(".")[0].rstrip()) is not None


def path_part_problem(text: str, max_length: int) -> str | None:
    """Say why a text cannot be the name of one file or folder, or None."""
    if problem := text_problem(text, max_length):
        return problem
    if text.startswith(".") or any(letter in text for letter in '/\\:*?"<>|'):
        return 'begins with a dot or has one of / \\ : * ? " < > |, which file names must not'
    if text.endswith(".") or names_a_device(text):
        return "ends with a dot or is the name of a device (con, nul, com1), which Windows does not take as a file name"
    return None


def template_problem(template: str, allowed: Collection[str], one_of: Collection[str]) -> str | None:
    """Say what is wrong with a text that has places such as ``{class}`` to fill, or None.

    Args:
        allowed: the names that places may have.
        one_of: those of which it needs at least one.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        return f"is no template ({error}); a place is written {{like this}}"
    names = [name for _, name, _, _ in parts if name is not None]
    if wrong := [name for name in names if name not in allowed]:
        return f"has the place {{{wrong[0]}}}; allowed are {', '.join(f'{{{name}}}' for name in allowed)}"
    if any(spec or conversion for _, _, spec, conversion in parts):
        return "has a place with a format, such as {class!r} or {class:>9}; write the name alone"
    if not set(names) & set(one_of):
        return f"has none of {', '.join(f'{{{name}}}' for name in one_of)}, so that it says the same of all"
    return text_problem(template, MAX_TEMPLATE)


def conflict_in(text: str) -> str | None:
    """Say that a text holds the marks of a merge with conflicts, where, and what to do; None where it holds none."""
    if (found := _CONFLICT.search(text)) is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    return (
        f"holds conflict markers of a merge (line {line}); take one side whole (git checkout --ours or --theirs) and "
        "run dvc repro"
    )
