"""Scenes and renderings: same seed, same bytes; exact masks; feasible photos; recognisable colours."""

import hashlib
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest

from varireal.datasets.world.camera import Camera, random_view
from varireal.datasets.world.render import Scene, render_place, render_scene, sample_scene
from varireal.datasets.world.vocabulary import (
    CLASSES,
    COLORS,
    FEASIBLE_COLORS,
    FEASIBLE_MATERIALS,
    FEASIBLE_PLACES,
    INFEASIBLE_PLACES,
    MATERIALS,
    PLACES,
)
from varireal.errors import UserError


def rendering(seed: int, size: int = 64, **words):
    rng = np.random.default_rng(seed)
    scene = Scene(
        **{"class_name": "trijet", "place": "blue sky", "color": "red", "material": None, "accent": None} | words
    )
    return render_scene(scene, rng, size)


DIGEST = """
import hashlib
import numpy as np
from varireal.datasets.world.render import render_scene, sample_scene
digest = hashlib.sha256()
for seed in range(6):
    rng = np.random.default_rng(seed)
    shown = render_scene(sample_scene(rng, natural=seed % 2 == 0), rng, 48)
    digest.update(shown.image.tobytes() + shown.mask.tobytes() + repr(shown.scene).encode())
print(digest.hexdigest())
"""


def test_another_process_renders_the_same_bytes():
    digest = hashlib.sha256()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shown = render_scene(sample_scene(rng, natural=seed % 2 == 0), rng, 48)
        digest.update(shown.image.tobytes() + shown.mask.tobytes() + repr(shown.scene).encode())
    answer = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == digest.hexdigest()


def test_seeds_differ_and_size_is_kept():
    first, second = rendering(1), rendering(2)
    assert first.image.shape == (64, 64, 3) and first.mask.shape == (64, 64)
    assert first.image.dtype == first.mask.dtype == np.uint8
    assert not np.array_equal(first.image, second.image)
    assert set(np.unique(first.mask)) == {0, 255}


@pytest.mark.parametrize("class_name", CLASSES)
def test_mask_area_and_frame(class_name):
    """Every aircraft is big enough to learn from and lies inside the picture, whatever the view."""
    for seed in range(8):
        mask = rendering(seed, class_name=class_name, place=tuple(PLACES)[2 * seed]).mask > 0
        assert 0.025 < mask.mean() < 0.4, (class_name, seed)
        width = np.ptp(np.flatnonzero(mask.any(0))) + 1
        assert width > 0.4 * mask.shape[1], (class_name, seed)
        border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
        assert border.mean() < 0.02, (class_name, seed)


@pytest.mark.parametrize("class_name", ["four-engine jetliner", "bush plane", "glider"])
def test_mask_covers_exactly_what_changes_with_the_surface(class_name):
    """The same aircraft in two colours: only pixels at the mask differ, and inside it nearly all do."""
    colors = ("red", "sky blue")
    pairs = [[rendering(seed, 128, class_name=class_name, color=color) for color in colors] for seed in range(3)]
    for red, blue in pairs:
        assert np.array_equal(red.mask, blue.mask)
        mask = (red.mask > 0).astype(np.uint8)
        changed = np.abs(red.image.astype(int) - blue.image).max(2) > 0
        near = cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
        assert not changed[~near].any()
        assert changed[cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0].mean() > 0.6


def test_outside_the_mask_a_flying_aircraft_leaves_the_place_alone():
    """In the air there is no shadow: two aircraft before one place agree wherever neither of them is."""
    shown = [rendering(5, class_name="glider", place="outer space", color=color) for color in ("lime", "navy blue")]
    away = cv2.dilate(shown[0].mask, np.ones((3, 3), np.uint8)) == 0
    assert away.mean() > 0.7
    assert np.array_equal(shown[0].image[away], shown[1].image[away])


def test_shadow_falls_on_the_ground_only():
    def darkest_change(place: str) -> float:
        """How much darker the darkest pixels off the aircraft are than the darkest of the bare place."""
        shown = rendering(3, place=place, color="white", size=96)
        away = cv2.dilate(shown.mask, np.ones((5, 5), np.uint8)) == 0
        bare = render_place(place, np.random.default_rng(3), 96)
        return float(np.percentile(bare.mean(2), 1) - np.percentile(shown.image.mean(2)[away], 1))

    assert darkest_change("desert") > 25
    assert abs(darkest_change("blue sky")) < 20


