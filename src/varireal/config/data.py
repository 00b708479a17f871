"""Sections of params.yaml about photos and prompts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, Attribute, Feasibility
from varireal.config.base import NonNegative, Positive, PositiveFloat, Section, Share

DOWNLOADABLE = ("oxford_pets", "fgvc_aircraft")


class DatasetConfig(Section):
    """The photos. Keys of one kind of data set are ignored by the others, so that a group can be swapped alone."""

    name: Literal["rendered_aircraft", "image_folder", "oxford_pets", "fgvc_aircraft", "stanford_cars", "waterbirds"]
    domain_word: str  # follows the class name in prompts: "a photo of a trijet aircraft"
    # image_folder: one folder a class, or train/ val/ test/ with one folder a class in each; published data sets
    # (docs/datasets.md): where their archives are unpacked
    root: str | None = None
    masks_root: str | None = None  # all with a root but oxford_pets: masks with the photos' relative names
    max_side: Positive | None = None  # all with a root: larger photos are scaled down to this longer side, in pixels
    min_side: Positive = 32  # all with a root: smaller photos are refused by name
    on_bad_image: Literal["error", "skip"] = "error"  # all with a root: stop at an unreadable photo, or leave it out
    # published data sets: copies of one file in two splits or classes stop the work, or are left out of train and val
    on_duplicate: Literal["error", "drop"] = "error"
    download: bool = False  # oxford_pets, fgvc_aircraft: prepare gets what the root lacks from the authors' site
    complete: bool = True  # published data sets: their numbers of classes and photos must be met; false for a part
    # share of each class's photos (published: train photos); not read where val photos are given, or val_per_class
    val_share: Share = 0.15
    test_share: Share = 0.25  # image_folder without given splits
    size: Positive = 128  # rendered_aircraft: side in pixels
    # null: all photos of published data sets (val: val_share), 64 and 30 of rendered_aircraft; image_folder takes all
    train_per_class: Positive | None = 16
    val_per_class: Positive | None = 10
    test_per_class: Positive = 60  # rendered_aircraft; a published test split is always whole
    pictures_per_place: Positive = 8  # rendered_aircraft: ready-made priors of each place and material
    pictures_per_material: Positive = 4

    @model_validator(mode="after")
    def _consistent(self) -> DatasetConfig:
        if self.download and self.name not in DOWNLOADABLE:
            raise ValueError(
                f"download is for {' and '.join(DOWNLOADABLE)}; {self.name} has no archive that can be got so, set it "
                "to false"
            )
        if self.name != "rendered_aircraft" and not self.root:
            raise ValueError(f"{self.name} needs root, the folder with the photos")
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} leave nothing for training")
        return self

    @property
    def has_masks(self) -> bool:
        """Whether masks come with the photos."""
        return self.name in ("rendered_aircraft", "oxford_pets") or self.masks_root is not None


class LlmConfig(Section):
    """A language model that proposes and judges attributes; read by the prompt sources openai and transformers."""

    model: str | None = None  # openai: its name at the endpoint; transformers: a folder or hub id of an instruct model
    critic_model: str | None = None  # openai: judges the proposals; null: the same model
    revision: str | None = None  # transformers: of a hub id
    # openai: such as https://api.openai.com/v1; no default, so that nothing is sent unasked
    base_url: str | None = None
    # openai: the environment variable with the key; unset or empty: no key is sent, as local servers like it
    api_key_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "OPENAI_API_KEY"
    # openai: how the answer's form is asked for; older servers know json_object at most, or nothing
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    # openai: newer models want the latter
    token_limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_seed: bool = True  # openai: false for endpoints that refuse a seed
    temperature: NonNegative | None = 0.7  # null: the endpoint's or checkpoint's own (models that reason refuse it)
    max_tokens: Positive = 8000  # of one answer
    timeout: PositiveFloat = 120.0  # openai: seconds for one answer
    max_attempts: Positive = 5  # for one question: rate limits, time-outs and malformed answers all count
    min_wait: PositiveFloat = 1.0  # openai: seconds before the second attempt; doubles each time, with jitter
    max_wait: PositiveFloat = 120.0  # openai: seconds, longest wait; a server that asks for more ends the run
    concurrency: Positive = 4  # openai: questions asked at the same time
    # one list for all classes, one for each group of prompt.bank, or one for each class; the study's choice for pets
    scope: dict[Attribute, Literal["all", "group", "class"]] = Field(
        {"background": "all", "color": "class", "texture": "class"}
    )
    # length of each list; for backgrounds the study had 18 to 44 feasible values and about 50 infeasible ones
    counts: dict[Attribute, dict[Feasibility, Positive]] = Field(
        {
            "background": {"feasible": 30, "infeasible": 50},
            "color": {"feasible": 6, "infeasible": 6},
            "texture": {"feasible": 6, "infeasible": 6},
        }
    )
    # the part of a list's length that must be left when the rounds are over
    min_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    max_rounds: Positive = 4  # of proposing and judging; later rounds ask for what is still missing
    # emphasis that proposals get, as in the study
    weights: dict[Attribute, Annotated[float, Field(gt=0, le=3)]] = Field(
        {"background": 1.2, "color": 1.3, "texture": 1.3}
    )
    input_price: NonNegative | None = None  # per million tokens, in any currency; null: tokens are counted, cost is not
    output_price: NonNegative | None = None

    @model_validator(mode="after")
    def _complete(self) -> LlmConfig:
        for attribute in ATTRIBUTES:
            lengths = self.counts.get(attribute, {})
            if attribute not in self.scope or attribute not in self.weights or set(lengths) != set(FEASIBILITIES):
                raise ValueError(f"scope, weights and counts (feasible and infeasible) must all name {attribute}")
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("input_price and output_price go together; set both or none")
        return self


class PromptConfig(Section):
    """Where the lists of attributes come from."""

    source: Literal["bank", "openai", "transformers"] = "bank"
    bank: str  # the lists (source bank); the groups of classes (other sources, where llm.scope says group)
    llm: LlmConfig = LlmConfig()

    @model_validator(mode="after")
    def _complete(self) -> PromptConfig:
        if self.source != "bank" and not self.llm.model:
            raise ValueError(f"source {self.source} needs llm.model")
        if self.source == "openai" and not self.llm.base_url:
            raise ValueError("source openai needs llm.base_url, such as https://api.openai.com/v1")
        return self
