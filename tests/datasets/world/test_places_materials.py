"""Empty places and materials: bytes, variety, and that they can be told apart."""

import numpy as np
import pytest

from varireal.datasets.world.materials import PAINTERS as MATERIAL_PAINTERS
from varireal.datasets.world.materials import render_material
from varireal.datasets.world.render import GROUNDED, render_place
from varireal.datasets.world.render import PAINTERS as PLACE_PAINTERS
from varireal.datasets.world.vocabulary import MATERIALS, PLACES
from varireal.errors import UserError

SUBJECTS = [(render_place, name) for name in PLACES] + [(render_material, name) for name in MATERIALS]


def test_every_word_has_a_painter_and_no_painter_is_left_over():
    assert set(PLACE_PAINTERS) == set(PLACES)
    assert set(MATERIAL_PAINTERS) == set(MATERIALS)
    assert set(PLACES) > GROUNDED


@pytest.mark.parametrize(("render", "name"), SUBJECTS)
def test_picture_follows_from_its_seed(render, name):
    first, again, other = (render(name, np.random.default_rng(seed), 48) for seed in (1, 1, 2))
    assert first.dtype == np.uint8 and first.shape == (48, 48, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 8, "a picture without contrast shows nothing"


@pytest.mark.parametrize(("render", "names"), [(render_place, tuple(PLACES)), (render_material, MATERIALS)])
def test_kinds_differ_more_than_seeds(render, names):
    """A nearest-mean classifier on colour statistics must tell most pictures of unseen seeds apart."""

    def statistics(name: str, seed: int) -> np.ndarray:
        image = render(name, np.random.default_rng(seed), 64).astype(float)
        half = image.shape[0] // 2
        edges = [np.abs(np.diff(image.mean(2), axis=axis)).mean() for axis in (0, 1)]
        return np.concatenate([image[:half].mean((0, 1)), image[half:].mean((0, 1)), image.std((0, 1)), edges])

    means = np.stack([np.mean([statistics(name, seed) for seed in range(4)], axis=0) for name in names])
    hits = [
        np.argmin(np.linalg.norm(means - statistics(name, seed), axis=1)) == index
        for index, name in enumerate(names)
        for seed in (10, 11)
    ]
    assert np.mean(hits) >= 0.85


@pytest.mark.parametrize(("render", "allowed"), [(render_place, "under water"), (render_material, "zebra")])
def test_unknown_name_is_an_error_that_lists_the_choices(render, allowed):
    with pytest.raises(UserError, match=rf"'custard'.*{allowed}"):
        render("custard", np.random.default_rng(0))
