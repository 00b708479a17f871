"""Emphasis and long sentences: embeddings against the text encoders asked directly, and pictures made with them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from varireal.config import InpaintConfig
from varireal.editing.embeddings import KEPT_BYTES, Embedder
from varireal.editing.inpaint import Inpainter
from varireal.prompts.templates import Sentence

LENGTH = 77  # tokens an encoder reads, with those for its beginning and end; the tiny tokenizer has one for each letter
TEXT = "a photo of a red jet"
EMPHASISED = range(10, 13)  # the letters of "red" after the first token and the nine letters of "a photo of a"
LONG = "a photo of a red jet. " + "it stands on a wide and empty field of wet grass, " * 2 + "under low clouds"


@pytest.fixture(params=[True, False], ids=["xl", "sd15"])
def pipe(request: pytest.FixtureRequest) -> Any:
    from diffusers import AutoPipelineForInpainting

    folder = request.getfixturevalue("tiny_sdxl_inpaint" if request.param else "tiny_sd_inpaint")
    return AutoPipelineForInpainting.from_pretrained(folder)


def embedder(pipe: Any) -> Embedder:
    import torch

    return Embedder(pipe, torch.device("cpu"))


def is_xl(pipe: Any) -> bool:
    return hasattr(pipe, "text_encoder_2")


def numbers(pipe: Any, text: str) -> list[int]:
    return pipe.tokenizer(text, truncation=False).input_ids[1:-1]


def encoded(pipe: Any, tokens: list[int], hidden: range = range(0)) -> np.ndarray:
    """What the pipeline's encoders make of up to 75 tokens, (77, width); those at hidden places cannot be seen."""
    import torch

    end = pipe.tokenizer.eos_token_id
    row = [pipe.tokenizer.bos_token_id, *tokens, end]
    row = torch.tensor([row + [pipe.tokenizer.pad_token_id] * (LENGTH - len(row))])
    seen = torch.ones_like(row)
    seen[0, list(hidden)] = 0
    with torch.no_grad():
        if not is_xl(pipe):
            return pipe.text_encoder(row, attention_mask=seen).last_hidden_state[0].numpy()
        both = [
            encoder(row, attention_mask=seen, output_hidden_states=True).hidden_states[-2][0].numpy()
            for encoder in (pipe.text_encoder, pipe.text_encoder_2)
        ]
    return np.concatenate(both, axis=-1)


def found(pipe: Any, sentence: Sentence, guided: bool = False) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in embedder(pipe).arguments([sentence], guided).items()}


@pytest.mark.parametrize("weight", [1.3, 2.0])
def test_emphasis_leads_the_words_away_from_the_empty_sentence(pipe, weight) -> None:
    plain, empty = encoded(pipe, numbers(pipe, TEXT)), encoded(pipe, [])
    expected = plain.copy()
    expected[EMPHASISED] = empty[EMPHASISED] + weight * (plain[EMPHASISED] - empty[EMPHASISED])
    given = found(pipe, Sentence(TEXT, "red", weight))["prompt_embeds"]
    assert given.shape == (1, *expected.shape)
    np.testing.assert_allclose(given[0], expected, atol=2e-5)
    assert np.abs(given[0] - plain).max() > 0.1


def test_less_weight_leads_them_back_and_blends_with_the_sentence_without_them(pipe) -> None:
    """By compel's rule: to tan(pi (1 - weight) / 2) parts the sentence in which nothing sees these words."""
    weight, tokens, empty = 0.6, numbers(pipe, TEXT), encoded(pipe, [])

    def weakened(values: np.ndarray) -> np.ndarray:
        result = values.copy()
        result[EMPHASISED] = empty[EMPHASISED] + weight * (values[EMPHASISED] - empty[EMPHASISED])
        return result

    share = math.tan(math.pi * (1 - weight) / 2)
    expected = weakened(encoded(pipe, tokens)) + share * weakened(encoded(pipe, tokens, hidden=EMPHASISED))
    given = found(pipe, Sentence(TEXT, "red", weight))["prompt_embeds"]
    np.testing.assert_allclose(given[0], expected / (1 + share), atol=2e-5)


