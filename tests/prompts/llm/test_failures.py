"""The source `openai` against a server that fails: what is asked again, what ends the run in one line, and when."""

import email.utils
import json
import re
import threading
import time
from pathlib import Path

import pytest
from tests.prompts.llm.asking import BOTH, CLASSES, PLACES, make, names, refused
from tests.prompts.llm.server import POOLS, body, cuts, good_text, says, sleeps, status, wraps


@pytest.mark.parametrize(
    "trick",
    [
        status(500, b"<html>oops</html>"), status(503), status(429, Retry_After="0.05"), sleeps(2), cuts,
        says("I would rather talk about the weather."), says('{"items": [{"name": "mea', finish="length"),
        says('{"values": ["meadow"]}'), says('{"items": ["meadow", 7, null]}'), says('{"items": {}}'), says("[]"),
        says(None, refusal="I cannot help with that"), status(200, b"<html>log in to the network</html>"),
        status(200, b'{"error": {"message": "overloaded"}}'), status(200, b"{}"), says("{" * 100_000),
        says('{"items": [' + "[" * 100_000), says('{"items": [{"name": 1e999}]}'),
    ],
    ids=["500", "503", "429", "time-out", "cut", "chat", "cut answer", "other schema", "wrong items", "no list", "list",
         "refusal", "portal", "error in 200", "empty", "braces", "brackets", "number"],
)  # fmt: skip
def test_a_failure_that_passes_is_asked_again(endpoint, config, trick):
    endpoint.tricks = [trick]
    table = make(config, timeout=1.5, concurrency=1).table(CLASSES, "pet", PLACES)
    assert names(table) == {kind: POOLS["background"][kind][:3] for kind in BOTH}
    assert len(endpoint.requests) == 4
    first, again = (request for _, _, request in endpoint.requests[:2])
    assert first["messages"] == again["messages"] and first["seed"] != again["seed"]


@pytest.mark.parametrize(
    "change", [lambda text: f"Sure! Here it is:\n```json\n{text}\n```\nAnything else?", lambda text: f"\n  {text} }}"]
)
def test_words_around_the_json_do_no_harm(endpoint, config, change):
    endpoint.default = wraps(change)
    assert names(make(config).table(CLASSES, "pet", PLACES))["feasible"] == POOLS["background"]["feasible"][:3]
    assert len(endpoint.requests) == 3


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(endpoint, config):
    endpoint.tricks = [status(429, Retry_After="0.4")]
    start = time.monotonic()
    make(config).table(CLASSES, "pet", PLACES)
    assert time.monotonic() - start >= 0.4
    endpoint.tricks = [status(429, Retry_After=email.utils.formatdate(time.time() + 3600, usegmt=True))]
    message = refused(make(config, model="other"), r"asks to wait 3\d\d\d.* more than llm\.max_wait = 2 s")
    assert "finished answers are kept" in message


def test_waits_grow_from_attempt_to_attempt(endpoint, config, caplog):
    endpoint.tricks = [status(500)] * 4
    make(config, min_wait=0.02).table(CLASSES, "pet", PLACES)
    waits = [float(seconds) for seconds in re.findall(r"attempt \d of 5 in ([\d.]+) s", caplog.text)]
    assert len(waits) == 4 and waits[-1] >= 0.1  # 0.02 * 2**3 and jitter, shown with one decimal


