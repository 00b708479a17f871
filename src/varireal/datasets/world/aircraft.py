"""The geometry of the ten aircraft classes, with random proportions around each class's own."""

from varireal.datasets.world.airframe import Aircraft
from varireal.datasets.world.canvas import Rng
from varireal.datasets.world.jets import JETS, build_jet
from varireal.datasets.world.light_aircraft import LIGHT_AIRCRAFT
from varireal.datasets.world.vocabulary import CLASSES, check_word


def build_aircraft(class_name: str, rng: Rng) -> Aircraft:
    """An aircraft of the class with random proportions and livery pattern.

    Raises:
        UserError: unknown class.
    """
    check_word("class", class_name, CLASSES)
    return build_jet(JETS[class_name], rng) if class_name in JETS else LIGHT_AIRCRAFT[class_name](rng)
