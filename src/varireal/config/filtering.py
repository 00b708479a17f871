"""The section of params.yaml about the filter that judges edits."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from varireal.config.data import Positive, PositiveShare, Section, Share


class FilterConfig(Section):
    """Which edits count as good."""

    name: Literal["clip", "vqa", "none"]
    # clip: an open_clip model name, "local-dir:<folder>" or "hf-hub:<id>"; vqa: a folder or hub id that transformers'
    # AutoModelForImageTextToText and AutoProcessor can load
    model: str | None = None
    pretrained: str | None = None  # clip only
    revision: str | None = None  # vqa only: branch, tag or commit of a hub id
    batch_size: Positive = 8  # vqa only: pictures, with their questions, that go through the model at once
    # clip: least probability of the asked attribute against the other candidates; vqa: of yes against no
    attribute_threshold: Share = 0.5
    class_threshold: Share = 0.0  # the same of the photo's class
    # vqa only: least probability of yes (feasible edits) or no (infeasible ones) to "could a real one look like this?"
    possibility_threshold: Share = 0.5
    # all: every answer must reach its threshold; mean: a share of them, among those with a threshold above 0, as in the
    # study. What becomes of edits that never pass is said by mix.include_exhausted
    rule: Literal["all", "mean"] = "all"
    mean_threshold: PositiveShare = 0.5  # mean only: that share
    max_attempts: Positive = 3
    # vqa only: also paint anew what failed by the question of what is possible alone; whether a thing is possible lies
    # with the value that was asked for, which is the same in every attempt
    repaint_impossible: bool = False

    @model_validator(mode="after")
    def _complete(self) -> FilterConfig:
        if self.name != "none" and not self.model:
            raise ValueError(f"filter {self.name} needs a model")
        if self.name == "vqa" and (self.pretrained or str(self.model).startswith(("local-dir:", "hf-hub:"))):
            raise ValueError(
                f"filter vqa needs a vision-language model of transformers, but model {self.model!r} and pretrained "
                f"{self.pretrained!r} are open_clip's; set model to a folder or hub id, and pretrained to null"
            )
        return self