@pytest.mark.parametrize(
    ("trick", "said"),
    [
        (status(401, b'{"error": {"message": "Incorrect API key provided: sk-secret\\nBye"}}'), "environment variable"),
        (status(403, b"no"), "answers 403: no; set the environment variable OPENAI_API_KEY"),
        (status(404, b'{"error": {"message": "model not found"}}'), "model not found; check llm.base_url"),
        (status(400, b'{"error": "response_format is not supported"}'), "see llm.response_format"),
        (status(302, Location="http://127.0.0.1:1/elsewhere"), "redirection, which is not followed"),
        (status(429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}'), "no credit left"),
    ],
)
def test_a_failure_that_stays_is_one_line_at_once(endpoint, config, monkeypatch, trick, said):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    endpoint.default = trick
    message = refused(make(config, concurrency=1), said, needed={"background": ["feasible"]})
    assert len(endpoint.requests) == 1
    assert "sk-secret" not in message


def test_a_server_that_is_not_there_is_told_after_the_attempts(config):
    refused(make(config, base_url="http://127.0.0.1:9/v1", max_attempts=2), "no usable answer in 2 attempts; .*:9/v1")


def test_answers_that_stay_malformed_are_kept_for_a_look(endpoint, config):
    endpoint.default = says("no JSON from me")
    message = refused(
        make(config, concurrency=1), "no usable answer in 5 attempts; the answer holds no JSON object: no"
    )
    assert len(endpoint.requests) == 5
    record = json.loads(Path(re.search(r"are in (\S+);", message).group(1)).read_text())
    assert [one["answer"]["choices"][0]["message"]["content"] for one in record["rejected"]] == ["no JSON from me"] * 5


@pytest.mark.parametrize("size", [1, 65536], ids="{} bytes a time".format)
def test_an_endpoint_that_drips_its_answer_does_not_hold_the_run(endpoint, config, caplog, size):
    """Each part comes in time, the whole answer never would; however busy the machine, the client hangs up first."""

    def drips(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", str(600 * size))
        handler.end_headers()
        try:
            for _ in range(600):
                handler.wfile.write(b" " * size)
                time.sleep(0.1)
        except ConnectionError:
            hung_up.set()

    hung_up = threading.Event()
    endpoint.tricks = [drips]
    table = make(config, timeout=1.0).table(CLASSES, "pet", PLACES)
    assert hung_up.wait(30) and "did not finish its answer within 1 s" in caplog.text
    assert names(table)["feasible"] == POOLS["background"]["feasible"][:3]


def in_parts(request):
    thought = {"type": "reasoning", "text": '{"items": [{"name": "draft"}]}'}
    return body([thought, {"type": "text", "text": good_text(request)}])


def in_the_reasoning(request):
    return body("", reasoning_content=good_text(request))


def after_a_draft(request):
    text = good_text(request)
    return body(f'<think>The form is {{"items": [...]}}: {{name, phrase}}.</think>\n```json\n{text}\n```')


def with_what_cannot_be_stored(request):
    return body(good_text(request))[:-1] + b', "logprobs": [-Infinity, NaN], "system_fingerprint": "\\ud83d"}'


@pytest.mark.parametrize("answer", [in_parts, in_the_reasoning, after_a_draft, with_what_cannot_be_stored])
def test_complete_answers_of_local_servers_are_used(endpoint, config, answer):
    endpoint.default = lambda handler, request: handler.send(200, answer(request))
    table = make(config, max_attempts=1).table(CLASSES, "pet", PLACES)
    assert names(table)["feasible"] == POOLS["background"]["feasible"][:3]


CALL = [{"id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (body(None), "the answer is empty; finish_reason stop"),
        (body("", "content_filter"), "the answer is empty; finish_reason content_filter"),
        (body(None, "tool_calls", tool_calls=CALL), "is empty; the model called the tool search, though none was off"),
        (body(None, refusal="I will not."), "no JSON object: I will not.; the model refused"),
        (body([{"type": "refusal", "refusal": "I will not."}]), "I will not.; the model refused"),
        (body("<think>So many places", "length"), r"ends within its reasoning.*\(cut off at llm.max_tokens\)"),
        (body("", "length", reasoning_content="So many"), r"reasoning only \(finish_reason length\) \(cut off at llm"),
        (b'{"error": {"message": "rate limited upstream", "code": 429}}', "200 with an error: rate limited upstream"),
        (b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', "as a stream, though none was asked for"),
        (b"<html><title>Sign in</title></html>", "not of the protocol's form: <html><title>Sign in"),
    ],
)
def test_an_answer_without_text_says_what_came_instead(endpoint, config, content, said):
    endpoint.default = lambda handler, _: handler.send(200, content)
    refused(make(config, concurrency=1, max_attempts=1), said, needed={"background": ["feasible"]})
