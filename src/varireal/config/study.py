"""Sections of params.yaml about mixing, training, the grid and what is reported."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from varireal.base.manifest import Attribute, Condition, Feasibility, Source
from varireal.base.text import template_problem
from varireal.config.controls import ALLOWED, NULLS, dose, is_control
from varireal.config.data import OBJECT_PLACES, GrownSection, NonNegative, Positive, PositiveFloat, Section, Share


class MixConfig(Section):
    """The synthetic training set of a condition."""

    ratio: Share = 0.5  # share of infeasible edits in the mixed condition
    images_per_class: Positive | None = None  # null: as many as every condition of the attribute can give
    include_exhausted: bool = False  # also take edits that no attempt got past the filter

    def share(self, condition: str) -> float:
        """Return the share of infeasible edits in a condition or a control."""
        shares = {"feasible": 0.0, "infeasible": 1.0, "mixed": self.ratio, **dict.fromkeys(NULLS, 0.5)}
        return 0.0 if dose(condition) else shares[condition]


def _class_sentence(text: str) -> str:
    if problem := template_problem(text, OBJECT_PLACES, ("class", "object", "an object")):
        raise ValueError(problem)
    return text


class ClipConfig(GrownSection):
    """The classifier that is fine-tuned."""

    later: ClassVar[frozenset[str]] = frozenset({"kind", "revision", "frozen"})

    kind: Literal["clip", "probe"] = "clip"  # probe: a network of transformers for pictures under a linear layer
    # clip: an open_clip model name, "local-dir:<folder>" or "hf-hub:<id>"; probe: a folder or a hub id
    model: str = "ViT-B-16-quickgelu"
    pretrained: str | None = "openai"  # open_clip's tag or a safetensors file; null beside a folder or an id
    # of a class, for the text tower; places: {class}, {domain}, {object} (both words), {an object} (with its article)
    sentence: Annotated[str, AfterValidator(_class_sentence)] = "a photo of {an object}"
    revision: str | None = None  # probe: commit of a hub id
    frozen: bool = False  # probe: train the linear layer alone, and no LoRA in the network

    @property
    def reads_text(self) -> bool:
        """Tell whether the classifier knows classes by their names, before any training."""
        return self.kind != "probe"

    @model_validator(mode="after")
    def _of_its_kind(self) -> ClipConfig:
        if self.kind == "probe" and self.pretrained is not None:
            raise ValueError(f"pretrained = {self.pretrained!r} is open_clip's; set it to null for a probe")
        if self.kind == "clip" and (self.revision is not None or self.frozen):
            raise ValueError("revision and frozen belong to kind: probe; set them to null and false")
        return self


class LoraSettings(Section):
    """PEFT's LoRA on the query and value projections of both towers."""

    r: Positive = 16
    lora_alpha: Positive = 32
    lora_dropout: Share = 0.1


class AugmentationConfig(Section):
    """Augmentation of training images; those that partly erase colour or texture are off unless asked for."""

    crop_scale_min: Annotated[float, Field(gt=0, le=1)] = 0.25  # least area share of the random resized crop
    # crops are taken from whole pictures of so many pixels on the shorter side; null: from the square that the network
    # sees in the middle, which is quicker and the same where pictures are squares of about its size
    short_side: Positive | None = None
    flip: bool = True
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = 0  # 0: off
    color_jitter: Share = 0.0  # probability, as below
    grayscale: Share = 0.0
    blur: Share = 0.0
    solarize: Share = 0.0


