"""The zero-shot gate: CLIP on the test split against an accuracy that is known from elsewhere.

Fine-tuning hides a wrong preprocessing or activation (OpenAI's weights need QuickGELU), zero-shot accuracy does not.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import torch

from varireal.base.files import json_bytes
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.config import AnchorConfig
from varireal.evaluation.plan import EvaluationSet, shared_inputs
from varireal.networks.clip import Clip, load_clip
from varireal.store.folders import WorkStore, content_key
from varireal.training.data import load_images
from varireal.training.loop import text_scores
from varireal.training.pixels import PixelCache

FILE = "anchor.json"  # of a kept measurement


@dataclasses.dataclass(frozen=True)
class Gate:
    """What was expected and what was found, in percent of the test photos."""

    expected: float
    found: float
    tolerance: float  # points

    @property
    def passed(self) -> bool:
        """Whether they are within the tolerance."""
        return abs(self.found - self.expected) <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """Return the figures for the metrics file."""
        return {**dataclasses.asdict(self), "passed": self.passed}


def anchor_key(test: EvaluationSet, anchor: AnchorConfig, classes: Sequence[str]) -> str:
    """Return the key that the measured accuracy is kept under."""
    return content_key({**shared_inputs(test), "classes": list(classes), "templates": anchor.templates})


def measure(test: EvaluationSet, anchor: AnchorConfig, classes: Sequence[str], store: WorkStore) -> Gate:
    """Return CLIP's accuracy with the anchor's sentences beside the known one; it is measured once for all runs.

    Raises:
        UserError: CLIP or a photo cannot be loaded, or the store's disk is full.
    """
    key = anchor_key(test, anchor, classes)
    folder = store.get(key)
    if folder is None:
        clip = load_clip(test.clip.model, test.clip.pretrained, resolve_device(test.compute))
        images = load_images(test.photos, PixelCache(clip, store.root))
        dtype, texts = resolve_dtype(test.compute), class_features(clip, classes, anchor.templates)
        logits = text_scores(clip, clip.model, texts, images, test.batch_size, dtype)
        top1 = 100 * (logits.argmax(1) == images.labels).double().mean().item()
        folder = store.put(key, {FILE: json_bytes({"top1": top1})})
    found = json.loads((folder / FILE).read_text(encoding="utf-8"))["top1"]
    return Gate(anchor.top1, found, anchor.tolerance)


def class_features(clip: Clip, classes: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Return one unit vector a class, float32 (C, D): the direction of the mean over its sentences' unit vectors.

    So CLIP's authors and open_clip do it: a sentence for every template, with the class name in the place of ``{}``.
    """
    encoded = [clip.encode_texts([template.replace("{}", name) for name in classes]) for template in templates]
    return torch.nn.functional.normalize(torch.stack(encoded).mean(0), dim=-1)
