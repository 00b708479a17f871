"""Sections of params.yaml about edits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from varireal.base.manifest import Attribute, Feasibility
from varireal.config.data import (
    EditSentence,
    NetworkConfig,
    NonNegative,
    Positive,
    PositiveFloat,
    Section,
)
from varireal.config.recipe import Recipe

# a path within a repository: names and slashes, none of which begins with a dot
RepositoryPath = Annotated[str, Field(pattern=r"^(?:[\w-][\w.-]*/)*[\w-][\w.-]*$")]
SafetensorsName = Annotated[str, Field(pattern=r"^[\w-][\w.-]*\.safetensors$")]


# diffusers' classes; whatever the checkpoint brings is replaced by one made from its settings
Scheduler = Literal[
    "DDIMScheduler", "DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "LCMScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
]  # fmt: skip


class LoraConfig(NetworkConfig):
    """Low-rank weights that are added to a pipeline's own, such as those of LCM or Lightning for few steps."""

    subfolder: RepositoryPath | None = None
    weight_name: SafetensorsName | None = None
    scale: PositiveFloat = 1.0  # how much of them is added

    @model_validator(mode="after")
    def _whole(self) -> LoraConfig:
        if self.checkpoint and not self.weight_name:
            raise ValueError(f"checkpoint {self.checkpoint!r} needs weight_name too, the .safetensors file in it")
        return self


class PipelineConfig(NetworkConfig):
    """A pipeline of diffusers: a folder or hub id with ``model_index.json`` and .safetensors weights."""

    variant: str | None = None  # of the weights' files, such as fp16
    scheduler: Scheduler | None = None  # null: the checkpoint's own
    timestep_spacing: Literal["leading", "linspace", "trailing"] | None = None  # of the scheduler; null: its own
    lora: LoraConfig = LoraConfig()
    image_size: Positive | None = None  # photos are letterboxed to this square; null: the checkpoint's own size


class PriorConfig(PipelineConfig):
    """The cheap first guess of an edit: where pictures of places and materials come from.

    ``checkpoint`` is for text_to_image: any text-to-image pipeline, which draws squares of ``image_size``.
    """

    source: Literal["pictures", "text_to_image"]
    pictures: str | None = None  # folder with background/<name>/ and texture/<name>/; null: those of the data set
    guidance_scale: NonNegative = 7.5
    num_inference_steps: Positive = 20
    material_steps: Positive | None = None  # those of a texture's pictures; null: num_inference_steps
    material_negative: str = ""  # what those pictures are led away from
    bank_size: Positive = 4  # priors made per prompt, shared by all photos (text_to_image)


# families of diffusion models, each a class of its own (docs/full_size.md)
EditorFamily = Literal["sd", "flux", "flux2", "qwen_image", "z_image"]


class InpaintConfig(PipelineConfig):
    """The inpainting pipeline."""

    # null: as a folder's model_index.json says; ids of the hub are taken for Stable Diffusion
    family: EditorFamily | None = None
    # whether the weights of values emphasise their words; families without CLIP's encoders cannot, and want false
    emphasis: bool = True
    batch_size: Positive = 16  # halved by itself where the device's memory does not hold it
    # in place of every recipe's own, for weights that were made for few steps
    guidance_scale: NonNegative | None = None
    num_inference_steps: Positive | None = None


class PartConfig(NetworkConfig):
    """A network of diffusers that takes its place in a pipeline."""

    subfolder: RepositoryPath | None = None  # where in the folder or repository it lies
    variant: str | None = None


class IpAdapterConfig(NetworkConfig):
    """An IP-Adapter, plain or Plus, with its image encoder: what diffusers' ``load_ip_adapter`` reads."""

    subfolder: RepositoryPath | None = None
    weight_name: SafetensorsName | None = None
    # a plain name lies in the subfolder, a path with slashes in the root
    image_encoder_folder: RepositoryPath = "image_encoder"


class RefineConfig(PipelineConfig):
    """The networks that refine colours and textures after inpainting; all of one family, Stable Diffusion 1.5 or XL.

    ``checkpoint`` is the base, any text-to-image pipeline. Without it nothing is refined.
    """

    vae: PartConfig = PartConfig()  # replaces the base's own
    controlnet: PartConfig = PartConfig()  # reads Canny edges
    ip_adapter: IpAdapterConfig = IpAdapterConfig()
    # which edges of the photo's object lead the drawing: those of the sharp picture, hair and all, or of a blurred copy
    edges: Literal["sharp", "blurred"] = "sharp"
    # in place of every recipe's refine_guidance_scale and refine_steps
    guidance_scale: NonNegative | None = None
    num_inference_steps: Positive | None = None

    @model_validator(mode="after")
    def _whole(self) -> RefineConfig:
        needed = {
            "controlnet.checkpoint": self.controlnet.checkpoint,
            "ip_adapter.checkpoint": self.ip_adapter.checkpoint,
            "ip_adapter.weight_name": self.ip_adapter.weight_name,
        }
        if self.checkpoint and (missing := [key for key, value in needed.items() if not value]):
            raise ValueError(f"checkpoint {self.checkpoint!r} needs {' and '.join(missing)} too, or set it to null")
        return self


