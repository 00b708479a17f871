"""The numbers of one kind of edit: a section of params.yaml for each attribute and feasibility."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from varireal.config.data import NonNegative, Positive, PositiveFloat, PositiveShare, Section, Share


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
