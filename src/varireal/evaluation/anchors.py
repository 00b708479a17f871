"""The zero-shot gate: CLIP on the test split against an accuracy that is known from elsewhere.

Fine-tuning hides a wrong preprocessing or activation (OpenAI's weights need QuickGELU), zero-shot accuracy does not.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.files import json_bytes, read_json
from varireal.compute.devices import resolve_device
from varireal.config import AnchorConfig
from varireal.evaluation.plan import EvaluationSet, shared_inputs
from varireal.networks.clip import Clip, load_clip
from varireal.store import FolderStore, content_key

if TYPE_CHECKING:
    import torch

    from varireal.config import Params

logger = logging.getLogger(__name__)

FILE = "anchor.json"  # of a kept measurement


@dataclasses.dataclass(frozen=True)
class Gate:
    """What was expected and what was found, in percent of the test photos."""

    expected: float
    found: float
    tolerance: float  # points

    @property
    def passed(self) -> bool:
        """Return whether they are within the tolerance."""
        return abs(self.found - self.expected) <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """Return the figures for the metrics file."""
        return {**dataclasses.asdict(self), "passed": self.passed}


def anchor_key(test: EvaluationSet, anchor: AnchorConfig, classes: Sequence[str]) -> str:
    """Return the key that the measured accuracy is kept under."""
    return content_key({**shared_inputs(test), "classes": list(classes), "templates": anchor.templates})


def zero_shot_gate(params: Params, test: EvaluationSet, classes: Sequence[str], store: FolderStore) -> Gate | None:
    """Check zero-shot CLIP where its accuracy is known, and warn of a miss; None where it is not.

    Call it before anything long.

    Raises:
        UserError: as for :func:`measure`.
    """
    anchor = params.evaluate.anchor(params.clip.model, params.clip.pretrained, len(test.photos))
    if anchor is None:
        return None
    gate = measure(test, anchor, classes, store)
    if not gate.passed:
        logger.warning(
            "zero-shot CLIP reaches %.1f %% on the test split, but %s (%s) is known to reach %.1f %%: preprocessing "
            "or activation (QuickGELU) must be wrong, and so are all results; check clip.model and clip.pretrained",
            gate.found, params.clip.model, params.clip.pretrained, gate.expected,
        )  # fmt: skip
    return gate


def measure(test: EvaluationSet, anchor: AnchorConfig, classes: Sequence[str], store: FolderStore) -> Gate:
    """Return CLIP's accuracy with the anchor's sentences beside the known one; it is measured once for all runs.

    Raises:
        UserError: CLIP or a photo cannot be loaded, or the store's disk is full.
    """
    key = anchor_key(test, anchor, classes)
    kept = store.get(key)
    if kept is None:
        from varireal.training.data import load_images
        from varireal.training.loop import text_scores
        from varireal.training.pixels import PixelCache

        clip = load_clip(test.clip.model, test.clip.pretrained, resolve_device(test.compute))
        images = load_images(test.photos, PixelCache(clip, store.root))
        texts = class_features(clip, classes, anchor.templates)
        logits = text_scores(clip, clip.model, texts, images, test.batch_size)
        top1 = 100 * (logits.argmax(1) == images.labels).double().mean().item()
        [kept] = store.put({key: {FILE: json_bytes({"top1": top1})}})
    return Gate(anchor.top1, read_json(kept.path / FILE)["top1"], anchor.tolerance)


def class_features(clip: Clip, classes: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
    """Return one unit vector a class, float32 (C, D): the direction of the mean over its sentences' unit vectors.

    So CLIP's authors and open_clip do it: a sentence for every template, with the class name in the place of ``{}``.
    """
    import torch

    encoded = [clip.encode_texts([template.replace("{}", name) for name in classes]) for template in templates]
    return torch.nn.functional.normalize(torch.stack(encoded).mean(0), dim=-1)
