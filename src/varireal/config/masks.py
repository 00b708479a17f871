"""The section of params.yaml about object masks."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from varireal.config.base import NetworkConfig, NonNegative, Positive, Section, Share

MaskSource = Literal["model", "dataset", "grounded_sam2", "sam3", "clipseg"]
OpenShare = Annotated[float, Field(gt=0, lt=1)]  # a threshold that something lies above, and something below


class DetectorConfig(NetworkConfig):
    """Grounding DINO; the thresholds are the study's."""

    box_threshold: OpenShare = 0.4  # boxes with a lower score are no detections
    text_threshold: OpenShare = 0.3  # a word of the query counts as seen in a box from this score on


class Sam3Config(NetworkConfig):
    """SAM 3, asked with words."""

    score_threshold: OpenShare = 0.5  # objects with a lower score are no detections
    mask_threshold: OpenShare = 0.5  # probability from which a pixel belongs to the object


class ClipsegConfig(NetworkConfig):
    """CLIPSeg."""

    threshold: OpenShare = 0.5  # probability from which a pixel belongs to the object


class ChoiceConfig(Section):
    """How much, beside its score in [0, 1], size and position of a detected box count (segmentation/boxes.py)."""

    area_weight: NonNegative = 0.3  # times the square root of the box's share of the photo
    position_weight: NonNegative = 0.2  # times the nearness of the box's centre to the photo's centre


class CleaningConfig(Section):
    """What is mended in a mask before it is checked; the defaults change nothing."""

    # fragments below this share of the largest one's area are dropped; 1: only the largest stays
    min_fragment: Share = 0.0
    max_hole: Share = 0.0  # holes up to this share of the mask's area are filled; 1: all of them


class SegmentConfig(Section):
    """Object masks and what makes one unusable. Networks that the sources do not name are ignored."""

    source: MaskSource
    fallback: MaskSource | None = None  # asked for the photos in which the source finds nothing
    checkpoint: str | None = None  # model: any AutoModelForSemanticSegmentation, a folder or a hub id
    revision: str | None = None
    object_labels: list[str] = Field(["aircraft"], min_length=1)  # model: the checkpoint's labels that count
    # model: probability of object_labels from which a pixel belongs to the object; null: the likeliest label decides
    threshold: OpenShare | None = None
    # grounded_sam2, sam3, clipseg: look for "<class name> <domain word>", as the study did, or for the domain word
    query: Literal["class", "domain"] = "class"
    detector: DetectorConfig = DetectorConfig()  # grounded_sam2: finds the boxes
    sam2: NetworkConfig = NetworkConfig()  # grounded_sam2: makes the mask in the chosen box
    sam3: Sam3Config = Sam3Config()
    clipseg: ClipsegConfig = ClipsegConfig()
    choice: ChoiceConfig = ChoiceConfig()  # grounded_sam2, sam3: which of several detections
    batch_size: Positive = 16
    cleaning: CleaningConfig = CleaningConfig()
    min_area: Share = 0.01  # share of the photo; smaller masks are unusable
    max_area: Share = 0.9
    # the two below let all 1,193 true masks pass that they were chosen on (docs/masks.md)
    max_border: Share = 0.75  # share of the photo's outermost pixels; masks that hold more are the background, mostly
    min_main_fragment: Share = 0.4  # share of the mask in its largest fragment; below it, the mask is scattered

    @model_validator(mode="after")
    def _complete(self) -> SegmentConfig:
        for source in (self.source, self.fallback):
            for key in _CHECKPOINTS.get(source or "", ()):
                section, _, name = key.rpartition(".")
                if not getattr(getattr(self, section) if section else self, name):
                    raise ValueError(f"source {source} needs {'a checkpoint' if not section else key}")
        if self.fallback == self.source:
            raise ValueError(f"fallback {self.fallback} is the source itself; name another of {_SOURCES}, or null")
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area {self.min_area} must be below max_area {self.max_area}")
        return self


_SOURCES = ", ".join(get_args(MaskSource))
_CHECKPOINTS = {
    "model": ("checkpoint",),
    "grounded_sam2": ("detector.checkpoint", "sam2.checkpoint"),
    "sam3": ("sam3.checkpoint",),
    "clipseg": ("clipseg.checkpoint",),
}