class TrainConfig(GrownSection):
    """Fine-tuning. The defaults are the study's (method.md's step 6); scale profiles say for how long."""

    later: ClassVar[frozenset[str]] = frozenset({"loss"})

    # softmax: cross-entropy over the classes; sigmoid: each class by itself, as SigLIP was trained
    loss: Literal["softmax", "sigmoid"] = "softmax"
    lora: LoraSettings = LoraSettings()
    lambda_real: Share = 0.5  # loss = lambda * CE(real) + (1 - lambda) * CE(synthetic), with real+synthetic
    learning_rate: PositiveFloat = 1e-4
    final_learning_rate: NonNegative = 1e-8
    weight_decay: NonNegative = 1e-4
    batch_size: Positive = 64
    max_steps: Positive | None = 1000  # null: as many as rounds make; the smaller of the two where both are set
    # how often as many images as the training photos have edits (edit.edits_per_photo) go through: every source and
    # condition gets the same number of steps, the real photos alone too
    rounds: Positive | None = None
    warmup_share: Share = 0.1
    eval_every: Positive = 100  # steps between looks at val
    # which look's weights are kept. best: the one with the highest val top-1; last: those after the last step, whatever
    # val says. Choosing on a small val split adds chance: two runs of one kind may end at different steps
    select: Literal["best", "last"] = "best"
    augmentation: AugmentationConfig = AugmentationConfig()
    # parts of a batch that go through the image tower one after the other, for small memories; the gradients are those
    # of the whole batch, but each part draws its own augmentation and dropout
    accumulation_steps: Positive = 1
    gradient_checkpointing: bool = False  # keep no activations within blocks but compute them again: less memory
    compile: bool = False  # torch.compile on both towers: slow at first, then faster on a GPU
    # steps between checkpoints, from which a killed fine-tuning goes on; null: it begins anew
    checkpoint_every: Positive | None = 200

    @property
    def steps(self) -> int:
        """Return the optimisation steps of a fine-tuning, once :meth:`for_edits` has counted them."""
        if self.max_steps is None:
            raise ValueError("train.rounds have not been counted in steps")
        return self.max_steps

    def for_edits(self, edits: int) -> TrainConfig:
        """Return the settings with ``max_steps`` for so many edits, if rounds are asked for."""
        if self.rounds is None:
            return self
        steps = math.ceil(self.rounds * edits / self.batch_size)
        return self.model_copy(update={"max_steps": max(1, min(steps, self.max_steps or steps))})

    @model_validator(mode="after")
    def _ends(self) -> TrainConfig:
        if self.max_steps is None and self.rounds is None:
            raise ValueError("max_steps and rounds are both null; set one of them, or both for the smaller one")
        return self

    @model_validator(mode="after")
    def _parts_hold_images(self) -> TrainConfig:
        if self.accumulation_steps > self.batch_size:
            raise ValueError(
                f"accumulation_steps {self.accumulation_steps} would leave parts of a batch of {self.batch_size} "
                "without an image; set it to batch_size at most"
            )
        return self


class AnchorConfig(Section):
    """A zero-shot accuracy on a whole test split that is known from elsewhere."""

    models: Annotated[list[str], Field(min_length=1)]  # values of clip.model that name this network
    pretrained: str | None
    images: Positive  # in the test split; with another number the anchor does not hold
    top1: Annotated[float, Field(ge=0, le=100)]  # percent
    tolerance: PositiveFloat = 2.0  # points by which it may be missed
    # the sentences it was measured with, {} for the class name; a class is their features' mean
    templates: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _places(self) -> AnchorConfig:
        if any(template.count("{}") != 1 for template in self.templates):
            raise ValueError(f"templates need one {{}} each for the class name, found {self.templates}")
        return self


class EvaluateConfig(Section):
    """Prediction on the test split."""

    batch_size: Positive = 64
    anchors: list[AnchorConfig] = Field([])  # conf/dataset names those of published data sets

    def anchor(self, model: str, pretrained: str | None, images: int) -> AnchorConfig | None:
        """Return the anchor of a network on a test split of so many photos, if one is known."""
        for anchor in self.anchors:
            if model in anchor.models and (pretrained, images) == (anchor.pretrained, anchor.images):
                return anchor
        return None


class MeasureConfig(Section):
    """How the edited data are measured."""

    model: str | None = None  # CLIP whose features are compared, named as clip.model; null: the classifier's
    pretrained: str | None = None
    batch_size: Positive = 64
    edits_per_cell: Positive | None = 500  # at most so many, chosen by seed; null: all

    def network(self, classifier: ClipConfig) -> ClipConfig:
        """Return the CLIP that is asked for."""
        return classifier if self.model is None else ClipConfig(model=self.model, pretrained=self.pretrained)

    @model_validator(mode="after")
    def _weights_of_a_model(self) -> MeasureConfig:
        if self.model is None and self.pretrained is not None:
            raise ValueError(f"pretrained {self.pretrained!r} belongs to a model; set model too, or both to null")
        return self


