"""Files and answers from outside, bent at random: every reader takes them or says in one line what is wrong.

`VARIREAL_FUZZ_EXAMPLES=2000 pytest tests/test_fuzz.py` looks longer than the default.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from varireal.base.files import read_image, read_json
from varireal.base.manifest import ATTRIBUTES, ImageRecord, read_manifest, write_manifest
from varireal.config import load_params
from varireal.errors import UserError
from varireal.prompts.bank import read_bank
from varireal.prompts.llm.answers import read_judgements, read_proposals
from varireal.prompts.llm.backend import MalformedAnswerError
from varireal.prompts.schema import load_prompts

EXAMPLES = int(os.environ.get("VARIREAL_FUZZ_EXAMPLES", "40"))
REPOSITORY = Path(__file__).parents[1]
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == 40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _picture(kind: str, mode: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES = [
    _picture("PNG", "RGBA"),
    _picture("PNG", "P", transparency=3),
    _picture("JPEG", "RGB", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    _picture("WEBP", "RGBA"),
    _picture("GIF", "P"),
    _picture("TIFF", "RGB", compression="tiff_lzw"),
    _picture("BMP", "RGB"),
]
BANK = (REPOSITORY / "data/banks/rendered_aircraft.yaml").read_bytes()
PARAMS = (REPOSITORY / "params.yaml").read_bytes()


@st.composite
def bent(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Return one of the originals with bytes changed, left out, doubled or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(0, 12))
        what = draw(st.sampled_from(["set", "cut", "double", "put", "end"]))
        if what == "set":
            data[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif what == "cut":
            del data[place : place + length]
        elif what == "double":
            data[place:place] = data[place : place + length]
        elif what == "put":
            data[place:place] = draw(
                st.sampled_from([b"\0", b"\xff", b"&a *a", b"- ", b": ", b"{", b"[", b"\n", b"!!", b"|"])
            )
        else:
            del data[place:]
    return bytes(data)


def one_line(error: pytest.ExceptionInfo[Exception] | Exception) -> bool:
    return bool(str(error)) and "\n" not in str(error)


@fuzzed
@given(bent(PICTURES))
@example(b"")
def test_a_bent_picture_is_read_or_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "photo"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            pixels = read_image(path)
        except UserError as error:
            assert one_line(error) and str(path) in str(error)
        else:
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)


def _replace_one(draw: st.DrawFn, value: object) -> object:
    """Return a copy of a tree of lists and mappings with one part exchanged for something else."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value, key=str)))
        what = draw(st.sampled_from(["below", "below", "below", "drop", "rename"]))
        changed = dict(value)
        old = changed.pop(key)
        if what == "rename":
            changed[draw(st.text(max_size=10) | st.integers())] = old
        elif what == "below":
            changed[key] = _replace_one(draw, old)
        return changed
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _replace_one(draw, value[place]), *value[place + 1 :]]
    return draw(nested)


@st.composite
def changed_tree(draw: st.DrawFn, source: bytes) -> bytes:
    """Return a YAML document in which one part stands for something else."""
    text = yaml.safe_dump(_replace_one(draw, yaml.safe_load(source)), allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


@fuzzed
@given(bent([BANK]) | changed_tree(BANK))
@example(b"background: &a [*a]")
@example(b"? [1, 2]\n: 3\n")
@example(b"? {a: 1}\n: 3\n")
@example(b"background: " + b"[" * 3000)
@example(b"groups: 2024-99-99\n")
def test_a_bent_bank_is_read_or_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bank.yaml"
    path.write_bytes(data)
    try:
        read_bank(path)
    except UserError as error:
        assert one_line(error) and str(path) in str(error)


@fuzzed
@given(bent([PARAMS]) | changed_tree(PARAMS))
@example(b"seed: &a [*a]")
@example(b"? [1, 2]\n: 3\n")
@example(b"? {a: 1}\n: 3\n")
@example(b"seed: " + b"[" * 3000)
@example(b"seed: 2024-99-99\n")
def test_bent_settings_are_read_or_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(data)
    try:
        load_params(path)
    except UserError as error:
        assert one_line(error) and str(path) in str(error)


@fuzzed
@given(bent([b'{"domain_word": "x", "classes": ["a"], "attributes": {}}']) | st.binary(max_size=30))
@example(b"[" * 100_000)
@example(b"1" * 5000)
def test_bent_json_is_read_or_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "prompts.json"
    path.write_bytes(data)
    for read in (read_json, load_prompts):
        try:
            read(path)
        except UserError as error:
            assert one_line(error) and str(path) in str(error)


ANSWERS = [
    json.dumps({"items": [{"name": "red", "phrase": "in red", "description": "so", "red": 1, "green": 2, "blue": 3}]}),
    json.dumps({"judgements": [{"number": 1, "reason": "so", "verdict": "feasible"}]}),
]


@st.composite
def answer_texts(draw: st.DrawFn) -> str:
    """Return what a language model might say: a right answer bent, JSON of another form, or any text."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return draw(bent([text.encode() for text in ANSWERS])).decode("utf-8", "surrogateescape")
    if kind == 1:
        value = _replace_one(draw, json.loads(draw(st.sampled_from(ANSWERS))))
        return "Sure! ```json\n" + json.dumps(value, default=str) + "\n```"
    return draw(st.text(st.characters(), max_size=80))


@fuzzed
@given(answer_texts())
@example('{"items": ' + "[" * 100_000)
@example('{"items": [{"name": 1' + "0" * 5000 + "}]}")
@example('{"items": [{"name": "\\ud800", "phrase": "\\udfff"}]}')
@example('{"judgements": [{"number": 1, "verdict": "feasible", "reason": "\\ud800"}]}')
def test_any_answer_gives_values_or_is_malformed(text: str) -> None:
    for attribute in ATTRIBUTES:
        try:
            specs, dropped = read_proposals(text, attribute, 1.0)
        except MalformedAnswerError as error:
            assert one_line(error)
        else:
            json.dumps([spec.model_dump() for spec in specs], allow_nan=False, ensure_ascii=False).encode()
            assert all(one_line(ValueError(part)) for pair in dropped for part in pair)
    try:
        judgements = read_judgements(text, 1)
    except MalformedAnswerError as error:
        assert one_line(error)
    else:
        json.dumps(judgements, ensure_ascii=False).encode()


def _manifest_bytes(folder: Path) -> bytes:
    path = folder / "whole.parquet"
    write_manifest(path, [ImageRecord("a/0", "a.png", "photo", "train", "a", 0, 1, 1, "00", "a/0")])
    return path.read_bytes()


@fuzzed
@given(st.data())
def test_a_bent_manifest_is_read_or_named(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "manifest.parquet"
    path.write_bytes(data.draw(bent([_manifest_bytes(tmp_path)])))
    try:
        read_manifest(path)
    except UserError as error:
        assert one_line(error) and str(path) in str(error)
