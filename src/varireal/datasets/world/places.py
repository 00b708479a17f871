"""Empty places by name: the backgrounds of the rendered world, and the ready-made priors of background edits."""

import numpy as np

from varireal.datasets.world.canvas import Rng, finish
from varireal.datasets.world.places_natural import NATURAL_PAINTERS
from varireal.datasets.world.places_unnatural import UNNATURAL_PAINTERS
from varireal.datasets.world.vocabulary import PLACES, check_word

SUPERSAMPLING = 2
PAINTERS = NATURAL_PAINTERS | UNNATURAL_PAINTERS

#: Places with a floor to stand on; elsewhere an aircraft flies.
GROUNDED = frozenset(
    ("runway", "grass field", "mountains", "desert", "city", "lava", "library", "carpet", "kitchen", "chessboard")
)


def render_place(name: str, rng: Rng, size: int = 128) -> np.ndarray:
    """An empty place, uint8 RGB (size, size, 3); same generator state, same bytes.

    Raises:
        UserError: unknown place.
    """
    painter = PAINTERS[check_word("place", name, tuple(PLACES))]
    exposure = 1 + 0.03 * rng.standard_normal()
    return finish(painter(rng, SUPERSAMPLING * size) * exposure, size)