class ReportConfig(Section):
    """The summary."""

    margin: PositiveFloat = 0.3  # points of top-1 within which two conditions count as equivalent
    examples: Annotated[int, Field(ge=1, le=50)] = 10  # accepted edits shown per attribute and feasibility
    exhausted_examples: Annotated[int, Field(ge=0, le=50)] = 3  # edits shown of those that never passed the filter


class SettleConfig(Section):
    """How `varireal settle` adds seeds; planned before the first look, as the error is spent over the looks."""

    looks: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        default=[3, 5, 10, 20, 40]
    )  # seeds

    @model_validator(mode="after")
    def _looks_rise(self) -> SettleConfig:
        if any(before >= now for before, now in itertools.pairwise(self.looks)):
            raise ValueError(f"looks must be rising numbers of seeds such as [3, 5, 10], found {self.looks}")
        return self


class GridConfig(Section):
    """The cells of the study."""

    attributes: Annotated[list[Attribute], Field(min_length=1)]
    feasibilities: Annotated[list[Feasibility], Field(min_length=1)]
    conditions: Annotated[list[Condition], Field(min_length=1)]
    sources: Annotated[list[Source], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    # training sets whose effect is known beforehand, made of the edits of these attributes (docs/controls.md); []: none
    controls: list[str] = Field([])
    control_attributes: list[Attribute] = Field([])
    _zero_shot: bool = PrivateAttr(default=True)

    @property
    def zero_shot(self) -> bool:
        """Tell whether the classifier is tested before any training: not where it knows no class by its name."""
        return self._zero_shot

    def without_zero_shot(self) -> None:
        """Take the untrained classifier out of what is tested."""
        self._zero_shot = False

    def control_cells(self) -> list[tuple[Attribute, str]]:
        """Return attribute and name of every control, in the order of params.yaml."""
        return list(itertools.product(self.control_attributes, self.controls)) if self.controls else []

    def mixes(self, attribute: str) -> list[str]:
        """Return the conditions and controls of which an attribute has a training set, in the order of params.yaml."""
        return [*self.conditions, *(name for of, name in self.control_cells() if of == attribute)]

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

    @model_validator(mode="after")
    def _controls_of_the_grid(self) -> GridConfig:
        none = "or set grid.controls to []"
        if unknown := [name for name in self.controls if not is_control(name)]:
            raise ValueError(f"grid.controls names {unknown[0]!r}; allowed here: {ALLOWED}")
        nulls = [name for name in NULLS if name in self.controls]
        if len(nulls) == 1:
            raise ValueError(f"grid.controls has {nulls[0]} alone; its comparison needs {' and '.join(NULLS)}, {none}")
        if not self.controls:
            return self
        if not self.control_attributes:
            raise ValueError(f"grid.control_attributes is empty; name an attribute of the grid there, {none}")
        if outside := [each for each in self.control_attributes if each not in self.attributes]:
            raise ValueError(
                f"grid.control_attributes names {outside[0]}, of which grid.attributes has no edits; take one of "
                f"{', '.join(self.attributes)}, {none}"
            )
        if any(dose(name) for name in self.controls) and "feasible" not in self.conditions:
            raise ValueError(f"controls of harm are compared with the condition feasible; put it in, {none}")
        if nulls and len(self.feasibilities) < 2:
            raise ValueError(f"the null controls mix feasible with infeasible edits; put both in, {none}")
        return self


class TrackingConfig(Section):
    """MLflow. The store is sqlite in the repository unless MLFLOW_TRACKING_URI is set."""

    experiment: str | None = None  # null: the data set's name
    # the name under which MLflow's registry gets the real+synthetic model that is best on val; null: none is registered
    register_model: Annotated[str, Field(pattern=r"^\w[\w .-]{0,99}$")] | None = None