class InstructConfig(Section):
    """What an editor without a mask is told (method instruct): ``inpaint`` names its checkpoint."""

    domain_word: str = ""  # the data set's
    # by attribute; the places are those of prompt.sentences
    sentences: dict[Attribute, EditSentence] = Field(default={})


class MemoryConfig(Section):
    """What makes diffusion models fit a small card, or run faster on a large one (docs/full_size.md)."""

    offload: bool = False  # a GPU holds one network at a time, the others wait in the CPU's memory: the same pictures
    vae_slicing: bool = False  # the autoencoder takes the pictures of a batch one by one: equal to the last bits
    # side in pixels of the overlapping tiles that the autoencoder cuts larger pictures into: they differ a little
    vae_tile: Annotated[int, Field(ge=16, multiple_of=8)] | None = None
    # torch.compile on UNet, ControlNet and autoencoder: slow at first, then faster on a GPU; equal to the last bits
    compile: bool = False

    @model_validator(mode="after")
    def _not_both(self) -> MemoryConfig:
        if self.offload and self.compile:
            raise ValueError(
                "offload and compile do not go together: a compiled network expects to stay where it is; set one of "
                "them to false"
            )
        return self


class EditConfig(Section):
    """How photos are edited."""

    method: Literal["diffusion", "instruct", "paste"]
    edits_per_photo: Positive = 5
    save_priors: bool = True  # keep the prior of every edit beside it, for the report and for measuring
    # keep the pictures that the filter rejected, too, for the report: nothing is trained on them
    save_rejected: bool = False
    storage: Literal["files", "shards"] = "files"  # a file each, or tar shards with an index (docs/scale.md)
    shard_mb: Positive = 256  # megabytes at which a shard is full
    prior: PriorConfig
    inpaint: InpaintConfig
    refine: RefineConfig = RefineConfig()
    instruct: InstructConfig = InstructConfig()
    memory: MemoryConfig = MemoryConfig()
    # what fills a model's square beside a photo that is none: the photo mirrored, which is not painted, or black, which
    # is painted with a background, as in the study
    bars: Literal["mirrored", "black"] = "mirrored"
    # side of the square in whose pixels the recipes' lengths are; null: inpaint.image_size
    lengths_at: Positive | None = None
    # color: the feasible and infeasible values of a photo are drawn in pairs that would change it equally, to this mean
    # difference in CIELAB, and least_change is not asked; null: each cell draws its own
    match_strength: PositiveFloat | None = None
    recipes: dict[Attribute, dict[Feasibility, Recipe]]

    @model_validator(mode="after")
    def _complete(self) -> EditConfig:
        if self.method != "paste" and not self.inpaint.checkpoint:
            raise ValueError(f"method {self.method} needs inpaint.checkpoint")
        if self.method == "instruct" and (missing := sorted({*self.recipes} - {*self.instruct.sentences})):
            raise ValueError(f"method instruct needs instruct.sentences for {' and '.join(missing)}")
        if self.prior.source == "text_to_image" and not self.prior.checkpoint:
            raise ValueError("prior.source text_to_image needs prior.checkpoint")
        for feasibility, recipe in self.recipes.get("background", {}).items():
            if recipe.detail and recipe.detail_source == "photo":
                raise ValueError(
                    f"recipes.background.{feasibility}.detail: the photo's detail there is the old background; "
                    "set detail_source to prior or detail to 0"
                )
            if recipe.refine:
                raise ValueError(
                    f"recipes.background.{feasibility}.refine: a background keeps the photo's object, so there is "
                    "nothing to refine; set it to false or null"
                )
        for attribute, recipes in self.recipes.items():
            for feasibility, recipe in recipes.items():
                if self.method == "diffusion" and recipe.refine and not self.refine.checkpoint:
                    raise ValueError(
                        f"recipes.{attribute}.{feasibility}.refine is true, but refine.checkpoint is not set"
                    )
                try:
                    self.recipe(attribute, feasibility).check_steps()
                except ValueError as error:  # the recipe itself was checked before
                    raise ValueError(
                        f"recipes.{attribute}.{feasibility}: {error}; raise num_inference_steps of inpaint or refine"
                    ) from error
        return self

    def recipe(self, attribute: Attribute, feasibility: Feasibility) -> Recipe:
        """Return the settings of a cell, with ``refine`` decided and the pipelines' own steps and guidance put in."""
        recipe = self.recipes[attribute][feasibility]
        wanted = recipe.refine is not False and self.method == "diffusion" and attribute != "background"
        update: dict[str, object] = {"refine": wanted and self.refine.checkpoint is not None}
        if self.method != "paste":
            given = {
                "guidance_scale": self.inpaint.guidance_scale,
                "num_inference_steps": self.inpaint.num_inference_steps,
                "refine_guidance_scale": self.refine.guidance_scale,
                "refine_steps": self.refine.num_inference_steps,
            }
            update |= {name: value for name, value in given.items() if value is not None}
        return recipe.model_copy(update=update)
