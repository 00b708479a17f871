"""The models of params.yaml, one per section. An unknown key or a wrong value is an error that says what is allowed."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from varireal.errors import UserError
from varireal.manifest import Attribute, Condition, Feasibility, Source

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A section of params.yaml: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetConfig(Section):
    """The photos. Keys of one kind of data set are ignored by the others, so that a group can be swapped alone."""

    name: Literal["rendered_aircraft", "image_folder"]
    domain_word: str  # follows the class name in prompts: "a photo of a trijet aircraft"
    root: str | None = None  # image_folder: one folder a class, or train/ val/ test/ with one folder a class in each
    masks_root: str | None = None  # image_folder: masks with the photos' relative names, any picture suffix
    max_side: Positive | None = None  # image_folder: larger photos are scaled down to this longer side, in pixels
    min_side: Positive = 32  # image_folder: smaller photos are refused by name
    on_bad_image: Literal["error", "skip"] = "error"  # image_folder: stop at an unreadable photo, or leave it out
    val_share: Share = 0.15  # image_folder without given splits
    test_share: Share = 0.25
    size: Positive = 128  # rendered_aircraft: side in pixels
    train_per_class: Positive = 16  # rendered_aircraft
    val_per_class: Positive = 10
    test_per_class: Positive = 60
    pictures_per_place: Positive = 8  # rendered_aircraft: ready-made priors of each place and material
    pictures_per_material: Positive = 4

    @model_validator(mode="after")
    def _consistent(self) -> DatasetConfig:
        if self.name == "image_folder" and not self.root:
            raise ValueError("image_folder needs root, the folder with your photos")
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} leave nothing for training")
        return self


class ComputeConfig(Section):
    """Where and how networks run; no result depends on it beyond the last bits of a float."""

    device: str = "auto"  # auto, cpu, cuda, cuda:0, mps
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    num_threads: Positive | None = None  # CPU threads of torch; null: torch's own choice


class PromptConfig(Section):
    """Where the lists of attributes come from."""

    source: Literal["bank"] = "bank"
    bank: str


class SegmentConfig(Section):
    """Object masks and what makes one unusable."""

    source: Literal["model", "dataset"]
    checkpoint: str | None = None  # model: any AutoModelForSemanticSegmentation, a folder or a hub id
    revision: str | None = None
    object_labels: Annotated[list[str], Field(min_length=1)] = ["aircraft"]  # the checkpoint's labels that count
    batch_size: Positive = 16
    min_area: Share = 0.01  # share of the photo; smaller masks are unusable
    max_area: Share = 0.9

    @model_validator(mode="after")
    def _complete(self) -> SegmentConfig:
        if self.source == "model" and not self.checkpoint:
            raise ValueError("source model needs a checkpoint")
        if self.min_area >= self.max_area:
            raise ValueError(f"min_area {self.min_area} must be below max_area {self.max_area}")
        return self


class PriorConfig(Section):
    """The cheap first guess of an edit: where pictures of places and materials come from."""

    source: Literal["pictures", "text_to_image"]
    pictures: str | None = None  # folder with background/<name>/ and texture/<name>/; null: those of the data set
    checkpoint: str | None = None  # text_to_image: any text-to-image pipeline of diffusers
    revision: str | None = None
    variant: str | None = None
    guidance_scale: NonNegative = 7.5
    num_inference_steps: Positive = 20
    image_size: Positive | None = None  # side of a generated prior; null: the checkpoint's own
    bank_size: Positive = 4  # priors made per prompt, shared by all photos (text_to_image)


class InpaintConfig(Section):
    """The inpainting checkpoint."""

    checkpoint: str | None = None  # any inpainting pipeline of diffusers
    revision: str | None = None
    variant: str | None = None
    image_size: Positive | None = None  # photos are letterboxed to this square; null: the checkpoint's own size
    batch_size: Positive = 16


class Recipe(Section):
    """Settings of one kind of edit. Pixel lengths are measured at the model's image size.

    Method ``paste`` reads alpha, keep_shading, dilation and mask_blur only.
    """

    alpha: Share = 1.0  # share of the flat colour or material in the prior; backgrounds replace the place wholly
    keep_shading: bool = True  # multiply the flat colour or material by the photo's own shading
    # The kept object (background) or the edited one (color, texture) grows by this; below 0 it shrinks, where masks are
    # generous and would keep a rim of the old background
    dilation: int = 0
    mask_blur: NonNegative = 1.0  # standard deviation of the blend at the edge of the edited region
    region: Literal["full", "seam"] = "full"  # inpaint the whole region, or only a band along the object's outline
    seam_width: Positive = 4  # width of that band on the edited side
    strength: Share = 0.95
    guidance_scale: NonNegative = 7.5
    num_inference_steps: Positive = 30  # diffusers' meaning: int(steps * strength) are really done
    detail: Share = 0.0  # how much fine luma detail is put back into the painted pixels; 1 restores all of it
    detail_source: Literal["photo", "prior"] = "photo"  # whose detail; a background's can only be the prior's
    detail_sigma_edit: NonNegative = 5.0  # low-pass of the edit, in pixels
    detail_sigma_source: PositiveFloat = 4.0  # low-pass of the source's luma, in pixels

    @model_validator(mode="after")
    def _steps_left(self) -> Recipe:
        if int(self.num_inference_steps * self.strength) < 1:
            raise ValueError(
                f"num_inference_steps {self.num_inference_steps} at strength {self.strength} leaves no step to do"
            )
        return self


class EditConfig(Section):
    """How photos are edited."""

    method: Literal["diffusion", "paste"]
    edits_per_photo: Positive = 5
    save_priors: bool = True  # keep the prior of every edit beside it, for the report and for measuring
    prior: PriorConfig
    inpaint: InpaintConfig
    recipes: dict[Attribute, dict[Feasibility, Recipe]]

    @model_validator(mode="after")
    def _complete(self) -> EditConfig:
        if self.method == "diffusion" and not self.inpaint.checkpoint:
            raise ValueError("method diffusion needs inpaint.checkpoint")
        if self.prior.source == "text_to_image" and not self.prior.checkpoint:
            raise ValueError("prior.source text_to_image needs prior.checkpoint")
        for feasibility, recipe in self.recipes.get("background", {}).items():
            if recipe.detail and recipe.detail_source == "photo":
                raise ValueError(
                    f"recipes.background.{feasibility}.detail: the photo's detail there is the old background; "
                    "set detail_source to prior or detail to 0"
                )
        return self


class FilterConfig(Section):
    """Which edits count as good."""

    name: Literal["clip", "none"]
    model: str | None = None  # clip: an open_clip model name, "local-dir:<folder>" or "hf-hub:<id>"
    pretrained: str | None = None
    attribute_threshold: Share = 0.5  # least probability of the asked attribute against the other candidates
    class_threshold: Share = 0.0  # least probability of the photo's class against the others
    max_attempts: Positive = 3

    @model_validator(mode="after")
    def _complete(self) -> FilterConfig:
        if self.name == "clip" and not self.model:
            raise ValueError("filter clip needs a model")
        return self


class MixConfig(Section):
    """The synthetic training set of a condition."""

    ratio: Share = 0.5  # share of infeasible edits in the mixed condition
    images_per_class: Positive | None = None  # null: as many as every condition of the attribute can give
    include_exhausted: bool = False  # also take edits that no attempt got past the filter
    # the infeasible share of each condition, written from `ratio` by conf/config.yaml, so that in dvc.yaml
    # the cells of a pure condition do not depend on the ratio
    shares: dict[Condition, Share]

    @model_validator(mode="after")
    def _one_ratio(self) -> MixConfig:
        expected = {"feasible": 0.0, "infeasible": 1.0, "mixed": self.ratio}
        if self.shares != expected:
            raise ValueError(
                f"ratio {self.ratio} asks for shares {expected}, found {self.shares}; "
                "change it with `dvc exp run -S mix.ratio=...`, which writes both, or edit both"
            )
        return self


class ClipConfig(Section):
    """The classifier that is fine-tuned."""

    model: str  # an open_clip model name, "local-dir:<folder>" or "hf-hub:<id>"
    pretrained: str | None = None  # open_clip's tag or a safetensors file


class LoraSettings(Section):
    """PEFT's LoRA on the query and value projections of both towers."""

    r: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Share = 0.1