def test_a_long_sentence_is_read_in_pieces_that_end_where_a_thought_ends(pipe) -> None:
    """First at a full stop, then, as no further one comes in time, at a comma."""
    stop = LONG.index(".") + 1
    comma = LONG.index(",", stop) + 1
    pieces = [LONG[:stop], LONG[stop:comma], LONG[comma:]]
    assert all(len(numbers(pipe, piece)) <= LENGTH - 2 for piece in pieces)
    assert len(numbers(pipe, LONG[: LONG.index(",", comma)])) > LENGTH - 2
    given = found(pipe, Sentence(LONG))["prompt_embeds"]
    assert embedder(pipe).pieces(Sentence(LONG)) == len(pieces)
    expected = np.concatenate([encoded(pipe, numbers(pipe, piece)) for piece in pieces])
    np.testing.assert_allclose(given[0], expected, atol=2e-5)


def test_emphasis_works_in_a_later_piece_too(pipe) -> None:
    stop = LONG.index(".") + 1
    plain, empty = found(pipe, Sentence(LONG))["prompt_embeds"][0], encoded(pipe, [])
    given = found(pipe, Sentence(LONG, "wide", 1.5))["prompt_embeds"][0]
    start = 1 + len(numbers(pipe, LONG[stop : LONG.index("wide")]))
    places = range(LENGTH + start, LENGTH + start + 4)
    expected = plain.copy()
    expected[places] = empty[start : start + 4] + 1.5 * (plain[places] - empty[start : start + 4])
    np.testing.assert_allclose(given, expected, atol=2e-5)


@pytest.mark.parametrize("sentence", [Sentence(LONG), Sentence(TEXT, "red", 1.3)])
def test_the_one_embedding_of_the_whole_is_that_of_the_text_as_it_stands(pipe, sentence) -> None:
    """XL has one; the encoder reads what fits."""
    import torch

    given = found(pipe, sentence, guided=True)
    if not is_xl(pipe):
        assert set(given) == {"prompt_embeds", "negative_prompt_embeds"}
        return
    tokens = pipe.tokenizer_2(sentence.text, truncation=True, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = pipe.text_encoder_2(tokens).text_embeds.numpy()
    np.testing.assert_allclose(given["pooled_prompt_embeds"], expected, atol=2e-5)


def test_the_embeddings_of_no_sentence_are_as_many_and_those_of_the_pipeline(pipe) -> None:
    given = found(pipe, Sentence(LONG), guided=True)
    negative = given["negative_prompt_embeds"]
    assert negative.shape == given["prompt_embeds"].shape and negative.shape[1] == 3 * LENGTH
    own = pipe.encode_prompt("", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)[1]
    for start in range(0, 3 * LENGTH, LENGTH):
        assert np.array_equal(negative[0, start : start + LENGTH], own[0].detach().numpy())


def test_pictures_are_led_away_from_a_text_where_one_is_given(pipe) -> None:
    away, from_none = (embedder(pipe).arguments([Sentence(TEXT)] * 2, True, text) for text in ("blue", ""))
    blue = embedder(pipe).arguments([Sentence("blue")], False)
    for name, value in blue.items():
        assert np.allclose(away[f"negative_{name}"], value.repeat(2, *[1] * (value.ndim - 1)), atol=1e-5)
        assert not np.allclose(from_none[f"negative_{name}"][0], value[0], atol=1e-3)
    assert np.array_equal(away["prompt_embeds"], from_none["prompt_embeds"])


def test_a_sentence_that_fits_and_has_no_emphasis_needs_no_compel(pipe, monkeypatch) -> None:
    monkeypatch.setattr(Embedder, "_by_compel", lambda *_: pytest.fail("compel was asked"))
    own = pipe.encode_prompt(TEXT, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)[0]
    assert np.array_equal(found(pipe, Sentence(TEXT, "red", 1.0))["prompt_embeds"], own.detach().numpy())
    assert embedder(pipe).pieces(Sentence("a" * (LENGTH - 2))) == 1


@pytest.mark.parametrize("family", ["tiny_sdxl_inpaint", "tiny_sd_inpaint"])
def test_a_batch_of_sentences_of_different_lengths_is_painted_as_one_by_one(family, compute, request) -> None:
    folder: Path = request.getfixturevalue(family)
    inpainter = Inpainter(InpaintConfig(checkpoint=str(folder)), compute)
    rng, mask = np.random.default_rng(0), np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    given = {
        "pictures": list(rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)),
        "masks": [mask] * 4,
        "sentences": [
            Sentence(LONG, "red", 1.3), Sentence(TEXT), Sentence(f"{LONG} and trees"), Sentence(TEXT, "red", 2.0),
        ],
        "seeds": [5, 6, 7, 8],
    }  # fmt: skip
    settings = {"strength": 1.0, "guidance_scale": 3.0, "num_inference_steps": 2}
    together = inpainter.paint(**given, **settings)
    for place, picture in enumerate(together):
        [alone] = inpainter.paint(**{name: values[place : place + 1] for name, values in given.items()}, **settings)
        assert np.abs(picture.astype(int) - alone).max() <= 1
    plain = inpainter.paint(**{**given, "sentences": [Sentence(each.text) for each in given["sentences"]]}, **settings)
    changed = [not np.array_equal(one, other) for one, other in zip(together, plain)]
    assert changed == [True, False, False, True]  # only emphasis was taken away


