"""Fresh natural pictures for figures: seeded as the data set's are, so none of them was trained on."""

from __future__ import annotations

import numpy as np

from varireal.base.seeding import generator
from varireal.datasets.world.render import render_scene, sample_scene
from varireal.datasets.world.vocabulary import CLASSES
from varireal_pretraining.images import SIZE, ImageSet


def fresh_photos(purpose: str, per_class: int) -> ImageSet:
    """Render ``per_class`` natural scenes of every class, class by class.

    Args:
        purpose: names the stream of random numbers; another purpose gives other pictures.
    """
    renderings = []
    for name in CLASSES:
        for index in range(per_class):
            rng = generator("rendered_aircraft", "demo figures", purpose, name, index)
            renderings.append(render_scene(sample_scene(rng, natural=True, class_name=name), rng, SIZE))
    return ImageSet(
        np.stack([rendering.image for rendering in renderings]),
        np.stack([rendering.mask for rendering in renderings]),
        [rendering.scene for rendering in renderings],
        np.ones(len(renderings), bool),
    )
