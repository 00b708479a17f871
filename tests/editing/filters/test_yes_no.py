"""Answers of vision-language models of five architectures, against a formula of their own and against single ones."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.filters.tiny_vlms import KINDS, save_tiny_vlm

from varireal.config import ComputeConfig
from varireal.editing.filters.yes_no import YesNoModel
from varireal.errors import UserError
from varireal.networks.calls import recording

CPU = ComputeConfig(device="cpu")
SIZES = [(40, 60), (64, 64), (90, 33), (20, 20), (48, 100)]
QUESTIONS = [
    "Is the pet in this image purple?",
    "Red?",
    "Is this a photo of a Bengal pet? Answer with yes or no.",
    "Could a real jet be in a place like the one in this image? Answer with yes or no.",
    "Is the main object in this image under water at a coral reef?",
]
PICTURES = [np.random.default_rng(k).integers(0, 256, (*size, 3), dtype=np.uint8) for k, size in enumerate(SIZES)]


def load(folder: Path, batch_size: int = 8, dtype: str = "float32") -> YesNoModel:
    return YesNoModel(str(folder), None, ComputeConfig(device="cpu", dtype=dtype), batch_size)


def expected_answer(folder: Path, prompt: str, picture: np.ndarray) -> float:
    """Softmax over the whole vocabulary at the last position, then the spellings' shares, in numpy."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(
        text=[prompt], images=[[Image.fromarray(picture)]], return_tensors="pt", add_special_tokens=False
    )
    with torch.no_grad():
        logits = AutoModelForImageTextToText.from_pretrained(folder)(**inputs).logits[0, -1].double().numpy()
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    number = processor.tokenizer.convert_tokens_to_ids
    yes = sum(probabilities[number(token)] for token in ("yes", "Yes", "Ġyes", "ĠYes"))
    no = sum(probabilities[number(token)] for token in ("no", "No", "Ġno", "ĠNo", "NO"))
    return yes / (yes + no)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_share_of_yes_in_the_softmax_over_the_vocabulary(kind: str, tiny_vlm) -> None:
    folder = tiny_vlm(kind)
    model = load(folder)
    [answer] = model.yes_probabilities(PICTURES[:1], QUESTIONS[:1])
    prompt = model.prompt(QUESTIONS[0])
    start = "" if kind in ("smolvlm", "idefics3") else "<s>"  # their templates write it, the others' tokenizers do
    assert answer == pytest.approx(expected_answer(folder, start + prompt, PICTURES[0]), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_all_sizes_and_lengths_answers_like_one_picture_at_a_time(kind: str, tiny_vlm) -> None:
    alone = load(tiny_vlm(kind), batch_size=1).yes_probabilities(PICTURES, QUESTIONS)
    for batch_size in (2, 5):
        assert load(tiny_vlm(kind), batch_size).yes_probabilities(PICTURES, QUESTIONS) == pytest.approx(alone, abs=1e-4)
    assert len({round(answer, 4) for answer in alone}) == len(alone)
    assert all(0 < answer < 1 for answer in alone)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_depends_on_the_picture_and_on_the_question(kind: str, tiny_vlm) -> None:
    first, other_picture, other_question = load(tiny_vlm(kind)).yes_probabilities(
        [PICTURES[0], PICTURES[1], PICTURES[0]], [QUESTIONS[0], QUESTIONS[0], QUESTIONS[1]]
    )
    assert abs(first - other_picture) > 1e-4 and abs(first - other_question) > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_all_questions_about_a_picture_are_answered_as_one_by_one(kind: str, tiny_vlm) -> None:
    questions = [[text, "Blue?", f"{text} Answer with yes or no."] for text in QUESTIONS]
    alone = load(tiny_vlm(kind), batch_size=1)
    expected = [alone.yes_probabilities([picture] * 3, texts) for picture, texts in zip(PICTURES, questions)]
    for batch_size in (1, 3):
        model = load(tiny_vlm(kind), batch_size)
        answers = model.answers(PICTURES, questions)
        assert answers == [pytest.approx(texts, abs=1e-4) for texts in expected]
        assert model.reads_once != kind.startswith("qwen")  # which count the places of pictures by a rule of their own
    assert model.answers([], []) == []


def test_a_blank_picture_is_asked_about_while_loading(tiny_vlm, monkeypatch) -> None:
    model, asked = load(tiny_vlm("qwen3_vl")), []
    answers = model.answers
    monkeypatch.setattr(model, "answers", lambda *each: asked.append(each) or answers(*each))
    model.load()
    [([picture], [questions])] = asked
    assert len(np.unique(picture)) == 1 and len(questions) == 2


def test_a_picture_is_looked_at_once_for_three_questions(tiny_vlm) -> None:
    model, texts = load(tiny_vlm("llava_next")), QUESTIONS[:3]
    model.load()
    with recording() as apart:
        model.yes_probabilities([PICTURES[1]] * 3, texts)
    with recording() as once:
        model.answers([PICTURES[1]], [texts])
    looks, read = apart["judge"].looks, apart["judge"].tokens
    assert looks == 3 * once["judge"].looks and once["judge"].looks > 1  # the picture, and its parts
    lengths = [len(model._processor.tokenizer(model.prompt(text)).input_ids) for text in texts]
    picture = (read - sum(lengths)) // 3 + 1  # tokens in place of the prompt's one
    common = len("[INST] ") + len("\nIs this a photo")  # a token a byte: at most so much is the same in these
    assert picture < once["judge"].tokens <= read - 2 * (picture - 1)
    assert once["judge"].tokens >= read - 2 * (picture + common)


def test_a_template_with_the_question_first_reads_a_picture_for_each(tiny_vlm, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_vlm("llava_next"), tmp_path / "question first"))
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'][1]['text'] }} <image>")
    model = load(folder)
    assert not model.reads_once
    [answers] = model.answers(PICTURES[:1], [QUESTIONS[:2]])
    assert answers == pytest.approx(model.yes_probabilities(PICTURES[:1] * 2, QUESTIONS[:2]), abs=1e-6)


