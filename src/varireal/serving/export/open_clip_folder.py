"""The merged model as a folder that plain open_clip loads with ``local-dir:<folder>``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from varireal.base.files import write_json
from varireal.networks.clip import Clip
from varireal.networks.clip_weights import CONFIG, WEIGHTS
from varireal.serving.adapter import AdapterDescription
from varireal.serving.export.folder import ABOUT

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")  # the size follows from the model


def write_open_clip(folder: Path, clip: Clip, description: AdapterDescription) -> None:
    """Write configuration, weights (float32) and classes of a merged model (``serving.adapter.load_merged``)."""
    import torch
    from safetensors.torch import save_file

    from varireal.training.attention import joined_state

    state = joined_state(clip.model)
    weights = {
        name: tensor.to("cpu", torch.float32 if tensor.is_floating_point() else None).contiguous()
        for name, tensor in state.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS[0])
    (folder / WEIGHTS[0]).chmod(0o644)
    write_json(folder / CONFIG, _configuration(clip.model, description.clip.model))
    write_json(folder / ABOUT, {"export": "open_clip", **description.model_dump(mode="json")})


def _configuration(model: Any, name: str) -> dict[str, Any]:
    import open_clip

    settings = copy.deepcopy(open_clip.get_model_config(name))
    if any(isinstance(module, open_clip.transformer.QuickGELU) for module in model.modules()):
        settings["quick_gelu"] = True  # of a plain name with OpenAI's weights only the tag says so, which is lost here
    found = model.visual.preprocess_cfg
    return {"model_cfg": settings, "preprocess_cfg": {key: found[key] for key in PREPROCESSING if key in found}}
