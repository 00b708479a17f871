"""Loading pipelines of diffusers, from safetensors alone: with their scheduler, LoRA weights and memory settings."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from varireal.editing.families.choosing import refuse_another, refuse_task
from varireal.errors import UserError
from varireal.networks.finite import no_numbers
from varireal.networks.memory import free_memory, out_of_memory

if TYPE_CHECKING:
    import torch

    from varireal.config import LoraConfig, MemoryConfig, PipelineConfig
    from varireal.editing.families import Family, Prompts
    from varireal.prompts.templates import Sentence


@contextlib.contextmanager
def loading(key: str, checkpoint: str, what: str) -> Iterator[None]:
    """Say in one line which checkpoint cannot be loaded, and where params.yaml names it.

    Raises:
        UserError: the block failed as loading fails where files are missing, damaged or of another kind.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{key} = {checkpoint!r} cannot be loaded ({' '.join(str(error).split())[:300]}); it must be a folder or "
            f"hub id of {what} with .safetensors weights"
        ) from error


def _says_something(record: logging.LogRecord) -> bool:
    """Tell whether a message names anything: diffusers warns of no network at all whenever it casts one."""
    return not record.getMessage().startswith("There are modules in ") or "float32: []." not in record.getMessage()


def load_pipeline(
    family: Family, task: str, section: str, config: PipelineConfig, dtype: torch.dtype, parts: dict[str, Any]
) -> Any:
    """Return a pipeline of the family, on the CPU.

    Args:
        task: diffusers' auto class for what it shall do.
        parts: networks that replace the checkpoint's own, by their names in the pipeline.

    Raises:
        UserError: it cannot be loaded from safetensors, or is of another family.
    """
    import diffusers
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    logging.getLogger("diffusers.models.modeling_utils").addFilter(_says_something)
    key, checkpoint = f"{section}.checkpoint", str(config.checkpoint)
    with loading(key, checkpoint, "a diffusers pipeline"):
        index: Any = diffusers.DiffusionPipeline.load_config(checkpoint, revision=config.revision)
        kind = str(index.get("_class_name"))
        refuse_another(family, section, checkpoint, kind)
        refuse_task(family, section, checkpoint, task, kind)
        pipe = getattr(diffusers, str(family.pipeline_class(task, kind))).from_pretrained(
            checkpoint, revision=config.revision, variant=config.variant, use_safetensors=True, dtype=dtype, **parts
        )
    if not hasattr(pipe, "encode_prompt") or not hasattr(pipe, family.network):
        raise UserError(f"{key} = {checkpoint!r} is a {type(pipe).__name__}; {family.abilities.words} work")
    if getattr(pipe, "watermark", None) is not None:
        pipe.watermark = None  # SDXL hides one in every picture where the package for it is installed
    pipe.set_progress_bar_config(disable=True)
    return pipe


def set_scheduler(pipe: Any, section: str, config: PipelineConfig) -> None:
    """Replace the pipeline's scheduler by the asked one, with the settings of its own that both know.

    Raises:
        UserError: the asked scheduler does not take those settings.
    """
    import diffusers

    if not (config.scheduler or config.timestep_spacing):
        return
    kind = getattr(diffusers, config.scheduler) if config.scheduler else type(pipe.scheduler)
    spacing = {"timestep_spacing": config.timestep_spacing} if config.timestep_spacing else {}
    try:
        pipe.scheduler = kind.from_config(pipe.scheduler.config, **spacing)
    except (ValueError, NotImplementedError) as error:
        raise UserError(
            f"{section}.scheduler = {kind.__name__!r} does not take the settings of {section}.checkpoint's own "
            f"{type(pipe.scheduler).__name__} ({' '.join(str(error).split())[:200]}); choose another one"
        ) from error


def add_lora(pipe: Any, family: Family, section: str, lora: LoraConfig) -> None:
    """Add low-rank weights to the pipeline's own for good, so that nothing is slower afterwards.

    Raises:
        UserError: they cannot be loaded, or belong to other networks.
    """
    if not lora.checkpoint:
        return
    key = f"{section}.lora.checkpoint"
    with loading(key, lora.checkpoint, f"LoRA weights for {section}.checkpoint"):
        pipe.load_lora_weights(
            lora.checkpoint,
            weight_name=lora.weight_name,
            subfolder=lora.subfolder,
            revision=lora.revision,
            use_safetensors=True,
        )
        fits = family.network in pipe.get_list_adapters()
        if fits:
            pipe.fuse_lora(lora_scale=lora.scale)
            pipe.unload_lora_weights()
    if not fits:
        network = type(getattr(pipe, family.network)).__name__
        raise UserError(f"{key} = {lora.checkpoint!r}: {lora.weight_name} holds nothing for {section}'s {network}")


