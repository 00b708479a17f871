"""A local instruct model of transformers: safetensors weights, its own chat template, no code from the checkpoint."""

from __future__ import annotations

from typing import Any

from varireal.base.seeding import forked_torch_rng
from varireal.config import ComputeConfig, LlmConfig
from varireal.errors import UserError
from varireal.networks.checkpoints import check_checkpoint, checkpoint_identity
from varireal.prompts.llm.backend import LlmQuestion, Reply
from varireal.prompts.llm.json_text import excerpt


class LocalModel:
    """Proposes and judges with one checkpoint: the backend of the prompt source ``transformers``."""

    concurrency = 1

    def __init__(self, config: LlmConfig, compute: ComputeConfig) -> None:
        """Check the checkpoint; it is loaded for the first question.

        Raises:
            UserError: the folder is missing or holds no safetensors weights.
        """
        self._config, self._compute, self._checkpoint = config, compute, str(config.model)
        check_checkpoint(self._checkpoint, "prompt.llm.model", "config.json")
        self._identity = checkpoint_identity(self._checkpoint, config.revision)
        self._loaded: tuple[Any, Any] | None = None

    def describe(self, question: LlmQuestion) -> dict[str, Any]:
        """Return the checkpoint and the parameters; they are the same for every question."""
        parameters = {"max_tokens": self._config.max_tokens, "temperature": self._config.temperature,
                      "dtype": self._compute.dtype}  # fmt: skip
        return {"source": "transformers", "model": self._checkpoint, "weights": self._identity,
                "parameters": parameters}  # fmt: skip

    def ask(self, question: LlmQuestion, seed: int) -> Reply:
        """Continue the conversation from the first signs of the JSON object that is wanted.

        Putting these signs into the model's mouth keeps small models from chatting; the reply's text includes them.

        Raises:
            UserError: the checkpoint is no instruct model, or question and answer do not fit into it.
        """
        import torch

        model, tokenizer = self._load()
        opening = f'{{"{question.member}": ['
        prompt = tokenizer.apply_chat_template(question.messages, tokenize=False, add_generation_prompt=True) + opening
        tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False).to(model.device)
        asked = tokens["input_ids"].shape[1]
        room = (getattr(model.config, "max_position_embeddings", None) or 2**31) - asked
        if room < 1:
            raise UserError(
                f"prompt.llm: the question ({question.about}) has {asked} tokens, more than {self._checkpoint} reads; "
                "lower llm.counts or take another llm.model"
            )
        with forked_torch_rng("local answer", seed), torch.inference_mode():
            output = model.generate(
                **tokens,
                max_new_tokens=min(self._config.max_tokens, room),
                pad_token_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
                **self._sampling(),
            )[0, asked:]
        text = opening + tokenizer.decode(output, skip_special_tokens=True)
        complete = len(output) < min(self._config.max_tokens, room)
        return Reply(text, complete, asked, len(output), text)

    def _sampling(self) -> dict[str, Any]:
        """Return generate's arguments: null leaves them to the checkpoint, 0 always takes the likeliest token."""
        temperature = self._config.temperature
        if temperature is None:
            return {}
        return {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}

    def _load(self) -> tuple[Any, Any]:
        """Return the network and its tokenizer."""
        if self._loaded is None:
            import torch
            from huggingface_hub.errors import StrictDataclassError
            from safetensors import SafetensorError
            from transformers import AutoModelForCausalLM, AutoTokenizer

            from varireal.compute.devices import resolve_device, resolve_dtype

            if self._compute.num_threads is not None:
                torch.set_num_threads(self._compute.num_threads)
            device, dtype = resolve_device(self._compute), resolve_dtype(self._compute)
            common = {"revision": self._config.revision or "main", "trust_remote_code": False}
            try:
                tokenizer = AutoTokenizer.from_pretrained(self._checkpoint, **common)
                model = AutoModelForCausalLM.from_pretrained(
                    self._checkpoint, use_safetensors=True, dtype=dtype, **common
                )
            except (OSError, ValueError, KeyError, ImportError, StrictDataclassError, SafetensorError) as error:
                raise UserError(
                    f"prompt.llm.model = {self._checkpoint!r} cannot be loaded as a causal language model with its "
                    f"tokenizer ({excerpt(str(error), 200)}); give an instruct model with safetensors weights"
                ) from error
            if not tokenizer.chat_template:
                raise UserError(
                    f"prompt.llm.model = {self._checkpoint!r} has no chat template, so it is no instruct model; take "
                    "one that is (its name often ends in -Instruct)"
                )
            self._loaded = model.to(device).eval(), tokenizer  # pyright: ignore[reportArgumentType] - stubs lose self
        return self._loaded
