"""How edits follow their prompts, how far a set lies from another, and how diverse it is, from CLIP features.

All features are unit vectors, (N, D), as ``Clip.encode_images`` and ``encode_texts`` (`varireal.networks.clip`) return.
"""

from __future__ import annotations

import numpy as np

CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0  # of the published definition


def clip_scores(pictures: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Return 100 max(cosine, 0) of each picture with its own sentence, float64 (N,), in [0, 100].

    Hessel et al. (2021), "CLIPScore"; the factor is torchmetrics' 100 (the paper's is 2.5).

    Raises:
        ValueError: the shapes differ, or a feature is no unit vector.
    """
    if pictures.shape != sentences.shape:
        raise ValueError(f"{pictures.shape} features of pictures, but {sentences.shape} of sentences")
    return 100 * np.maximum((_checked(pictures) * _checked(sentences)).sum(axis=1), 0)


def cmmd(first: np.ndarray, second: np.ndarray) -> float:
    """Return the CLIP maximum mean discrepancy of two sets: 1000 MMD² with a Gaussian kernel of width 10.

    Jayasumana et al. (2024), "Rethinking FID", whose code takes the biased estimator (a picture's kernel with itself
    counts). It is 0 for equal sets; values of different CLIP models cannot be compared.

    Raises:
        ValueError: a set is empty or a feature is no unit vector.
    """
    within_first, within_second, across = (
        _mean_kernel(_checked(a), _checked(b)) for a, b in ((first, first), (second, second), (first, second))
    )
    return CMMD_SCALE * (within_first + within_second - 2 * across)


def diversity(features: np.ndarray) -> float | None:
    """Return the mean cosine distance, in [0, 2], of all pairs of different pictures; None for fewer than two.

    Raises:
        ValueError: the set is empty or a feature is no unit vector.
    """
    values = _checked(features)
    count = len(values)
    if count < 2:
        return None
    # |sum|² adds the cosines of all ordered pairs, a picture's with itself too
    return float(1 - ((values.sum(axis=0) ** 2).sum() - (values**2).sum()) / (count * (count - 1)))


def _mean_kernel(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean of exp(-|a - b|² / (2 sigma²)) over all pairs, without the matrix of a large set in memory."""
    total = 0.0
    for start in range(0, len(first), 1024):
        block = first[start : start + 1024]
        squares = (block**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * block @ second.T
        total += float(np.exp(-np.maximum(squares, 0) / (2 * CMMD_SIGMA**2)).sum())
    return total / (len(first) * len(second))


def _checked(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"features must be (N, D) with N > 0, got {values.shape}")
    if not np.allclose((values**2).sum(axis=1), 1, atol=1e-2):  # loose, for features computed in bfloat16
        raise ValueError("features must be unit vectors")
    return values
