"""Questions to a vision-language model about one picture, which is read once: its keys and values serve all of them.

A prompt is the picture, then the question. What comes before the first word in which the questions differ is given to
the model once and remembered; then each question's own end is given. Reading a picture is nearly all of an answer's
cost: thousands of tokens for the dozen of a question.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class Apart(NamedTuple):
    """The token numbers of one picture's prompts: how many of the first one's end are its own, and every end."""

    own: int
    ends: list[list[int]]


def set_apart(prompts: Sequence[Sequence[int]], image_token: int) -> Apart | None:
    """Return where prompts, as token numbers with one place for the picture, begin to differ.

    At least a prompt's last token is its own. None where the picture does not come before that.
    """
    shortest = min(map(len, prompts))
    common = next((at for at in range(shortest) if len({prompt[at] for prompt in prompts}) > 1), shortest)
    common = min(common, shortest - 1)
    if image_token not in prompts[0][:common]:
        return None
    return Apart(len(prompts[0]) - common, [list(prompt[common:]) for prompt in prompts])


def without_ends(inputs: Any, ends: Sequence[int]) -> dict[str, Any]:
    """Return a model's inputs without the last tokens of each row, of which there are ``ends``.

    Rows are filled up on the left; what else has a value a token (``attention_mask`` and the like) is cut alike.
    """
    import torch

    shape, fewest = inputs["input_ids"].shape, min(ends)

    def cut(rows: torch.Tensor) -> torch.Tensor:
        width = shape[1]
        moved = [torch.cat([row.new_zeros(end), row[: width - end]]) for row, end in zip(rows, ends)]
        return torch.stack(moved)[:, fewest:]  # in these columns every row is filler

    return {name: cut(value) if _one_a_token(value, shape) else value for name, value in inputs.items()}


def _one_a_token(value: Any, shape: Sequence[int]) -> bool:
    return hasattr(value, "shape") and value.shape == shape


def answers_to_all(
    model: Any, start: dict[str, Any], ends: Sequence[Sequence[Sequence[int]]], last_only: dict[str, int]
) -> list[torch.Tensor]:
    """Return the logits, (N, vocabulary), of what follows each question: a tensor a question, a row a picture.

    Args:
        start: the model's inputs up to where a picture's questions differ.
        ends: the token numbers of the rest, by picture and question.
        last_only: what makes the model give the logits of the last position alone, where it can.
    """
    import torch

    seen = model(**start, use_cache=True, **last_only).past_key_values
    mask = start["attention_mask"]
    logits = []
    for number in range(len(ends[0])):
        last = number + 1 == len(ends[0])
        tokens, real = _filled([each[number] for each in ends], mask)
        # filler between start and end keeps every row's last token in the last column, and takes no place of its own
        places = mask.shape[1] + (real.cumsum(dim=1) - 1).clamp(min=0)
        output = model(
            input_ids=tokens,
            attention_mask=torch.cat([mask, real], dim=1),
            position_ids=places,
            past_key_values=seen if last else copy.deepcopy(seen),  # which the call makes longer
            use_cache=True,
            **last_only,
        )
        logits.append(output.logits[:, -1])
    return logits


def _filled(rows: Sequence[Sequence[int]], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token numbers, filled up on the left, and which of them are real."""
    import torch

    width = max(map(len, rows))
    tokens = [[0] * (width - len(row)) + list(row) for row in rows]
    real = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    like_mask = {"device": like.device, "dtype": like.dtype}
    return torch.tensor(tokens, **like_mask), torch.tensor(real, **like_mask)
