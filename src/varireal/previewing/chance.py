"""The chance that `mix` can be served, from what the filter accepted of a few edits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

POINTS = 4000  # at which the probability of an accepted edit is tried


def served_chance(accepted: int, tried: int, edits: Sequence[int], needed: int) -> float:
    """Return the chance that every class has enough accepted edits of a cell.

    All classes are taken to be alike. How likely an edit is accepted is not known after a few; so the chance is the
    mean over Jeffreys' posterior of that probability, Beta(accepted + 1/2, rejected + 1/2).

    Args:
        accepted: edits that an attempt got past the filter, of ``tried``.
        edits: how many edits each class will have.
        needed: how many of them must be accepted.
    """
    from scipy.stats import binom

    # with p = sin²(angle) the posterior is smooth up to its ends
    angles = (np.arange(POINTS) + 0.5) * (np.pi / 2 / POINTS)
    logs = 2 * accepted * np.log(np.sin(angles)) + 2 * (tried - accepted) * np.log(np.cos(angles))
    weights = np.exp(logs - logs.max())
    served = np.ones(POINTS)
    for count in set(edits):
        served *= binom.sf(needed - 1, count, np.sin(angles) ** 2) ** edits.count(count)
    return float((weights * served).sum() / weights.sum())
