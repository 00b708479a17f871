"""The tokenizer of the demo text encoders: CLIP's byte-level BPE, with merges learnt from the captions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

#: Longest sentence in tokens, start and end included; the longest caption of the rendered world has 20.
MAX_LENGTH = 32
_START, _END, _WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"

Pair = tuple[str, str]


def _words(sentences: Sequence[str]) -> Counter[str]:
    """Count the words as CLIP splits them: lower case, letters, single digits and runs of other signs apart."""
    splitter = CLIPTokenizer(vocab={_END: 0}, merges=[]).backend_tokenizer
    counts: Counter[str] = Counter()
    for text in sentences:
        lowered = splitter.normalizer.normalize_str(text)
        counts.update(word for word, _ in splitter.pre_tokenizer.pre_tokenize_str(lowered))
    return counts


def _merge(symbols: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def learn_bpe(sentences: Sequence[str]) -> tuple[dict[str, int], list[Pair]]:
    """Merge the most frequent pair of symbols until every word of the sentences is one; return vocabulary and merges.

    Ties go to the pair that sorts first, so the result depends on the sentences only. The vocabulary holds all 256
    bytes, inside and at the end of a word, so that any text can be written.
    """
    counts = _words(sentences)
    spelling = {word: [*word[:-1], word[-1] + _WORD_END] for word in counts}
    alphabet = sorted(ByteLevel.alphabet())
    vocabulary = [*alphabet, *(sign + _WORD_END for sign in alphabet)]
    merges: list[Pair] = []
    while True:
        pairs: Counter[Pair] = Counter()
        for word, symbols in spelling.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        vocabulary.append("".join(best))
        spelling = {word: _merge(symbols, best) for word, symbols in spelling.items()}
    vocabulary += [_START, _END]
    return {symbol: index for index, symbol in enumerate(dict.fromkeys(vocabulary))}, merges


def build_tokenizer(sentences: Sequence[str]) -> CLIPTokenizer:
    """Return a CLIPTokenizer that writes each word of the sentences as one token, padded to MAX_LENGTH on request."""
    vocabulary, merges = learn_bpe(sentences)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH, pad_token=_END)
