"""What the source `openai` keeps of every answer: an interrupted run goes on with it, and the outputs tell of it."""

import json
import re
import time

import pytest
from tests.prompts.llm.asking import BOTH, CLASSES, PLACES, make, refused
from tests.prompts.llm.server import POOLS, body, good_text, says, status, wraps


def test_an_interrupted_run_goes_on_where_it_stopped(endpoint, config):
    endpoint.tricks = [wraps(str), wraps(str), wraps(str), *[status(401)] * 9]
    needed = dict.fromkeys(("background", "color"), BOTH)
    refused(make(config, concurrency=1), "401", needed=needed)
    asked = len(endpoint.requests)
    endpoint.tricks = []
    source = make(config, concurrency=1)
    table = source.table(CLASSES, "pet", needed)
    assert len(endpoint.requests) == asked + 3  # the three questions about colours; the others were answered
    assert "from 6 answers (3 asked now)" in source.summary()
    again = make(config)
    assert again.table(CLASSES, "pet", needed) == table and len(endpoint.requests) == asked + 3
    assert again.documents() == source.documents()


def test_other_settings_are_other_questions(endpoint, config):
    make(config).table(CLASSES, "pet", PLACES)
    make(config, temperature=0.1).table(CLASSES, "pet", PLACES)
    assert len(endpoint.requests) == 6


def test_the_order_in_which_answers_come_changes_nothing(endpoint, config, tmp_path, monkeypatch):
    needed, scope = dict.fromkeys(POOLS, BOTH), dict.fromkeys(POOLS, "class")
    one = make(config, scope=scope, concurrency=1)
    first = one.table(CLASSES, "pet", needed)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    endpoint.default = lambda handler, request: (
        time.sleep(0.002 * (request["seed"] % 7)),
        handler.send(200, body(good_text(request))),
    )
    many = make(config, scope=scope, concurrency=6)
    assert many.table(CLASSES, "pet", needed) == first
    assert list(many.documents()) == list(one.documents())


def test_every_answer_is_stored_with_model_parameters_date_tokens_and_cost(endpoint, config, monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    endpoint.tricks = [says("nonsense")]
    source = make(config, concurrency=1, input_price=2.5, output_price=10.0)
    source.table(CLASSES, "pet", PLACES)
    documents = source.documents()
    assert [name for name in documents if name.startswith("answers/")] == [
        "answers/0001-propose.json", "answers/0002-propose.json", "answers/0003-judge.json"
    ]  # fmt: skip
    record = documents["answers/0001-propose.json"]
    assert record["model"] == "test-model" and record["parameters"]["temperature"] == 0.7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", record["date"])
    assert record["answer"]["choices"][0]["message"]["content"] == record["text"]
    assert record["rejected"][0]["answer"]["choices"][0]["message"]["content"] == "nonsense"
    usage = documents["usage.json"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (400, 80)  # four answers, one of them refused
    assert usage["cost"] == pytest.approx(400 * 2.5e-6 + 80 * 10e-6)
    assert (usage["answers"], usage["refused_answers"], usage["values"]) == (3, 1, 6)
    assert "400 tokens in, 80 out, cost 0.0018" in source.summary()
    assert "sk-secret" not in json.dumps(documents)
    kept = [path.read_text() for path in (tmp_path / ".work" / "prompt").rglob("answer.json")]
    assert len(kept) == 3 and "sk-secret" not in "".join(kept)
