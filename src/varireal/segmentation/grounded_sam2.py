"""Masks from Grounding DINO, which finds boxes for a phrase, and SAM 2.1, which finds the object in the best box."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.networks.blank import SIDE
from varireal.segmentation.base import Segment, object_phrase
from varireal.segmentation.boxes import Detection, choose
from varireal.segmentation.networks import NetworkKind, SegmentNetwork, blank_photo, read_photos, resized

if TYPE_CHECKING:
    import numpy as np
    import torch

DETECTOR = NetworkKind(
    "Grounding DINO", "GroundingDinoForObjectDetection", "GroundingDinoProcessor", ("grounding-dino",)
)
# the checkpoints on the hub hold the video tracker's memory beside the network for single pictures
SAM2 = NetworkKind("SAM 2", "Sam2Model", "Sam2Processor", ("sam2", "sam2_video"))
REVISION = 1  # raised when the same photo gets another mask


class GroundedSam2Segmenter:
    """Finds boxes for a phrase, chooses one by score, size and position, and takes the object in it.

    The way of the study, whose thresholds are the defaults.
    """

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        self._config, self._domain_word = config, domain_word
        self._tried = False
        dino, sam2 = config.detector, config.sam2
        self._detector = SegmentNetwork(
            DETECTOR, "segment.detector.checkpoint", dino.checkpoint, dino.revision, compute
        )
        self._sam2 = SegmentNetwork(SAM2, "segment.sam2.checkpoint", sam2.checkpoint, sam2.revision, compute)

    def identity(self) -> dict[str, Any]:
        """Return the networks' identities and the rules of choice."""
        return {
            "source": "grounded_sam2",
            "detector": self._detector.identity,
            "sam2": self._sam2.identity,
            **self._config.detector.model_dump(include={"box_threshold", "text_threshold"}),
            "choice": self._config.choice.model_dump(),
            "min_area": self._config.min_area,
            "revision": REVISION,
        }

    def phrase(self, photo: ImageRecord) -> str:
        """Return what is looked for in the photo."""
        return object_phrase(photo, self._domain_word, self._config.query)

    def load(self) -> None:
        """Load both networks, and let them look at a blank picture."""
        if self._tried:
            return
        self._detector.load()
        self._sam2.load()
        with self._detector.answering():
            self._detect([blank_photo()], ["object"])
        with self._sam2.answering():
            self._masks([blank_photo()], [Detection((0.0, 0.0, SIDE / 2, SIDE / 2), 1.0)])
        self._tried = True

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return the object of each photo; None where no box is found."""
        self.load()
        images = read_photos(photos)
        detected = self._detect(images, [self.phrase(photo) for photo in photos])
        chosen = {}
        for place, (detections, image) in enumerate(zip(detected, images)):
            best = choose(detections, image.shape[:2], self._config.min_area, self._config.choice)
            if best is not None:
                chosen[place] = detections[best]
        masks = self._masks([images[place] for place in chosen], list(chosen.values()))
        segments: list[Segment | None] = [None] * len(photos)
        for (place, detection), mask in zip(chosen.items(), masks):
            segments[place] = Segment(mask, detection.details(self.phrase(photos[place]), len(detected[place])))
        return segments

    def _detect(self, images: Sequence[np.ndarray], phrases: Sequence[str]) -> list[list[Detection]]:
        """Return the boxes above the thresholds, within their photos."""
        from PIL import Image

        inputs = [
            dict(self._detector.processor(images=Image.fromarray(image), text=f"{phrase}.", return_tensors="pt"))
            for image, phrase in zip(images, phrases)
        ]
        outputs = self._detector.run(inputs, ["logits", "pred_boxes"])
        return [
            self._detections(output, tensors["input_ids"], image.shape[:2])
            for output, tensors, image in zip(outputs, inputs, images)
        ]

    def _detections(
        self, output: dict[str, torch.Tensor], input_ids: torch.Tensor, size: tuple[int, int]
    ) -> list[Detection]:
        (boxes,) = self._detector.processor.post_process_grounded_object_detection(
            SimpleNamespace(**{name: value[None] for name, value in output.items()}),
            input_ids,
            threshold=self._config.detector.box_threshold,
            text_threshold=self._config.detector.text_threshold,
            target_sizes=[size],
        )
        return [
            Detection(tuple(box), score).clipped(size)
            for box, score, words in zip(boxes["boxes"].tolist(), boxes["scores"].tolist(), boxes["text_labels"])
            if words  # else no word of the query is in the box
        ]

    def _masks(self, images: Sequence[np.ndarray], detections: Sequence[Detection]) -> list[np.ndarray]:
        """Return the mask of the object in each box, bool (H, W)."""
        from PIL import Image

        inputs = []
        for image, detection in zip(images, detections):
            made = self._sam2.processor(
                images=Image.fromarray(image), input_boxes=[[list(detection.box)]], return_tensors="pt"
            )
            inputs.append({name: made[name] for name in ("pixel_values", "input_boxes")})
        # a box leaves little doubt about what is meant, so one mask is asked for rather than three to choose from
        outputs = self._sam2.run(inputs, ["pred_masks"], multimask_output=False)
        return [
            (resized(output["pred_masks"][0], image.shape[:2])[0] > 0).cpu().numpy()
            for output, image in zip(outputs, images)
        ]
