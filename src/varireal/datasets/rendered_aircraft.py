"""The embedded data set: photos of the rendered aircraft world, with exact masks and ready-made priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from varireal.base.files import encode_png
from varireal.base.manifest import SPLITS, Split
from varireal.base.seeding import generator
from varireal.config import DatasetConfig
from varireal.datasets.base import PhotoFiles, unique_slugs
from varireal.datasets.world.vocabulary import CLASSES, MATERIALS, PLACES

# photos a class where the settings ask for all of them: the world could be photographed for ever
OWN_TRAIN, OWN_VAL = 64, 30


@dataclass(frozen=True, slots=True)
class RenderedPhoto:
    """A natural scene, given by the seed and its place in the data set."""

    image_id: str
    split: Split
    class_index: int
    number: int
    seed: int
    size: int

    @property
    def source(self) -> str:
        return f"render {self.image_id}"

    def load(self) -> PhotoFiles:
        """Render the scene: the same description always gives the same bytes."""
        from varireal.datasets.world.render import render_scene, sample_scene

        class_name = CLASSES[self.class_index]
        rng = generator("rendered_aircraft", self.seed, self.split, class_name, self.number)
        rendering = render_scene(sample_scene(rng, natural=True, class_name=class_name), rng, self.size)
        return PhotoFiles(".png", encode_png(rendering.image), self.size, self.size, encode_png(rendering.mask))


@dataclass(frozen=True, slots=True)
class RenderedPicture:
    """An empty place or a material seen close."""

    attribute: Literal["background", "texture"]
    name: str
    index: int
    seed: int
    size: int

    def load(self) -> bytes:
        """Render the picture as PNG, (size, size)."""
        from varireal.datasets.world.materials import render_material
        from varireal.datasets.world.render import render_place

        rng = generator("rendered_aircraft", self.seed, "picture", self.attribute, self.name, self.index)
        render = render_place if self.attribute == "background" else render_material
        return encode_png(render(self.name, rng, self.size))


class RenderedAircraft:
    """Ten fine-grained aircraft classes in natural places and liveries; splits are disjoint by seed."""

    has_masks = True

    def __init__(self, config: DatasetConfig, seed: int) -> None:
        self.classes: Sequence[str] = CLASSES
        train, val = config.train_per_class or OWN_TRAIN, config.val_per_class or OWN_VAL
        self._counts = dict(zip(SPLITS, (train, val, config.test_per_class)))
        self._config = config
        self._seed = seed

    def photos(self) -> Sequence[RenderedPhoto]:
        """Return ``<split>_per_class`` photos of every class and split."""
        slugs = unique_slugs(CLASSES)
        return [
            RenderedPhoto(f"{slugs[name]}/{split}-{number:04d}", split, index, number, self._seed, self._config.size)
            for index, name in enumerate(CLASSES)
            for split in SPLITS
            for number in range(self._counts[split])
        ]

    def pictures(self) -> Sequence[RenderedPicture]:
        """Return the pictures of every place and every material, feasible or not."""
        wanted: list[tuple[Literal["background", "texture"], str, int]] = [
            *(("background", name, self._config.pictures_per_place) for name in PLACES),
            *(("texture", name, self._config.pictures_per_material) for name in MATERIALS),
        ]
        return [
            RenderedPicture(attribute, name, index, self._seed, self._config.size)
            for attribute, name, count in wanted
            for index in range(count)
        ]
