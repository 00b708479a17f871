"""Views of pictures: identity, flips, and objects on other places."""

import numpy as np
import torch

from varireal_pretraining.views import channels_first, paste, random_affine, warp


def test_no_zoom_no_shift_is_the_picture_or_its_mirror_image():
    pictures = torch.rand(16, 3, 10, 10, generator=torch.Generator().manual_seed(0))
    theta = random_affine(16, torch.Generator().manual_seed(1), zoom=(1.0, 1.0), shift=0.0)
    seen = warp(pictures, theta)
    mirrored = theta[:, 0, 0] < 0
    assert 0 < mirrored.sum() < 16
    torch.testing.assert_close(seen[~mirrored], pictures[~mirrored], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen[mirrored], pictures[mirrored].flip(-1), atol=1e-5, rtol=1e-4)


def test_the_same_generator_state_gives_the_same_views():
    first, again = (random_affine(5, torch.Generator().manual_seed(3), turn_degrees=9.0) for _ in range(2))
    assert torch.equal(first, again)


def test_only_chosen_pictures_get_another_place_and_objects_stay():
    pictures, places = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    masks = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[:, :, 1:3, 1:3] = True
    pasted = paste(pictures, masks, places, torch.tensor([True, False]))
    assert pasted[0].sum() == 3 * (16 - 4)
    assert pasted[0, :, 1:3, 1:3].sum() == 0
    assert torch.equal(pasted[1], pictures[1])


def test_channels_come_first_as_floats():
    pictures = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    turned = channels_first(pictures)
    assert turned.shape == (2, 3, 3, 4) and turned.dtype == torch.float32
    assert turned[1, 2, 0, 3] == pictures[1, 0, 3, 2]
