"""Masks from SAM 3, which finds every object that a phrase names: one network for boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.segmentation.base import Segment, object_phrase
from varireal.segmentation.boxes import Detection, choose
from varireal.segmentation.networks import NetworkKind, SegmentNetwork, blank_photo, read_photos

if TYPE_CHECKING:
    import numpy as np
    import torch

# the checkpoints on the hub hold the video tracker beside the detector, which is all that photos need
KIND = NetworkKind("SAM 3", "Sam3Model", "Sam3Processor", ("sam3", "sam3_video"))
OUTPUTS = ("pred_logits", "pred_boxes", "pred_masks", "presence_logits")
REVISION = 1  # raised when the same photo gets another mask


class Sam3Segmenter:
    """Asks for a phrase and takes the best of the objects, by score, size and position."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        self._config, self._domain_word = config, domain_word
        self._tried = False
        own = config.sam3
        self._network = SegmentNetwork(KIND, "segment.sam3.checkpoint", own.checkpoint, own.revision, compute)

    def identity(self) -> dict[str, Any]:
        """Return the network's identity and the rules of choice."""
        return {
            "source": "sam3",
            **self._network.identity,
            **self._config.sam3.model_dump(include={"score_threshold", "mask_threshold"}),
            "choice": self._config.choice.model_dump(),
            "min_area": self._config.min_area,
            "revision": REVISION,
        }

    def phrase(self, photo: ImageRecord) -> str:
        """Return what is looked for in the photo."""
        return object_phrase(photo, self._domain_word, self._config.query)

    def load(self) -> None:
        """Load the network, and let it look at a blank picture."""
        if self._tried:
            return
        self._network.load()
        with self._network.answering():
            picture = blank_photo()
            self._best(self._network.run([self._inputs(picture, "object")], OUTPUTS)[0], picture, "object")
        self._tried = True

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return the best object of each photo; None where no object passes ``sam3.score_threshold``."""
        self.load()
        images = read_photos(photos)
        phrases = [self.phrase(photo) for photo in photos]
        inputs = [self._inputs(image, phrase) for image, phrase in zip(images, phrases)]
        outputs = self._network.run(inputs, OUTPUTS)
        return [self._best(output, image, phrase) for output, image, phrase in zip(outputs, images, phrases)]

    def _inputs(self, image: np.ndarray, phrase: str) -> dict[str, torch.Tensor]:
        """Return the network's arguments; the processor's own call does not cut phrases that are too long."""
        from PIL import Image

        tokens = self._network.model.text_encoder.config.max_position_embeddings
        words = self._network.processor.tokenizer(
            phrase, padding="max_length", truncation=True, max_length=tokens, return_tensors="pt"
        )
        pixels = self._network.processor.image_processor(Image.fromarray(image), return_tensors="pt")
        names = ("input_ids", "attention_mask")
        return {**{name: words[name] for name in names}, "pixel_values": pixels["pixel_values"]}

    def _best(self, output: dict[str, torch.Tensor], image: np.ndarray, phrase: str) -> Segment | None:
        size = image.shape[:2]
        fields = {name: output[name][None] if name in output else None for name in OUTPUTS}
        (objects,) = self._network.processor.post_process_instance_segmentation(
            SimpleNamespace(**fields),
            threshold=self._config.sam3.score_threshold,
            mask_threshold=self._config.sam3.mask_threshold,
            target_sizes=[size],
        )
        detections = [
            Detection(tuple(box), score).clipped(size)
            for box, score in zip(objects["boxes"].tolist(), objects["scores"].tolist())
        ]
        place = choose(detections, size, self._config.min_area, self._config.choice)
        if place is None:
            return None
        mask = objects["masks"][place].bool().cpu().numpy()
        return Segment(mask, detections[place].details(phrase, len(detections)))
