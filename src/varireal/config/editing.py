"""Sections of params.yaml about edits and the filter that judges them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from varireal.base.manifest import Attribute, Feasibility
from varireal.config.data import (
    NetworkConfig,
    NonNegative,
    Positive,
    PositiveFloat,
    PositiveShare,
    Section,
    Share,
)

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


class InpaintConfig(PipelineConfig):
    """The inpainting pipeline."""

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


class MemoryConfig(Section):
    """What makes diffusion models fit a small card, or run faster on a large one (docs/full_size.md)."""

    offload: bool = False  # a GPU holds one network at a time, the others wait in the CPU's memory: the same pictures
    vae_slicing: bool = False  # the autoencoder takes the pictures of a batch one by one: equal to the last bits
    # side in pixels of the overlapping tiles that the autoencoder cuts larger pictures into: they differ a little
    vae_tile: Annotated[int, Field(ge=16, multiple_of=8)] | None = None
    compile: bool = False  # torch.compile on the UNet: slow at first, then faster on a GPU; equal to the last bits

    @model_validator(mode="after")
    def _not_both(self) -> MemoryConfig:
        if self.offload and self.compile:
            raise ValueError(
                "offload and compile do not go together: a compiled network expects to stay where it is; set one of "
                "them to false"
            )
        return self


class Recipe(Section):
    """Settings of one kind of edit. Pixel lengths are measured at the model's image size.

    Method ``paste`` reads alpha, keep_shading, dilation, rim, mask_blur, mirror, sharpen and the crop alone.
    """

    alpha: Share = 1.0  # share of the flat colour or material in the prior; backgrounds replace the place wholly
    keep_shading: bool = True  # multiply the flat colour or material by the photo's own shading
    # The kept object (background) or the edited one (color, texture) grows by this; below 0 it shrinks, where masks are
    # generous and would keep a rim of the old background
    dilation: float = 0
    # background, diffusion: side of the square by which the kept object is grown in the prior alone; the ring of old
    # background there is painted over, but shows the model where the object stands
    prior_kernel: NonNegative = 0.0
    # a mask is sure only this deep inside its edge and half as far outside: between, the photo says which share
    # of each pixel is object (matting), so that fur is not cut off hard and no old background shines through it
    rim: NonNegative = 0.0
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
    # color and texture: draw the inpainted object anew, led by the photo's edges and by a picture of that object, and
    # paste it into the photo; null: where edit.refine names a checkpoint
    refine: bool | None = None
    refine_strength: Annotated[float, Field(gt=0, le=1)] = 1.0  # 1: from noise; less: from the inpainted object
    refine_guidance_scale: NonNegative = 7.5
    refine_steps: Positive = 20
    ip_adapter_scale: Share = 0.5  # how much the picture of the object counts
    controlnet_conditioning_scale: NonNegative = 1.0  # how much the edges count
    # texture: the part of a material's picture that is laid over the photo, as a share of the largest side that fits
    crop_min: PositiveShare = 0.7
    crop_max: PositiveShare = 1.0
    crop_reach: Share = 1.0  # from which part of the picture, around its middle; 0: the middle itself
    # color: values that would change the object by less than this, painted whole (mean difference in CIELAB), are not
    # asked for, unless all would; 0: every value may be. Without it feasible edits change less than infeasible ones
    least_change: NonNegative = 0.0
    sharpen: NonNegative = 0.0  # texture: how much of that part's difference from a blurred copy is added to it
    mirror: bool = True  # background and texture: half of the pictures are mirrored; false: none, as where words show

    @model_validator(mode="after")
    def _steps_left(self) -> Recipe:
        self.check_steps()
        if self.crop_min > self.crop_max:
            raise ValueError(f"crop_min {self.crop_min} is above crop_max {self.crop_max}")
        return self

    def check_steps(self) -> None:
        """Check that something is drawn.

        Raises:
            ValueError: the steps are too few for the strength.
        """
        for steps, strength in (("num_inference_steps", "strength"), ("refine_steps", "refine_strength")):
            if int(getattr(self, steps) * getattr(self, strength)) < 1:
                raise ValueError(
                    f"{steps} {getattr(self, steps)} at {strength} {getattr(self, strength)} leaves no step"
                )


class EditConfig(Section):
    """How photos are edited."""

    method: Literal["diffusion", "paste"]
    edits_per_photo: Positive = 5
    save_priors: bool = True  # keep the prior of every edit beside it, for the report and for measuring
    # keep the pictures that the filter rejected, too, for the report: nothing is trained on them
    save_rejected: bool = False
    storage: Literal["files", "shards"] = "files"  # a file each, or tar shards with an index (docs/scale.md)
    shard_mb: Positive = 256  # megabytes at which a shard is full
    prior: PriorConfig
    inpaint: InpaintConfig
    refine: RefineConfig = RefineConfig()
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
        if self.method == "diffusion":
            given = {
                "guidance_scale": self.inpaint.guidance_scale,
                "num_inference_steps": self.inpaint.num_inference_steps,
                "refine_guidance_scale": self.refine.guidance_scale,
                "refine_steps": self.refine.num_inference_steps,
            }
            update |= {name: value for name, value in given.items() if value is not None}
        return recipe.model_copy(update=update)


class FilterConfig(Section):
    """Which edits count as good."""

    name: Literal["clip", "vqa", "none"]
    # clip: an open_clip model name, "local-dir:<folder>" or "hf-hub:<id>"; vqa: a folder or hub id that transformers'
    # AutoModelForImageTextToText and AutoProcessor can load
    model: str | None = None
    pretrained: str | None = None  # clip only
    revision: str | None = None  # vqa only: branch, tag or commit of a hub id
    batch_size: Positive = 8  # vqa only: pictures with a question that go through the model at once
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
