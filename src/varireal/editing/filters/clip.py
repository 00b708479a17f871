"""Filter ``clip``: does CLIP see the asked value rather than the others, and still the class?

The questions are the sentences of all values of the attribute, feasible and infeasible alike, for the photo's class;
which of them was asked for is not in the question.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.attempts import FilterAnswer
from varireal.editing.filters.rules import passes, rule_identity
from varireal.editing.jobs import EditJob
from varireal.networks.clip import Clip, check_clip, clip_identity, load_clip
from varireal.prompts import PromptTable
from varireal.prompts.templates import class_prompt, edit_prompt
from varireal.store import content_key

if TYPE_CHECKING:
    import torch


class ClipFilter:
    """Accepts an edit whose asked value and class are likely enough among the candidates."""

    def __init__(self, config: FilterConfig, compute: ComputeConfig, table: PromptTable) -> None:
        check_clip(str(config.model), config.pretrained, "filter")
        self._config = config
        self._compute = compute
        self._table = table
        self._class_sentences = tuple(class_prompt(name, table.domain_word) for name in table.classes)
        self._encoded: dict[tuple[str, ...], torch.Tensor] = {}

    @property
    def identity(self) -> dict[str, object]:
        """Return the model, the thresholds and the candidates: all that decides an answer besides picture and job."""
        from varireal.compute.devices import device_type

        return {
            "name": "clip",
            "model": self._config.model,
            "weights": clip_identity(str(self._config.model), self._config.pretrained),
            "attribute_threshold": self._config.attribute_threshold,
            "class_threshold": self._config.class_threshold,
            "candidates": content_key(self._table.to_json()),
            "dtype": self._compute.dtype,
            "device": device_type(self._compute),
            **rule_identity(self._config),
        }

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the least probabilities that pass."""
        return {"attribute": self._config.attribute_threshold, "class": self._config.class_threshold}

    def load(self) -> None:
        """Load CLIP now, which then sees a blank picture."""
        _ = self._clip

    def check(self, images: Sequence[np.ndarray], jobs: Sequence[EditJob]) -> list[FilterAnswer]:
        """Judge the pictures.

        The scores are probabilities: softmax, with CLIP's own scale, over the candidates' sentences.
        """
        clip = self._clip
        features = clip.encode_images(images)
        return [self._answer(clip, feature, job) for feature, job in zip(features, jobs)]

    def worth_another(self, answer: FilterAnswer) -> bool:
        """Return that another picture may get another answer: both questions are about the picture."""
        return True

    @functools.cached_property
    def _clip(self) -> Clip:
        from varireal.compute.devices import resolve_device, resolve_dtype

        config = self._config
        device, dtype = resolve_device(self._compute), resolve_dtype(self._compute)
        return load_clip(str(config.model), config.pretrained, device, dtype, "filter")

    def _answer(self, clip: Clip, feature: torch.Tensor, job: EditJob) -> FilterAnswer:
        name = job.photo.class_name
        specs = self._table.all_specs(job.attribute, name)
        sentences = tuple(edit_prompt(job.attribute, spec.phrase, name, self._table.domain_word) for spec in specs)
        asked = [spec.name for spec in specs].index(job.spec.name)
        scores = {
            "attribute": self._probability(clip, feature, sentences, asked),
            "class": self._probability(clip, feature, self._class_sentences, self._table.classes.index(name)),
        }
        passed = {name: scores[name] >= least for name, least in self.thresholds.items()}
        return FilterAnswer(
            accepted=passes(scores, self.thresholds, self._config),
            scores=scores,
            quality=scores["attribute"] - (not passed["class"]),  # whatever lost its class comes last
        )

    def _probability(self, clip: Clip, feature: torch.Tensor, sentences: tuple[str, ...], asked: int) -> float:
        if sentences not in self._encoded:
            self._encoded[sentences] = clip.encode_texts(sentences)
        logits = clip.logit_scale * self._encoded[sentences] @ feature
        return float(logits.softmax(dim=0)[asked])
