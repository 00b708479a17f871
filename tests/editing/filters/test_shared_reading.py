"""Where prompts begin to differ, and inputs without their ends, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from varireal.editing.filters.shared_reading import set_apart, without_ends

PICTURE = 9


@pytest.mark.parametrize(
    ("prompts", "own", "ends"),
    [
        ([[1, 9, 2, 3, 4], [1, 9, 2, 5]], 2, [[3, 4], [5]]),
        ([[1, 9, 2, 3], [1, 9, 2, 3]], 1, [[3], [3]]),  # the same question twice
        ([[1, 9, 2], [1, 9, 2, 3]], 1, [[2], [2, 3]]),  # one is the beginning of the other
    ],
)
def test_prompts_differ_from_some_token_on(prompts, own, ends) -> None:
    apart = set_apart(prompts, PICTURE)
    assert apart is not None and (apart.own, apart.ends) == (own, ends)


@pytest.mark.parametrize("prompts", [[[1, 2, 9], [1, 3, 9]], [[1, 9], [1, 9]]])
def test_a_picture_that_does_not_come_first_is_not_shared(prompts) -> None:
    assert set_apart(prompts, PICTURE) is None


def test_ends_are_cut_and_rows_filled_up_on_the_left() -> None:
    inputs = {
        "input_ids": torch.tensor([[0, 1, 9, 2, 3], [1, 9, 9, 4, 5]]),
        "attention_mask": torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]),
        "image_sizes": torch.tensor([[7, 8], [7, 8]]),
    }
    start = without_ends(inputs, [2, 1])
    assert start["input_ids"].tolist() == [[0, 0, 1, 9], [1, 9, 9, 4]]
    assert start["attention_mask"].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert start["image_sizes"].tolist() == [[7, 8], [7, 8]]