class AugmentationConfig(Section):
    """Augmentation of training images; those that partly erase colour or texture are off unless asked for."""

    crop_scale_min: Annotated[float, Field(gt=0, le=1)] = 0.25  # least area share of the random resized crop
    flip: bool = True
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = 0  # 0: off
    color_jitter: Share = 0.0  # probability, as below
    grayscale: Share = 0.0
    blur: Share = 0.0
    solarize: Share = 0.0


class TrainConfig(Section):
    """Fine-tuning. The defaults are the study's (method.md's step 6); scale profiles shorten max_steps."""

    lora: LoraSettings = LoraSettings()
    lambda_real: Share = 0.5  # loss = lambda * CE(real) + (1 - lambda) * CE(synthetic), with real+synthetic
    learning_rate: PositiveFloat = 1e-4
    final_learning_rate: NonNegative = 1e-8
    weight_decay: NonNegative = 1e-4
    batch_size: Positive = 64
    max_steps: Positive = 1000
    warmup_share: Share = 0.1
    eval_every: Positive = 100  # steps between looks at val; the best of them is kept
    augmentation: AugmentationConfig = AugmentationConfig()


class EvaluateConfig(Section):
    """Prediction on the test split."""

    batch_size: Positive = 64


class ReportConfig(Section):
    """The summary."""

    margin: PositiveFloat = 0.3  # points of top-1 within which two conditions count as equivalent
    examples: Annotated[int, Field(ge=1, le=50)] = 6  # photos shown per attribute and feasibility


