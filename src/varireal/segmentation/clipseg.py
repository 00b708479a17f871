"""Masks from CLIPSeg: a picture and words in, a probability for every pixel out. It always answers something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.segmentation.base import Segment, object_phrase
from varireal.segmentation.boxes import SCORE_DECIMALS
from varireal.segmentation.networks import NetworkKind, SegmentNetwork, blank_photo, read_photos, resized

if TYPE_CHECKING:
    import numpy as np
    import torch

KIND = NetworkKind("CLIPSeg", "CLIPSegForImageSegmentation", "CLIPSegProcessor", ("clipseg",))
REVISION = 1  # raised when the same photo gets another mask


class ClipsegSegmenter:
    """Takes the pixels whose probability, given the phrase, is above ``clipseg.threshold``."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        self._config, self._domain_word = config, domain_word
        self._tried = False
        own = config.clipseg
        self._network = SegmentNetwork(KIND, "segment.clipseg.checkpoint", own.checkpoint, own.revision, compute)

    def identity(self) -> dict[str, Any]:
        """Return the network's identity and the threshold."""
        threshold = self._config.clipseg.threshold
        return {"source": "clipseg", **self._network.identity, "threshold": threshold, "revision": REVISION}

    def phrase(self, photo: ImageRecord) -> str:
        """Return what is looked for in the photo."""
        return object_phrase(photo, self._domain_word, self._config.query)

    def load(self) -> None:
        """Load the network, and let it look at a blank picture."""
        if self._tried:
            return
        self._network.load()
        with self._network.answering():
            self._network.run([self._inputs(blank_photo(), "object")], ["logits"])
        self._tried = True

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return a mask per photo; None where no pixel is probable enough."""
        self.load()
        images = read_photos(photos)
        inputs = [self._inputs(image, self.phrase(photo)) for photo, image in zip(photos, images)]
        outputs = self._network.run(inputs, ["logits"])
        segments: list[Segment | None] = []
        for photo, image, output in zip(photos, images, outputs):
            probability = resized(output["logits"][None], image.shape[:2])[0].sigmoid()
            mask = (probability > self._config.clipseg.threshold).cpu().numpy()
            details = {"phrase": self.phrase(photo), "score": round(float(probability.max()), SCORE_DECIMALS)}
            segments.append(Segment(mask, details) if mask.any() else None)
        return segments

    def _inputs(self, image: np.ndarray, phrase: str) -> dict[str, torch.Tensor]:
        """Return the network's arguments."""
        from PIL import Image

        words = self._network.processor.tokenizer(
            phrase, padding="max_length", truncation=True, max_length=self._tokens, return_tensors="pt"
        )
        pixels = self._network.processor.image_processor(Image.fromarray(image), return_tensors="pt")
        names = ("input_ids", "attention_mask")
        return {**{name: words[name] for name in names}, "pixel_values": pixels["pixel_values"]}

    @property
    def _tokens(self) -> int:
        """Return the length that every phrase is padded to, so that all of them fit into one batch."""
        return int(self._network.model.config.text_config.max_position_embeddings)
