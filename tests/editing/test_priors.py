"""Priors: numbers worked out by hand, and nothing outside the edited region changed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from varireal.editing import pixels
from varireal.editing.priors import background_prior, cover_crop, surface_prior


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    y, x = np.mgrid[0:40, 0:50]
    return (y - 20) ** 2 + (x - 22) ** 2 < 12**2


def test_a_surface_is_blended_by_alpha_and_shading(photo: np.ndarray, mask: np.ndarray) -> None:
    colour, alpha = np.array((200, 30, 90)), 0.6
    prior = surface_prior(photo, mask, colour, alpha, keep_shading=True, softness=0)
    luma = photo.astype(float) @ [0.299, 0.587, 0.114]
    bright = np.percentile(luma[mask], pixels.BRIGHT_PERCENTILE)
    for y, x in [(20, 22), (15, 20), (25, 30)]:
        shade = min(max(luma[y, x] / bright, pixels.SHADE_RANGE[0]), pixels.SHADE_RANGE[1])
        expected = 0.4 * photo[y, x] + 0.6 * np.clip(colour * shade, 0, 255)
        assert np.abs(prior[y, x] - expected).max() <= 0.51
    assert np.array_equal(prior[~mask], photo[~mask])


def test_without_shading_a_surface_at_alpha_one_is_flat(photo: np.ndarray, mask: np.ndarray) -> None:
    prior = surface_prior(photo, mask, np.array((10, 20, 30)), 1.0, keep_shading=False, softness=0)
    assert (prior[mask] == (10, 20, 30)).all()


def test_a_material_keeps_its_pattern(photo: np.ndarray, mask: np.ndarray) -> None:
    material = np.random.default_rng(1).integers(0, 256, photo.shape, dtype=np.uint8)
    prior = surface_prior(photo, mask, material, 0.5, keep_shading=False, softness=0)
    assert np.abs(prior[mask] - (photo[mask] / 2 + material[mask] / 2)).max() <= 0.51


def test_softness_fades_the_surface_towards_the_edge_inside_the_object(photo: np.ndarray, mask: np.ndarray) -> None:
    flat = np.full_like(photo, 100)
    prior = surface_prior(flat, mask, np.array((200, 200, 200)), 1.0, keep_shading=False, softness=2.0)
    assert np.array_equal(prior[~mask], flat[~mask])
    row = prior[20, :23, 0].astype(int)
    first = int(np.argmax(mask[20]))
    assert row[first] == round(100 + 100 * math.erf(0.5 / (math.sqrt(2) * 2.0)))
    assert (np.diff(row[first:]) >= 0).all() and row[22] == 200


def test_a_background_keeps_the_object_and_takes_the_place(photo: np.ndarray, mask: np.ndarray) -> None:
    place = np.random.default_rng(2).integers(0, 256, photo.shape, dtype=np.uint8)
    prior = background_prior(photo, mask, place, softness=1.0)
    assert np.array_equal(prior[mask], photo[mask])
    far = ~pixels.dilate(mask, 6)
    assert np.array_equal(prior[far], place[far])


def test_a_background_carries_no_halo_of_the_old_one(mask: np.ndarray) -> None:
    photo = np.where(mask[..., None], np.uint8(0), np.uint8((0, 255, 0)))  # a black object on green
    prior = background_prior(photo, mask, np.full((*mask.shape, 3), (90, 0, 90), np.uint8), softness=1.5)
    assert prior[..., 1].max() == 0  # no green is left anywhere
    edge = pixels.dilate(mask, 1) & ~mask
    assert (prior[edge, 0] < 60).all()  # and the object ends softly


@pytest.mark.parametrize("shape", [(64, 64), (30, 200), (200, 30), (10, 10), (1, 1)])
def test_a_crop_fills_any_size_without_distortion(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    crop = cover_crop(picture, 48, 96, np.random.default_rng(0), 0.8)
    assert crop.shape == (48, 96, 3) and crop.dtype == np.uint8


def test_a_crop_of_the_same_size_is_a_window_of_the_picture_or_its_mirror() -> None:
    picture = np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    seen = {cover_crop(picture, 20, 30, np.random.default_rng(k), 1.0).tobytes() for k in range(20)}
    assert seen == {picture.tobytes(), picture[:, ::-1].tobytes()}


def test_without_mirroring_the_same_crops_come_as_they_are() -> None:
    picture = np.random.default_rng(4).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    for seed in range(6):
        either, plain = (
            cover_crop(picture, 20, 30, np.random.default_rng(seed), 0.3, 0.6, mirror) for mirror in (True, False)
        )
        assert np.array_equal(plain, either) or np.array_equal(plain, either[:, ::-1])
    words = {cover_crop(picture, 60, 70, np.random.default_rng(k), 1.0, mirror=False).tobytes() for k in range(20)}
    assert words == {picture.tobytes()}


def test_crops_keep_to_the_middle_where_they_shall() -> None:
    y, x = np.mgrid[0:100, 0:100]
    picture = np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)  # every pixel says where it comes from
    for reach, least, most in ((0, 40, 40), (0.5, 20, 60), (1, 0, 80)):
        crops = [cover_crop(picture, 20, 20, np.random.default_rng(k), 0.2, 0.2, False, reach) for k in range(60)]
        corners = np.array([crop[0, 0, :2] for crop in crops])
        assert corners.min() >= least and corners.max() <= most
        assert np.ptp(corners) >= 0.85 * (most - least)


def test_a_crop_depends_on_its_generator_alone() -> None:
    picture = np.random.default_rng(5).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    crops = [cover_crop(picture, 40, 40, np.random.default_rng(k), 0.5) for k in (1, 1, 2)]
    assert np.array_equal(crops[0], crops[1])
    assert not np.array_equal(crops[0], crops[2])


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (90, 30)])
def test_a_crop_of_a_quarter_is_enlarged_fourfold(shape: tuple[int, int]) -> None:
    """As the study does with materials: 256 of 1024 pixels, over the whole photo."""
    y, x = np.mgrid[0:200, 0:200]
    picture = np.stack([x, y, np.zeros_like(x)], -1).astype(np.uint8)  # every pixel says where it comes from
    height, width = shape
    zoom = min(200 / height, 200 / width) / 4  # pixels of the picture per pixel of the crop
    for seed in range(5):
        crop = cover_crop(picture, *shape, np.random.default_rng(seed), 0.25, 0.25).astype(int)
        assert abs(np.abs(crop[height // 2, -8, 0] - crop[height // 2, 7, 0]) - zoom * (width - 15)) <= 2
        assert abs(crop[-8, width // 2, 1] - crop[7, width // 2, 1] - zoom * (height - 15)) <= 2