def test_memory_that_is_full_halves_the_pictures_that_are_read_at_once(tiny_vlm, monkeypatch, caplog) -> None:
    import torch

    model = load(tiny_vlm("llava_next"))
    questions = [[text, "Blue?"] for text in QUESTIONS]
    expected, forward, sizes = model.answers(PICTURES, questions), model._model.forward, []

    def limited(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(**inputs)

    monkeypatch.setattr(model._model, "forward", limited)
    assert model.answers(PICTURES, questions) == [pytest.approx(each, abs=1e-4) for each in expected]
    assert sizes == [5, 3, 3, 3, 2, 2, 2] and caplog.text.count("going on with") == 1


def test_bfloat16_answers_nearly_the_same(tiny_vlm) -> None:
    exact = load(tiny_vlm("llava_next")).yes_probabilities(PICTURES, QUESTIONS)
    rounded = load(tiny_vlm("llava_next"), dtype="bfloat16")
    assert rounded.yes_probabilities(PICTURES, QUESTIONS) == pytest.approx(exact, abs=0.03)
    assert str(rounded._model.dtype) == "torch.bfloat16"


@pytest.mark.parametrize("fits", [3, 1, 0])
def test_batches_that_the_memory_does_not_hold_are_halved(fits: int, tiny_vlm, monkeypatch, caplog) -> None:
    import torch

    expected = load(tiny_vlm("llava_next")).yes_probabilities(PICTURES, QUESTIONS)
    model, sizes = load(tiny_vlm("llava_next")), []
    forward = model._model.forward

    def limited(**inputs: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if sizes[-1] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(**inputs)

    monkeypatch.setattr(model._model, "forward", limited)
    if not fits:
        with pytest.raises(UserError, match=r"^filter: .* does not hold even one of the pictures .* smaller one$"):
            model.yes_probabilities(PICTURES, QUESTIONS)
        assert sizes == [5, 3, 2, 1]
        return
    assert model.yes_probabilities(PICTURES, QUESTIONS) == pytest.approx(expected, abs=1e-4)
    assert sizes == {3: [5, 3, 2], 1: [5, 3, 2, 1, 1, 1, 1, 1]}[fits]
    assert caplog.text.count("going on with") == {3: 1, 1: 3}[fits]


def test_a_model_that_the_memory_does_not_hold_is_one_line(tiny_vlm, monkeypatch) -> None:
    import torch

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nMore lines")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(UserError, match=r"^filter\.model = .* does not hold it beside the networks that edit") as error:
        load(tiny_vlm("llava_next")).yes_probabilities(PICTURES[:1], QUESTIONS[:1])
    assert "\n" not in str(error.value)


def test_prompts_follow_the_chat_template(tiny_vlm) -> None:
    assert load(tiny_vlm("llava_next")).prompt("Red?") == "[INST] <image>\nRed? [/INST]"
    assert load(tiny_vlm("smolvlm")).prompt("Red?") == "<|im_start|>User:<image>Red?<end_of_utterance>\nAssistant:"
    assert (
        load(tiny_vlm("qwen2_5_vl"))
        .prompt("Red?")
        .endswith("<|vision_start|><|image_pad|><|vision_end|>Red?<|im_end|>\n<|im_start|>assistant\n")
    )


def test_a_processor_without_a_template_gets_a_plain_question(tiny_vlm, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_vlm("llava_next"), tmp_path / "plain"))
    (folder / "chat_template.jinja").unlink()
    model = load(folder)
    assert model.prompt("Red?") == "<image>\nQuestion: Red?\nAnswer:"
    [answer] = model.yes_probabilities(PICTURES[:1], ["Red?"])
    assert answer == pytest.approx(
        expected_answer(folder, "<s><image>\nQuestion: Red?\nAnswer:", PICTURES[0]), abs=1e-6
    )


def test_every_spelling_counts_and_no_longer_word_does(tmp_path: Path) -> None:
    words = ("Yes", "Ġyes", "yesterday", "No", "Ġno", "Ġnot", "note", "ĠNO")
    model = load(save_tiny_vlm("llava_next", tmp_path / "spellings", words))
    read = model._processor.tokenizer.convert_ids_to_tokens
    assert set(read(model.yes_tokens)) == {"yes", "Yes", "Ġyes"}  # "yes" is a step towards "yesterday"
    assert set(read(model.no_tokens)) == {"no", "No", "Ġno", "ĠNO"}


def test_spellings_of_sentencepiece_vocabularies_are_found() -> None:
    from transformers import LlamaTokenizer

    from varireal.editing.filters.judge_parts import answer_tokens

    pieces = ["<unk>", "<s>", "</s>", "▁", "Y", "e", "s", "N", "o", "Ye", "Yes", "▁Yes", "No", "▁No", "▁Noes"]
    tokenizer = LlamaTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[])
    assert answer_tokens(tokenizer, "yes", "x") == [10, 11]
    assert answer_tokens(tokenizer, "no", "x") == [12, 13]


