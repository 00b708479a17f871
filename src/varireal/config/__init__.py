"""The models of params.yaml, one per section. An unknown key or a wrong value is an error that says what is allowed."""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from varireal.base.file_kinds import at_home
from varireal.base.files import read_yaml
from varireal.config.data import DatasetConfig, LlmConfig, Positive, PromptConfig, Section, SegmentConfig, Share
from varireal.config.editing import (
    EditConfig,
    InpaintConfig,
    InstructConfig,
    IpAdapterConfig,
    LoraConfig,
    MemoryConfig,
    PartConfig,
    PipelineConfig,
    PriorConfig,
    Recipe,
    RefineConfig,
)
from varireal.config.filtering import FilterConfig
from varireal.config.study import (
    AnchorConfig,
    AugmentationConfig,
    ClipConfig,
    EvaluateConfig,
    GridConfig,
    LoraSettings,
    MeasureConfig,
    MixConfig,
    ReportConfig,
    SettleConfig,
    TrackingConfig,
    TrainConfig,
)
from varireal.errors import UserError

__all__ = [
    "AnchorConfig",
    "AugmentationConfig",
    "ClipConfig",
    "ComputeConfig",
    "DatasetConfig",
    "EditConfig",
    "EvaluateConfig",
    "FilterConfig",
    "GridConfig",
    "InpaintConfig",
    "InstructConfig",
    "IpAdapterConfig",
    "LlmConfig",
    "LoraConfig",
    "LoraSettings",
    "MeasureConfig",
    "MemoryConfig",
    "MixConfig",
    "Params",
    "PartConfig",
    "PipelineConfig",
    "PriorConfig",
    "PromptConfig",
    "Recipe",
    "RefineConfig",
    "ReportConfig",
    "SegmentConfig",
    "SettleConfig",
    "TrackingConfig",
    "TrainConfig",
    "check_params",
    "load_params",
]

_SHORT = reprlib.Repr()  # writes a value in a message; long or deep ones are cut
_SHORT.maxstring = _SHORT.maxother = 120


class ComputeConfig(Section):
    """Where and how networks run; no result depends on it beyond the last bits of a float."""

    device: str = "auto"  # auto, cpu, cuda, cuda:0, mps
    # stop where torch can use no accelerator, in place of auto taking the CPU for work of weeks; cpu by name may
    require_accelerator: bool = False
    # of the networks that draw, of the filter, the measures, the language model and fine-tuning; masks and the
    # predictions on test are always made in float32
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    # on GPUs: algorithms that give the same bits at every run, and float32 without TF32; slower (docs/training.md)
    deterministic: bool = False
    # train: processes that share every batch, one for each GPU; they share its train.accumulation_steps parts
    processes: Positive = 1
    num_threads: Positive | None = None  # CPU threads of torch in each worker; null: one
    engine: Literal["local", "ray"] = "local"  # what spreads work over workers (docs/scale.md)
    workers: Positive | None = None  # at most so many; null: one for each GPU, or as many as the CPU's cores allow
    # edit and segment: the largest share of items that may be left out because no worker could do them; a single one
    # always may, unless this is 0
    max_set_aside: Share = 0.01
    ray_address: str | None = None  # ray: "auto" or host:port of a cluster that this machine is in; null: this one


class Params(Section):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    dataset: DatasetConfig
    compute: ComputeConfig
    prompt: PromptConfig
    segment: SegmentConfig
    edit: EditConfig
    filter: FilterConfig
    mix: MixConfig
    clip: ClipConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    measure: MeasureConfig
    report: ReportConfig
    settle: SettleConfig = SettleConfig()
    grid: GridConfig
    tracking: TrackingConfig
    watch: dict[str, str]  # files and folders beside code that DVC watches; conf/ derives them from the rest

    @property
    def study_name(self) -> str:
        """Return the name that pages show: that of MLflow's experiment if it is set, else the data set's."""
        return self.tracking.experiment or self.dataset.name

    @model_validator(mode="after")
    def _masks_from_somewhere(self) -> Params:
        if self.segment.source == "dataset" and not self.dataset.has_masks:
            raise ValueError("segment.source dataset needs dataset.masks_root; set it, or use segment.source model")
        return self

    @model_validator(mode="after")
    def _pairs_to_match(self) -> Params:
        if self.edit.match_strength is not None and len(set(self.grid.feasibilities)) < 2:
            raise ValueError(
                "edit.match_strength draws feasible and infeasible colours in pairs, but grid.feasibilities has one of "
                "them; add the other, or set edit.match_strength to null"
            )
        return self

    @model_validator(mode="after")
    def _classifier_without_words(self) -> Params:
        if self.clip.reads_text:
            return self
        if self.measure.model is None:
            raise ValueError(
                "measure.model is null, but the classifier (clip.kind probe) reads no text: the measures need a CLIP, "
                "such as measure.model ViT-B-16-quickgelu with measure.pretrained openai"
            )
        if self.tracking.register_model is not None:
            raise ValueError("tracking.register_model registers CLIPs only; set it to null for clip.kind probe")
        self.grid.without_zero_shot()
        return self

    @model_validator(mode="after")
    def _recipes_for_the_grid(self) -> Params:
        for attribute in self.grid.attributes:
            for feasibility in self.grid.feasibilities:
                if feasibility not in self.edit.recipes.get(attribute, {}):
                    raise ValueError(f"edit.recipes.{attribute}.{feasibility} is missing, but the grid asks for it")
        return self


def load_params(path: Path) -> Params:
    """Read and validate params.yaml.

    Raises:
        UserError: the file is missing or no YAML mapping, or a key or value is wrong (all of them named, in one line).
    """
    try:
        raw = read_yaml(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run from the repository's root or give --params") from error
    return check_params(raw, str(path))


def check_params(raw: Any, source: str) -> Params:
    """Validate settings.

    Args:
        raw: as read or composed.
        source: where they come from, in a message's words.

    Raises:
        UserError: they are no mapping, or a key or value is wrong (all of them named, in one line).
    """
    if not isinstance(raw, dict):
        raise UserError(f"{source} must hold sections such as 'dataset:' and 'edit:', found {type(raw).__name__}")
    try:
        return Params.model_validate(_at_home(raw))
    except ValidationError as error:
        lines = "; ".join(_describe(problem, raw) for problem in error.errors())
        raise UserError(f"{source}: {' '.join(lines.split())}") from error  # keys may hold line breaks


def _at_home(value: Any) -> Any:
    """Return settings with ~ at the beginning of paths as the home folder, as DVC watches it (.dvc/plugins)."""
    if isinstance(value, dict):
        return {key: _at_home(inner) for key, inner in value.items()}
    if not isinstance(value, str) or not value.removeprefix("local-dir:").startswith("~"):
        return value
    kind = "local-dir:" if value.startswith("local-dir:") else ""
    return kind + str(at_home(value.removeprefix(kind)))


def _describe(problem: Any, raw: dict[str, Any]) -> str:
    """Say one pydantic problem in the words of params.yaml."""
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        allowed = sorted(_section_at(problem["loc"][:-1]).model_fields)
        close = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"unknown key {key}; {hint}allowed here: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} = {_SHORT.repr(problem['input'])}: {message[0].lower()}{message[1:]}"


def _section_at(location: tuple[Any, ...]) -> type[BaseModel]:
    """Return the section that a location in params.yaml belongs to, looking through mappings of sections."""
    section: type[BaseModel] = Params
    for part in location:
        field = section.model_fields.get(str(part))
        if field is None:  # a key of a mapping such as edit.recipes.color.feasible
            section = Recipe
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            section = field.annotation
    return section
