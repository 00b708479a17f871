"""The demo tokenizer."""

from __future__ import annotations

from pathlib import Path

from transformers import CLIPTokenizer

from varireal_pretraining.captions import MAX_LENGTH, build_tokenizer, corpus, learn_bpe


def test_round_trip_and_one_token_a_word(tmp_path: Path) -> None:
    build_tokenizer(corpus()).save_pretrained(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    sentence = "a photo of a neon pink glider aircraft"
    ids = tokenizer(sentence).input_ids
    assert len(ids) == len(sentence.split()) + 2
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True) == sentence


def test_unknown_words_are_spelt(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(["a photo"])
    ids = tokenizer("a zeppelin, 1937").input_ids
    assert tokenizer.unk_token_id not in ids[1:-1] or tokenizer.unk_token_id == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == "azeppelin,1937"


def test_captions_fit_and_padding_is_the_end_token() -> None:
    tokenizer = build_tokenizer(corpus())
    encoded = tokenizer(corpus(), padding="max_length", max_length=MAX_LENGTH, truncation=True).input_ids
    assert all(len(ids) == MAX_LENGTH and ids[-1] == tokenizer.eos_token_id for ids in encoded)
    assert max(len(ids) for ids in tokenizer(corpus()).input_ids) < MAX_LENGTH


def test_merges_by_hand() -> None:
    """'ab' occurs twice, so (a, b</w>) is merged first; then (x, ab</w>)."""
    vocabulary, merges = learn_bpe(["ab", "xab", "ab"])
    assert merges == [("a", "b</w>"), ("x", "ab</w>")]
    assert vocabulary["xab</w>"] == 513
    assert len(vocabulary) == 512 + 2 + 2