def test_a_model_that_says_neither_is_warned_about_once(tiny_vlm, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="varireal"):
        load(tiny_vlm("llava_next"), batch_size=1).yes_probabilities(PICTURES, QUESTIONS)
    [record] = [record for record in caplog.records if record.name.startswith("varireal")]
    assert "its answers say little" in record.message


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def without_processor(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)


def without_image_processor(folder: Path) -> None:
    (folder / "processor_config.json").unlink()
    edit_json(folder / "tokenizer_config.json", processor_class=None)


def without_picture_in_the_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'][1]['text'] }}{% endfor %}")


def with_a_broken_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('only text,\nplease') }}")


def without_image_token(folder: Path) -> None:
    edit_json(folder / "processor_config.json", image_token="<picture>")


def with_another_image_number(folder: Path) -> None:
    edit_json(folder / "config.json", image_token_index=3, image_token_id=3)


def of_another_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="segformer")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "this folder does not exist"),
        (without_weights, "no .safetensors weights"),
        (without_processor, "its processor cannot be loaded"),
        (without_image_processor, "its processor cannot be loaded"),
        (without_picture_in_the_template, "leaves out the picture"),
        (with_a_broken_template, "its chat template cannot be loaded .only text, please."),
        (without_image_token, "no token for an image"),
        (with_another_image_number, "in config.json it is 3; model and processor do not belong together"),
        (of_another_type, "of the type segformer, which answers no questions about pictures"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_one_line_before_its_weights_are_read(
    damage: Callable[[Path], None], message: str, tiny_vlm, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_vlm("llava_next"), tmp_path / "damaged"))
    damage(folder)
    with pytest.raises(UserError, match=message) as error:
        load(folder)
    assert str(error.value).startswith(f"filter.model = '{folder}'") and "\n" not in str(error.value)


def test_a_tokenizer_without_yes_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_vlm("qwen2_5_vl", tmp_path / "mute", words=("no", "Ġno"))
    with pytest.raises(UserError, match="no single token for 'yes'"):
        load(folder)


def test_incomplete_weights_are_one_line(tiny_vlm, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_vlm("smolvlm"), tmp_path / "incomplete"))
    weights = load_file(folder / "model.safetensors")
    lost = sorted(weights)[0]
    save_file(
        {name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match="is incomplete: it has no weights for"):
        load(folder).yes_probabilities(PICTURES[:1], QUESTIONS[:1])


def test_weights_that_are_no_safetensors_are_one_line(tiny_vlm, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_vlm("smolvlm"), tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="its weights cannot be loaded") as error:
        load(folder).yes_probabilities(PICTURES[:1], QUESTIONS[:1])
    assert "\n" not in str(error.value)
