"""What every section of params.yaml shares, and the sections about photos, masks and prompts."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, Attribute, Feasibility
from varireal.base.text import template_problem

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def _kinds(annotation: Any) -> list[Any]:
    """Return the plain types in a field's type: ``[int, NoneType]`` of ``int | None``."""
    return [kind for part in get_args(annotation) for kind in _kinds(part)] or [annotation]


class Section(BaseModel):
    """A section of params.yaml: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, raw: Any) -> Any:
        """Refuse yes, no, on and off where a number is meant, which pydantic would take for 1 and 0."""
        for key, value in raw.items() if isinstance(raw, dict) else ():
            kinds = (
                _kinds(cls.model_fields[key].annotation) if isinstance(value, bool) and key in cls.model_fields else []
            )
            if (int in kinds or float in kinds) and bool not in kinds:
                raise ValueError(f"{key} is {str(value).lower()}, as YAML reads yes, no, on and off; a number is meant")
        return raw


class GrownSection(Section):
    """A section that settings were added to after results of it were kept.

    Where such a setting has its default it is not written, so that keys and files from before it still hold.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key not in self.later or value != fields[key].default}


class NetworkConfig(Section):
    """A network: a folder or a hub id, with .safetensors weights."""

    checkpoint: str | None = None
    revision: str | None = None  # of a hub id


DOWNLOADABLE = ("oxford_pets", "fgvc_aircraft")


class DatasetConfig(Section):
    """The photos. Keys of one kind of data set are ignored by the others, so that a group can be swapped alone."""

    name: Literal["rendered_aircraft", "image_folder", "oxford_pets", "fgvc_aircraft", "stanford_cars", "waterbirds"]
    domain_word: str  # follows the class name in prompts: "a photo of a trijet aircraft"
    # image_folder: one folder a class, or train/ val/ test/ with one folder a class in each; published data sets
    # (docs/datasets.md): where their archives are unpacked
    root: str | None = None
    masks_root: str | None = None  # all with a root but oxford_pets: masks with the photos' relative names
    # all with masks_root: masks hold label numbers, and these mean the object; null: 255 on the object and 0 elsewhere
    mask_labels: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    max_side: Positive | None = None  # all with a root: larger photos are scaled down to this longer side, in pixels
    min_side: Positive = 32  # all with a root: smaller photos are refused by name
    on_bad_image: Literal["error", "skip"] = "error"  # all with a root: stop at an unreadable photo, or leave it out
    # published data sets: copies of one file in two splits or classes stop the work, or are left out of train and val
    on_duplicate: Literal["error", "drop"] = "error"
    download: bool = False  # oxford_pets, fgvc_aircraft: prepare gets what the root lacks from the authors' site
    complete: bool = True  # published data sets: their numbers of classes and photos must be met; false for a part
    # published data sets with a val split: it is val, or joins train, from which val is drawn as for those without one
    val_split: Literal["published", "drawn"] = "published"
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
        if self.masks_root is not None and not self.masks_root.strip():
            raise ValueError("masks_root is empty; name the folder with the masks, or set it to null")
        if self.val_share + self.test_share >= 1:
            raise ValueError(f"val_share {self.val_share} and test_share {self.test_share} leave nothing for training")
        return self

    @property
    def has_masks(self) -> bool:
        """Whether masks come with the photos."""
        return self.name in ("rendered_aircraft", "oxford_pets") or self.masks_root is not None


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
    # model: the domain word that object_labels stand for, where they name it otherwise ("cat" and "dog" for "pet");
    # null: labels must share a word with dataset.domain_word or a class
    labels_for: str | None = None
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
        default={"background": "all", "color": "class", "texture": "class"}
    )
    # length of each list; for backgrounds the study had 18 to 44 feasible values and about 50 infeasible ones
    counts: dict[Attribute, dict[Feasibility, Positive]] = Field(
        default={
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
        default={"background": 1.2, "color": 1.3, "texture": 1.3}
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


class StudyListsConfig(Section):
    """The study's own lists; read by the prompt source study (docs/prompts.md)."""

    folder: str | None = None  # VariReal/src in a clone of Yiveen/SyntheticDataFeasibility
    dataset: str | None = None  # whose lists, by this project's names of the data sets


OBJECT_PLACES = ("class", "domain", "object", "an object")  # what a sentence may say of an object


def _edit_sentence(text: str) -> str:
    places = (*OBJECT_PLACES, "name", "phrase", "details")
    for one_of in (("name", "phrase"), OBJECT_PLACES):
        if problem := template_problem(text, places, one_of):
            raise ValueError(problem)
    return text


EditSentence = Annotated[str, AfterValidator(_edit_sentence)]


class PromptConfig(Section):
    """Where the lists of attributes come from, and the sentences that edits are asked for with."""

    source: Literal["bank", "openai", "transformers", "study"] = "bank"
    bank: str  # the lists (source bank); the groups of classes (other sources, where llm.scope says group)
    llm: LlmConfig = LlmConfig()
    study: StudyListsConfig = StudyListsConfig()
    # in place of our own sentences (prompts/templates.py), by attribute: clip.sentence's places, {name} and {phrase} of
    # the value, and {details}, a colon and the value's longer description if it has one
    sentences: dict[Attribute, EditSentence] = Field(default={})

    @model_validator(mode="after")
    def _complete(self) -> PromptConfig:
        if self.source == "study":
            for key in ("folder", "dataset"):
                if not getattr(self.study, key):
                    raise ValueError(f"source study needs study.{key}; docs/prompts.md says what it names")
            return self
        if self.source != "bank" and not self.llm.model:
            raise ValueError(f"source {self.source} needs llm.model")
        if self.source == "openai" and not self.llm.base_url:
            raise ValueError("source openai needs llm.base_url, such as https://api.openai.com/v1")
        return self