def test_natural_scenes_wear_feasible_attributes_only():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, natural=True) for _ in range(600)]
    assert {scene.place for scene in scenes} == set(FEASIBLE_PLACES)
    assert {scene.color for scene in scenes} == {None, *FEASIBLE_COLORS}
    assert {scene.material for scene in scenes} == {None, *FEASIBLE_MATERIALS}
    assert {scene.accent for scene in scenes} <= {None, *FEASIBLE_COLORS}
    assert {scene.class_name for scene in scenes} == set(CLASSES)
    assert all(scene.accent != scene.color for scene in scenes if scene.color)
    assert 0.1 < np.mean([scene.material is not None for scene in scenes]) < 0.2
    assert Counter(scene.color for scene in scenes).most_common(1)[0][0] == "white"


def test_other_scenes_cover_every_attribute_evenly():
    rng = np.random.default_rng(0)
    scenes = [sample_scene(rng, natural=False) for _ in range(2200)]
    surfaces = Counter(scene.color or scene.material for scene in scenes)
    assert set(surfaces) == {*COLORS, *MATERIALS}
    assert min(surfaces.values()) > 60 and max(surfaces.values()) < 145
    assert {scene.place for scene in scenes} > set(INFEASIBLE_PLACES)
    assert all(scene.accent is None for scene in scenes)


def test_class_can_be_fixed():
    rng = np.random.default_rng(0)
    assert {sample_scene(rng, natural=True, class_name="glider").class_name for _ in range(20)} == {"glider"}


def lab(color) -> np.ndarray:
    pixel = np.asarray(color, np.float32).reshape(1, 1, 3) / 255
    return cv2.cvtColor(pixel, cv2.COLOR_RGB2Lab)[0, 0]


def test_colored_aircraft_show_their_palette_color():
    """The paint is nearest, in Lab, to the asked colour of the palette.

    Glass, tyres, propellers and undersides are dark on any aircraft, so the paint is read off the brighter half of
    the pixels inside the mask.
    """
    palette = {name: lab(color) for name, color in COLORS.items()}
    wrong = []
    for index, name in enumerate(list(COLORS) * 10):
        # Steps that share no factor with the lists' lengths: every colour meets every class and most places.
        class_name, place = CLASSES[(7 * index + index // 12) % 10], tuple(PLACES)[(5 * index + index // 16) % 16]
        shown = rendering(index, class_name=class_name, place=place, color=name)
        pixels = shown.image[shown.mask > 0]
        brightness = pixels.sum(1)
        median = lab(np.median(pixels[brightness >= np.median(brightness)], axis=0))
        nearest = min(palette, key=lambda other: np.linalg.norm(palette[other] - median))
        if nearest != name:
            wrong.append((name, nearest, class_name, place))
    assert len(wrong) <= 0.05 * 120, wrong


def test_views_show_the_structure():
    """No view is head-on, from behind or level: nose direction and wing plane stay visible."""
    rng = np.random.default_rng(0)
    for index in range(300):
        rotation = random_view(rng, index % 2 == 0).rotation
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        nose, up = rotation[:, 0], rotation[:, 2]
        assert np.hypot(nose[0], nose[2]) > 0.45, "the fuselage points at the viewer"
        assert abs(up[1]) > 0.1, "the wings are seen edge-on"
        if index % 2 == 0:
            assert up[1] < 0, "a standing aircraft is seen from above"


def test_camera_frames_the_points():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (200, 3))
    for _ in range(20):
        camera = Camera.framing(rng, random_view(rng, False), points, 300)
        span = np.ptp(camera.project(points), axis=0)
        assert span[0] <= 0.9 * 300 + 1e-3 and span[1] <= 0.72 * 300 + 1e-3
        assert span[0] >= 0.7 * 300 or span[1] == pytest.approx(0.72 * 300)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"class_name": "zeppelin"}, r"unknown class 'zeppelin'.*biplane"),
        ({"place": "moon"}, r"unknown place 'moon'.*runway"),
        ({"color": "mauve"}, r"unknown color 'mauve'.*sky blue"),
        ({"accent": "mauve"}, r"unknown color 'mauve'"),
        ({"color": None, "material": "jelly"}, r"unknown material 'jelly'.*brick"),
        ({"material": "brick"}, "exactly one of color and material"),
        ({"color": None}, "exactly one of color and material"),
    ],
)
def test_bad_scenes_are_refused(words, message):
    with pytest.raises(UserError, match=message):
        rendering(0, **words)