def refuse_what_is_no_number(pipe: Any, family: Family, key: str, checkpoint: str) -> None:
    """Have a pipeline stop where its autoencoder gives values that are no numbers, which would be saved as black."""

    network = type(getattr(pipe, family.network)).__name__

    def look(_module: Any, _inputs: Any, output: Any) -> None:
        decoded = getattr(output, "sample", output)
        if not bool(decoded.isfinite().all()):
            raise no_numbers(
                f"{key} = {checkpoint!r}: the autoencoder or what it was given by the {network}", decoded.dtype,
                " or bfloat16, or edit.refine.vae.checkpoint to an autoencoder made for half precision",
            )  # fmt: skip

    pipe.vae.decoder.register_forward_hook(look)


def check_memory(device: torch.device, memory: MemoryConfig) -> None:
    """Check the memory settings against the device.

    Raises:
        UserError: the networks shall be offloaded from a device that is the CPU anyway.
    """
    if memory.offload and device.type == "cpu":
        raise UserError(
            "edit.memory.offload is true, but the networks run on the CPU, whose memory is all there is; set it to "
            "false, or compute.device to a GPU that this machine has"
        )


def embed_ahead(
    pipe: Any, family: Family, prompts: Prompts, section: str, device: torch.device, sentences: Sequence[Sentence]
) -> bool:
    """Embed all sentences to come while text encoders alone are on the device, and take them out of the pipeline.

    Return False, with the encoders left where they are, if not all embeddings can be kept.

    Raises:
        UserError: the device's memory does not hold the encoders.
    """
    encoders = [name for name in family.encoders if getattr(pipe, name, None) is not None]
    if not encoders:
        return False
    for name in encoders:
        _move(getattr(pipe, name), section, device)
    if not prompts.embed(sentences):
        return False
    prompts.forget_encoders()
    for name in encoders:
        setattr(pipe, name, None)
    free_memory()
    return True


def place(pipe: Any, family: Family, section: str, device: torch.device, memory: MemoryConfig) -> None:
    """Bring the networks to the device, and apply the memory settings.

    Raises:
        UserError: the device's memory does not hold the networks.
    """
    if memory.vae_slicing:
        pipe.vae.enable_slicing()
    if memory.vae_tile:
        family.tile(pipe, memory.vae_tile)
    if memory.compile:
        for name in family.compiled:
            if getattr(pipe, name.partition(".")[0], None) is not None:
                operator.attrgetter(name)(pipe).compile()
    _know_device(pipe, device)
    if memory.offload:
        pipe.enable_model_cpu_offload(device=device)
        return
    _move(pipe, section, device)


def _move(networks: Any, section: str, device: torch.device) -> None:
    """Bring a pipeline, or one of its networks, to the device."""
    try:
        networks.to(device)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise UserError(
            f"{section}: the device's memory does not hold the networks beside those that are there; set "
            "edit.memory.offload to true, or take smaller ones (models=sd15)"
        ) from error


@contextlib.contextmanager
def restoring(pipe: Any) -> Iterator[None]:
    """Put the pipeline's networks back as they were where the block fails, so that a smaller batch may be tried.

    In float16 diffusers turns some autoencoders into float32 for as long as they decode, and offloaded networks stay
    on the device until a call ends well.
    """
    before = pipe.vae.dtype
    try:
        yield
    except RuntimeError:
        if pipe.vae.dtype != before:
            pipe.vae.to(before)
        pipe.maybe_free_model_hooks()
        raise


def _know_device(pipe: Any, device: torch.device) -> None:
    """Tell the pipeline where its networks run: diffusers goes through all their modules for it at every call."""
    kind = type(pipe)
    pipe.__class__ = type(kind.__name__, (kind,), {"_execution_device": property(lambda _: device)})
