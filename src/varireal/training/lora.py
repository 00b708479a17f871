"""LoRA through PEFT on the query and value projections of both towers (method.md's step 6)."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.constants import DUMMY_TARGET_MODULES
from safetensors import SafetensorError, safe_open
from torch import nn

from varireal.base.seeding import SeedPart, forked_torch_rng
from varireal.errors import UserError
from varireal.training.attention import make_adaptable
from varireal.training.plan import ADAPTER_FILES
from varireal.training.probe_network import HEAD, ProbeNetwork

if TYPE_CHECKING:
    from varireal.config import LoraSettings

TARGETS = r"(visual\.|text\.)?transformer\.resblocks\.\d+\.attn\.(q_proj|v_proj)"
TIMM_TARGETS = rf"{TARGETS}|visual\.trunk\.blocks\.\d+\.attn\.(qkv\.)?(q_proj|v_proj)"
WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "module.")  # names that compiling and sharing a model add
LEVELS = 2**16  # of a value's random bits


class BitDropout(nn.Dropout):
    """nn.Dropout that draws 16 random bits a value: on a CPU torch's own took a tenth of a training step.

    The rate is rounded to a multiple of 1/65536; what is kept is scaled for exactly that rate. It draws from torch's
    own generator on the CPU; on other devices it is nn.Dropout.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the input with a random share of its values zero, while training."""
        dropped = round(self.p * LEVELS)
        if not self.training or dropped in (0, LEVELS) or input.device.type != "cpu":
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (bits >= dropped - LEVELS // 2).to(input.dtype)
        return input * kept.mul_(LEVELS / (LEVELS - dropped))


def use_bit_dropout(adapted: PeftModel) -> None:
    """Put :class:`BitDropout` in the place of the adapter's own dropout."""
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            for name, dropout in layer.lora_dropout.items():
                if isinstance(dropout, nn.Dropout):
                    layer.lora_dropout[name] = BitDropout(dropout.p)


def add_lora(model: Any, settings: LoraSettings, *seed: SeedPart) -> PeftModel:
    """Return the model with a fresh adapter that changes nothing yet (B = 0); A is drawn from the seed's parts.

    The model is changed in place; :func:`remove_lora` undoes it. Only the adapter is trainable, and of a probe the
    linear layer, which begins anew.

    Raises:
        UserError: a tower is no transformer that LoRA knows.
    """
    make_adaptable(model)
    config = LoraConfig(
        r=settings.r, lora_alpha=settings.lora_alpha, lora_dropout=settings.lora_dropout, **_adapted_parts(model, *seed)
    )
    with forked_torch_rng("lora", *seed):
        adapted = get_peft_model(model, config)
    use_bit_dropout(adapted)
    return adapted


def _adapted_parts(model: Any, *seed: SeedPart) -> dict[str, Any]:
    """Return what PEFT is told of layers: LoRA's, and a probe's linear one, drawn from the seed, which trains whole."""
    if isinstance(model, ProbeNetwork):
        model.start_head(*seed)
        return {"target_modules": model.lora_targets() or DUMMY_TARGET_MODULES, "modules_to_save": [HEAD]}
    return {"target_modules": TIMM_TARGETS if hasattr(model.visual, "trunk") else TARGETS}


def remove_lora(adapted: PeftModel) -> Any:
    """Return the model without its adapter, as it was before :func:`add_lora`."""
    return adapted.unload()


def learning(adapted: Any) -> None:
    """Put a model with an adapter into training mode, but for batch normalisations, which are frozen like the rest.

    They would take the means of each batch, and so carry one fine-tuning's images over into the next one.
    """
    adapted.train()
    for module in adapted.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


@contextlib.contextmanager
def merged(model: Any) -> Iterator[None]:
    """Let a model in evaluation mode predict with its adapter added to the frozen weights, which is faster.

    After the block the weights are the very ones from before, not what adding and subtracting would leave of them.
    Where there is no adapter, nothing is changed.
    """
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    before = [weight.data for weight in weights]
    try:
        with torch.no_grad():
            for layer, weight in zip(layers, weights):
                weight.data = sum((layer.get_delta_weight(name) for name in layer.active_adapters), weight.data)
                layer.merged_adapters.extend(layer.active_adapters)
        yield
    finally:
        for layer, weight, data in zip(layers, weights, before):
            weight.data = data
            layer.merged_adapters.clear()


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
    make_adaptable(model)
    try:
        with warnings.catch_warnings():  # of missing keys, which are an error here
            warnings.simplefilter("ignore", UserWarning)
            adapted = PeftModel.from_pretrained(model, folder, is_trainable=False).eval()
        _check_keys(adapted, folder)
        return adapted
    except (RuntimeError, ValueError, SafetensorError) as error:
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"the adapter {folder} does not fit clip.model ({first}); train it anew (dvc repro)") from error


def _check_keys(adapted: PeftModel, folder: Path) -> None:
    """Check that an adapter's file holds the very weights that the network takes; PEFT only warns of others.

    Raises:
        UserError: it lacks some or has others.
    """
    file = folder / ADAPTER_FILES[0]
    with safe_open(file, "pt") as opened:
        there = set(opened.keys())
    wanted = set(get_peft_model_state_dict(adapted))
    if there == wanted:
        return
    unexpected, missing = sorted(there - wanted), sorted(wanted - there)
    wrapped = next((part for part in WRAPPERS if any(f".{part}" in f".{key}" for key in unexpected)), None)
    remedy = (
        f"they were saved from a wrapped or compiled model: take {wrapped!r} out of the keys, or save the model inside"
        if wrapped
        else "it belongs to another network, or is a part only: train it anew (dvc repro)"
    )
    first = f"unexpected {unexpected[0]}" if unexpected else f"missing {missing[0]}"
    raise UserError(
        f"the adapter {file} does not fit clip.model: {len(unexpected)} of its {len(there)} weights have names "
        f"that the network does not know and {len(missing)} of {len(wanted)} are missing ({first}); {remedy}"
    )