class GridConfig(Section):
    """The cells of the study."""

    attributes: Annotated[list[Attribute], Field(min_length=1)]
    feasibilities: Annotated[list[Feasibility], Field(min_length=1)]
    conditions: Annotated[list[Condition], Field(min_length=1)]
    sources: Annotated[list[Source], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> GridConfig:
        for name, values in self:
            if len(set(values)) != len(values):
                raise ValueError(f"grid.{name} names a value twice: {values}")
        needed = {"feasible": {"feasible"}, "infeasible": {"infeasible"}, "mixed": {"feasible", "infeasible"}}
        for condition in self.conditions:
            if missing := needed[condition] - set(self.feasibilities):
                raise ValueError(f"condition {condition} needs {sorted(missing)} in grid.feasibilities too")
        return self


class TrackingConfig(Section):
    """MLflow. The store is sqlite in the repository unless MLFLOW_TRACKING_URI is set."""

    experiment: str | None = None  # null: the data set's name


class WatchConfig(Section):
    """Files and folders, beside the code, whose change makes DVC run a stage again; each must exist.

    Checkpoints and photos from outside are named by keys that may also hold hub ids or be empty, which DVC cannot
    watch; so what it watches is said here. For a hub id (pinned by its revision) give any file, such as its conf.
    """

    photos: str  # prepare
    segmenter: str  # segment
    editor: str  # edit
    priors: str  # edit
    filter: str  # edit
    classifier: str  # train, evaluate


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
    report: ReportConfig
    grid: GridConfig
    tracking: TrackingConfig
    watch: WatchConfig

    @model_validator(mode="after")
    def _masks_from_somewhere(self) -> Params:
        if self.segment.source == "dataset" and self.dataset.name == "image_folder" and not self.dataset.masks_root:
            raise ValueError("segment.source dataset needs dataset.masks_root; set it, or use segment.source model")
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
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; run from the repository's root or give --params") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections such as 'dataset:' and 'edit:', found {type(raw).__name__}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = "; ".join(_describe(problem, raw) for problem in error.errors())
        raise UserError(f"{path}: {lines}") from error


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
    return f"{key} = {problem['input']!r}: {message[0].lower()}{message[1:]}"


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
