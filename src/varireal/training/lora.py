"""LoRA through PEFT on the query and value projections of both towers (method.md's step 6)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from varireal.errors import UserError
from varireal.seeding import SeedPart, forked_torch_rng
from varireal.training.attention import split_attention

if TYPE_CHECKING:
    from varireal.config import LoraSettings

TARGETS = r"(visual\.|text\.)?transformer\.resblocks\.\d+\.attn\.(q_proj|v_proj)"
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")


def add_lora(model: Any, settings: LoraSettings, *seed: SeedPart) -> PeftModel:
    """Return the model with a fresh adapter that changes nothing yet (B = 0); A is drawn from the seed's parts.

    The model is changed in place; :func:`remove_lora` undoes it. Only the adapter is trainable.

    Raises:
        UserError: a tower is no open_clip transformer.
    """
    split_attention(model)
    config = LoraConfig(
        r=settings.r, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout, target_modules=TARGETS
    )
    with forked_torch_rng("lora", *seed):
        return get_peft_model(model, config)


def remove_lora(adapted: PeftModel) -> Any:
    """Return the model without its adapter, as it was before :func:`add_lora`."""
    return adapted.unload()


def trainable_parameters(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the parameters that an optimiser may change: those of the adapter."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def adapter_bytes(adapted: PeftModel) -> dict[str, bytes]:
    """Return the adapter as PEFT's files, name to content; the same weights give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder, safe_serialization=True)
        files = {name: (Path(folder) / name).read_bytes() for name in ADAPTER_FILES}
    config = json.loads(files["adapter_config.json"])
    files["adapter_config.json"] = (json.dumps(config, indent=2, sort_keys=True) + "\n").encode()
    return files


def load_adapter(model: Any, folder: Path) -> PeftModel:
    """Return the model with the adapter of a folder, for prediction only; the model is changed in place.

    Raises:
        UserError: the folder's files are missing, or belong to another model.
    """
    for name in ADAPTER_FILES:
        if not (folder / name).is_file():
            raise UserError(f"the adapter {folder / name} is missing; run its train stage (dvc repro)")
    split_attention(model)
    try:
        return PeftModel.from_pretrained(model, folder, is_trainable=False).eval()
    except (RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"the adapter {folder} does not fit clip.model ({first}); train it anew (dvc repro)") from error