def test_only_so_many_sentences_are_kept_the_latest_used_ones(pipe, monkeypatch) -> None:
    keeper, (one, two, three) = embedder(pipe), [Sentence(f"jet {number}") for number in range(3)]
    row = sum(value.nbytes for value in embedder(pipe).arguments([one], guided=False).values())
    monkeypatch.setattr("varireal.editing.embeddings.KEPT_BYTES", 2 * row)
    encodes, encode = [], Embedder._encode
    monkeypatch.setattr(Embedder, "_encode", lambda self, one: encodes.append(one.text) or encode(self, one))
    first = keeper.arguments([one, two, three], guided=True)  # more than are kept
    assert encodes == [one.text, two.text, three.text]
    keeper.arguments([two], guided=False)
    keeper.arguments([one], guided=False)  # in place of the third
    keeper.arguments([two], guided=False)
    assert encodes[3:] == [one.text]
    again = keeper.arguments([one, two, three], guided=True)
    assert set(again) == set(first) and all(np.array_equal(again[name], first[name]) for name in first)


def test_all_sentences_are_kept_up_to_so_many_bytes_whatever_their_number(pipe, monkeypatch) -> None:
    """A sentence of three pieces takes the room of three, as far as its pieces go."""
    short, long = [Sentence(f"jet {number}") for number in range(4)], Sentence(LONG)
    sizes = [sum(v.nbytes for v in embedder(pipe).arguments([one], guided=False).values()) for one in (short[0], long)]
    assert 2 * sizes[0] < sizes[1] <= 3 * sizes[0]
    monkeypatch.setattr("varireal.editing.embeddings.KEPT_BYTES", sum(sizes) + sizes[0])
    assert embedder(pipe).embed([*short[:2], long, short[0]])  # three distinct ones
    keeper = embedder(pipe)
    assert not keeper.embed([*short, long]) and not keeper.has([*short, long])
    assert keeper.has([short[3], long])  # the latest ones


def test_the_sentences_of_the_largest_cell_are_kept_whole() -> None:
    """Cars: 50 places for each of 196 models, with SDXL's embeddings in half precision (two encoders, one pooled)."""
    row = 2 * (LENGTH * (768 + 1280) + 1280)
    assert 50 * 196 * row < KEPT_BYTES < 14_000 * row
