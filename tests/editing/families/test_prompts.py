"""What is kept of sentences: the latest used ones, up to a number of bytes."""

from __future__ import annotations

import pytest
import torch

from varireal.editing.families.prompts import KeptPrompts
from varireal.prompts.templates import Sentence

CPU = torch.device("cpu")


def keeper(listed: bool = False) -> tuple[KeptPrompts, list[str]]:
    """One that makes a row of as many numbers as the text has letters, and what it was asked."""
    asked: list[str] = []

    def encode(text: str) -> dict[str, torch.Tensor]:
        asked.append(text)
        return {"embeds": torch.full((1, 4), float(len(text)))}

    return KeptPrompts(encode, CPU, listed=listed), asked


def test_each_text_is_asked_for_once_whatever_is_emphasised() -> None:
    prompts, asked = keeper()
    given = prompts.arguments(
        [Sentence("jet"), Sentence("horse"), Sentence("jet", "j", 2.0)], guided=True, negative="x"
    )
    assert asked == ["jet", "horse", "x"]
    assert given["embeds"][:, 0].tolist() == [3, 5, 3] and given["negative_embeds"][:, 0].tolist() == [1, 1, 1]
    assert set(prompts.arguments([Sentence("horse")], guided=False)) == {"embeds"} and len(asked) == 3


def test_rows_of_any_length_come_as_a_list_where_that_is_asked_for() -> None:
    prompts, _ = keeper(listed=True)
    given = prompts.arguments([Sentence("jet"), Sentence("horse")], guided=False)
    assert [row[0, 0].item() for row in given["embeds"]] == [3, 5]


def test_the_longest_unused_texts_are_forgotten_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.editing.families.prompts.KEPT_BYTES", 2 * 16)  # two rows of four numbers
    prompts, asked = keeper()
    one, two, three = (Sentence(text) for text in ("a", "bb", "ccc"))
    prompts.arguments([one, two], guided=False)
    prompts.arguments([one], guided=False)
    prompts.arguments([three], guided=False)  # in place of the second
    prompts.arguments([one, three], guided=False)
    assert asked == ["a", "bb", "ccc"]
    given = prompts.arguments([two, one, three], guided=False)  # more than are kept
    assert given["embeds"][:, 0].tolist() == [2, 1, 3]
