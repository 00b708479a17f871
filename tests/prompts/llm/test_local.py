"""The source `transformers` with tiny checkpoints: one that knows its answers by heart, and ones that talk nonsense."""

import json
import shutil

import pytest

from varireal.config import ComputeConfig, LlmConfig, PromptConfig
from varireal.errors import UserError
from varireal.prompts import SOURCES
from varireal.prompts.llm.backend import LlmQuestion
from varireal.prompts.llm.local import LocalModel

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant: "
NAMES = ("wool", "velvet", "silk")
# what the model that knows its answers goes on with after the opening of either form
CONTINUATIONS = {
    '{"items": [': ", ".join(json.dumps({"name": name, "description": "soft"}) for name in NAMES) + "]}",
    '{"judgements": [': ", ".join(
        json.dumps({"number": number, "reason": "seen", "verdict": "feasible"}) for number in (1, 2, 3)
    )
    + "]}",
}


def save_tokenizer(folder, words=(), template=TEMPLATE):
    """A token per byte, an end token, and the given words whole."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={sign: index for index, sign in enumerate(signs)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.add_tokens(list(words))
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", chat_template=template)
    whole.save_pretrained(folder)
    return whole


def save_model(folder, tokenizer, kind="llama", **settings):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[kind](
        vocab_size=len(tokenizer), num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        tie_word_embeddings=False, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=None,
        **({"hidden_size": 32, "intermediate_size": 32, "max_position_embeddings": 8192} | settings),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def scholar(tmp_path_factory):
    """A Llama whose next token depends on the last one only: after an opening the rest of an answer, then the end."""
    import torch

    folder = tmp_path_factory.mktemp("scholar")
    tokenizer = save_tokenizer(folder, [*CONTINUATIONS, *CONTINUATIONS.values()])
    width = 4 * (len(tokenizer) // 4 + 1)  # two heads of an even width
    model = save_model(folder, tokenizer, hidden_size=width)
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(len(tokenizer), width))
        model.lm_head.weight.zero_()
        for opening, rest in CONTINUATIONS.items():
            first, second = tokenizer.convert_tokens_to_ids([opening, rest])
            model.lm_head.weight[second, first] = model.lm_head.weight[tokenizer.eos_token_id, second] = 10.0
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def babbler(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    save_model(folder, save_tokenizer(folder), request.param)
    return folder


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def make(folder, **changes):
    counts = {attribute: {"feasible": 3, "infeasible": 3} for attribute in ("background", "color", "texture")}
    settings = {"model": str(folder), "max_tokens": 24, "max_attempts": 2, "counts": counts} | changes
    config = PromptConfig(source="transformers", bank="none.yaml", llm=LlmConfig(**settings))
    return SOURCES["transformers"](config, ComputeConfig(device="cpu"), seed=0)


def lists(source):
    return source.table(["cat"], "pet", {"texture": ["feasible"]})


def refused(folder, said, **changes):
    with pytest.raises(UserError, match=said) as caught:
        lists(make(folder, **changes))
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


def test_a_local_model_proposes_and_judges(scholar):
    source = make(scholar)
    assert [spec.name for spec in lists(source).specs("texture", "feasible", "cat")] == list(NAMES)
    record = source.documents()["answers/0001-propose.json"]
    assert record["text"] == '{"items": [' + CONTINUATIONS['{"items": [']
    assert (record["source"], record["model"], record["complete"]) == ("transformers", str(scholar), True)
    assert record["output_tokens"] == 2 and record["input_tokens"] > 100
    assert len(record["weights"]) == 64


def test_answers_of_a_local_model_are_kept(scholar, monkeypatch):
    first = lists(make(scholar))
    monkeypatch.setattr(LocalModel, "ask", lambda *_: pytest.fail("asked again"))
    assert lists(make(scholar)) == first


def test_nonsense_is_one_clear_line(babbler):
    refused(babbler, r"texture, feasible, cat, round 1: no usable answer in 2 attempts; the answer is not valid JSON")


def test_an_answer_depends_on_its_seed_alone(babbler):
    import torch

    model = LocalModel(LlmConfig(model=str(babbler), max_tokens=12), ComputeConfig(device="cpu"))
    question = LlmQuestion("propose", "test", "system", "user", {"properties": {"items": {}}}, 0)
    first = model.ask(question, 5).text
    torch.rand(3)
    before = torch.get_rng_state()
    assert model.ask(question, 5).text == first
    assert model.ask(question, 6).text != first
    assert torch.equal(torch.get_rng_state(), before)


def test_temperature_0_always_takes_the_likeliest_token(babbler):
    model = LocalModel(LlmConfig(model=str(babbler), max_tokens=8, temperature=0), ComputeConfig(device="cpu"))
    question = LlmQuestion("propose", "test", "system", "user", {"properties": {"items": {}}}, 0)
    assert model.ask(question, 5).text == model.ask(question, 6).text


def test_a_question_that_does_not_fit_is_told(tmp_path):
    save_model(tmp_path, save_tokenizer(tmp_path), max_position_embeddings=64)
    refused(tmp_path, r"has \d+ tokens, more than .* reads; lower llm\.counts")


def test_a_model_without_chat_template_is_no_instruct_model(tmp_path):
    save_model(tmp_path, save_tokenizer(tmp_path, template=None))
    refused(tmp_path, "no chat template, so it is no instruct model")


def test_a_missing_tokenizer_or_damaged_weights_are_told(scholar, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(scholar, folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    refused(folder, "cannot be loaded as a causal language model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    refused(folder, r"no \.safetensors weights; other formats are not read")
    with pytest.raises(UserError, match="this folder does not exist"):
        make(tmp_path / "gone")


def test_code_that_comes_with_a_checkpoint_is_not_run(scholar, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(scholar, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "surprise",
        "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused(folder, "cannot be loaded as a causal language model")
    assert not (tmp_path / "ran").exists()
