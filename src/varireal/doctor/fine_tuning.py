"""A few steps of fine-tuning, clocked."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varireal.training.plan import TrainingSet

STEPS = 4  # of which the first warms up
LOOK_IMAGES = 64  # of the larger of two looks at val, whose difference is the images' share


@dataclasses.dataclass(frozen=True)
class FineTuningTime:
    """Seconds of the parts of a fine-tuning, and sizes."""

    decode_image: float
    steps: tuple[float, ...]
    look_one: float  # a look at one image
    look_many: float  # at LOOK_IMAGES
    image_bytes: int
    adapter_bytes: int

    @property
    def step(self) -> float:
        """Return the seconds of a step, without the first one."""
        return sum(self.steps[1:]) / len(self.steps[1:])

    @property
    def look_image(self) -> float:
        """Return the seconds of an image in a look."""
        return max(0.0, self.look_many - self.look_one) / (LOOK_IMAGES - 1)

    @property
    def look(self) -> float:
        """Return the seconds of a look beside its images."""
        return max(0.0, self.look_one - self.look_image)

    @property
    def busy(self) -> float:
        """Return the seconds that were spent on what the study would spend them on too, once warm."""
        return self.step * len(self.steps) + self.look_one + self.look_many


class FineTuningClock:
    """A worker of an engine: every item is one short fine-tuning on the study's photos."""

    def __init__(self, study: TrainingSet, work: Path) -> None:
        """Take a study whose photos are all ``real``, and a folder for decoded pixels."""
        self._study, self._work = study, work

    def __call__(self, items: Sequence[int]) -> list[FineTuningTime]:
        return [self._clock(item) for item in items]

    def _clock(self, item: int) -> FineTuningTime:
        import torch

        from varireal.compute.devices import resolve_device, resolve_dtype
        from varireal.training.classifiers import load_classifier
        from varireal.training.data import LabelledImages, LabelledPhotos, load_images, load_training_images
        from varireal.training.loop import fine_tune, look_at
        from varireal.training.lora import adapter_bytes, add_lora
        from varireal.training.pixels import PixelCache
        from varireal.training.steps import pools
        from varireal.training.towers import set_up_towers, unpadded

        study, dtype = self._study, resolve_dtype(self._study.compute)
        config = study.train.model_copy(update={"max_steps": STEPS, "eval_every": STEPS})
        clip = load_classifier(study.clip, len(study.classes), resolve_device(study.compute))
        set_up_towers(clip.model, config)
        start = time.perf_counter()
        side = config.augmentation.short_side
        images = load_training_images(study.real, clip, side, self._work / str(item))
        decoded = (time.perf_counter() - start) / len(images)
        whole = isinstance(images, LabelledPhotos)
        squares = load_images(study.real, PixelCache(clip, self._work / str(item))) if whole else images
        image_bytes = round(images.pixels.mean_bytes) if whole else 3 * clip.image_size**2
        one, many = (
            LabelledImages(squares.pixels[places], squares.labels[places])
            for places in (torch.arange(count) % len(images) for count in (1, LOOK_IMAGES))
        )
        with unpadded(clip, study.sentences) as tokens:
            model = add_lora(clip.model, config.lora, study.run_seed, item)
            marks = [time.perf_counter()]
            fine_tune(
                clip, model, tokens, pools(images, None, config), one, config, (study.run_seed, item),
                lambda _: marks.append(time.perf_counter()), dtype=dtype,
            )  # fmt: skip
            model.eval()
            looks = []
            for val in (one, many, one, many):  # the first two warm up
                start = time.perf_counter()
                look_at(clip, model, tokens, val, dtype, config.loss)
                looks.append(time.perf_counter() - start)
            size = sum(map(len, adapter_bytes(model).values()))
        steps = tuple(after - before for before, after in itertools.pairwise(marks))
        return FineTuningTime(decoded, steps, looks[2], looks[3], image_bytes, size)
