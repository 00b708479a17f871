"""Measures of CLIP features against the definitions written out pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from varireal.measuring.features import clip_scores, cmmd, diversity


def features(seed: int, count: int, shift: float = 0.0, width: int = 12) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(count, width)) + shift
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def mean_kernel(first: np.ndarray, second: np.ndarray) -> float:
    pairs = [math.exp(-sum((float(x) - float(y)) ** 2 for x, y in zip(a, b)) / 200) for a in first for b in second]
    return math.fsum(pairs) / len(pairs)


def test_cmmd_is_a_thousand_times_the_squared_discrepancy() -> None:
    first, second = features(0, 7), features(1, 9, shift=1.0)
    expected = 1000 * (mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second))
    assert expected > 1
    assert cmmd(first, second) == pytest.approx(expected, abs=1e-6)
    assert cmmd(second, first) == pytest.approx(expected, abs=1e-6)


def test_cmmd_grows_with_the_distance_and_is_nothing_between_equal_sets() -> None:
    real = features(0, 1500)  # more than one block
    assert cmmd(real, real[::-1]) == pytest.approx(0, abs=1e-6)
    assert 0 < cmmd(real, features(1, 1500)) < cmmd(real, features(1, 1500, 0.3)) < cmmd(real, features(1, 1500, 1.0))


def test_cmmd_of_two_points_has_a_closed_form() -> None:
    first, second = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert cmmd(first, second) == pytest.approx(2000 * (1 - math.exp(-0.01)))


def test_diversity_is_the_mean_cosine_distance_of_the_pairs() -> None:
    values = features(3, 8).astype(float)
    pairs = [1 - values[i] @ values[j] for i in range(8) for j in range(i)]
    assert diversity(values) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert diversity(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(2.0)
    assert diversity(np.repeat(values[:1], 5, axis=0)) == pytest.approx(0.0, abs=1e-6)
    assert diversity(values[:1]) is None


def test_clip_scores_compare_each_picture_with_its_own_sentence() -> None:
    pictures = np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    sentences = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(clip_scores(pictures, sentences), [100.0, 60.0, 0.0])


def test_what_are_no_unit_vectors_of_a_set_is_refused() -> None:
    with pytest.raises(ValueError, match="unit vectors"):
        diversity(2 * features(0, 4))
    with pytest.raises(ValueError, match="N > 0"):
        cmmd(features(0, 3), np.empty((0, 12)))
    with pytest.raises(ValueError, match="of sentences"):
        clip_scores(features(0, 3), features(1, 2))
