"""The source `openai` against a real server: the lists, what is kept, and every way in which an endpoint can fail."""

import email.utils
import json
import re
import time
from pathlib import Path

import pytest
from tests.prompts.llm.server import POOLS, body, cuts, good_text, proposal, says, sleeps, status, wraps

from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.prompts import SOURCES

CLASSES = ["cat", "dog"]
BOTH = ["feasible", "infeasible"]
PLACES = {"background": BOTH}


def make(config, **changes):
    return SOURCES["openai"](config(**changes), ComputeConfig(), seed=0)


def names(table, attribute="background", class_name="cat"):
    return {kind: [spec.name for spec in table.specs(attribute, kind, class_name)] for kind in BOTH}


def refused(source, said, needed=PLACES):
    with pytest.raises(UserError, match=said) as caught:
        source.table(CLASSES, "pet", needed)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    return str(caught.value)


def test_lists_hold_what_both_passes_agree_on(endpoint, config):
    table = make(config).table(CLASSES, "pet", dict.fromkeys(POOLS, BOTH))
    for attribute, pool in POOLS.items():
        for class_name in CLASSES:
            assert names(table, attribute, class_name) == {kind: pool[kind][:3] for kind in BOTH}
    spec = table.specs("background", "feasible", "dog")[0]
    assert (spec.phrase, spec.description, spec.weight) == ("in a meadow", "a look at meadow", 1.2)
    assert table.specs("color", "feasible", "dog")[1].rgb == (40, 210, 10)
    assert table.specs("texture", "infeasible", "cat")[0].phrase == "brick textured"
    assert len(endpoint.requests) == 9  # per attribute: two proposals, one judgement


def test_the_request_is_of_the_protocol_with_a_strict_schema(endpoint, config, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    make(config, api_key_variable="MY_KEY").table(CLASSES, "pet", PLACES)
    path, headers, request = endpoint.requests[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer sk-secret"
    assert (request["model"], request["temperature"], request["max_tokens"]) == ("test-model", 0.7, 8000)
    assert 0 <= request["seed"] < 2**31
    form = request["response_format"]["json_schema"]
    item = form["schema"]["properties"]["items"]["items"]
    assert form["strict"] is True and item["additionalProperties"] is False
    assert item["required"] == ["name", "phrase", "description"]
    assert "List exactly 4 different" in request["messages"][1]["content"]  # three and a quarter to spare


def test_settings_for_other_endpoints_change_the_request(endpoint, config):
    changes = {"response_format": "none", "token_limit_name": "max_completion_tokens", "temperature": None,
               "send_seed": False, "critic_model": "judge-model"}  # fmt: skip
    make(config, **changes).table(CLASSES, "pet", PLACES)
    first, *_, last = [request for _, _, request in endpoint.requests]
    assert set(first) == {"model", "messages", "max_completion_tokens"}
    assert (first["model"], last["model"]) == ("test-model", "judge-model")
    assert all("Authorization" not in headers for _, headers, _ in endpoint.requests)


def test_the_critic_does_not_see_what_was_meant(endpoint, config):
    make(config).table(CLASSES, "pet", PLACES)
    shown = re.findall(r"^\d+\. in a (.+)$", endpoint.requests[2][2]["messages"][1]["content"], re.M)
    pool = POOLS["background"]
    assert sorted(shown) == sorted(pool["feasible"][:4] + pool["infeasible"][:4])
    assert shown not in ([*pool["feasible"][:4], *pool["infeasible"][:4]], sorted(shown))


def test_values_that_the_critic_judges_otherwise_are_replaced(endpoint, config):
    def stern(handler, request):
        judged = json.loads(good_text(request))
        if "judgements" in judged:
            doomed = re.search(r"^(\d+)\. in a meadow$", request["messages"][1]["content"], re.M)
            for one in judged["judgements"]:
                if doomed and one["number"] == int(doomed.group(1)):
                    one |= {"verdict": "unsure", "reason": "never seen"}
        handler.send(200, body(json.dumps(judged)))

    endpoint.default = stern
    source = make(config)
    assert names(source.table(CLASSES, "pet", PLACES))["feasible"] == ["beach", "kitchen", "garden"]
    assert [(drop["what"], drop["why"], drop["detail"]) for drop in source.documents()["dropped.json"]] == [
        ("meadow", "judged otherwise", "unsure: never seen")
    ]


def test_near_duplicates_are_dropped_and_another_round_fills_the_gap(endpoint, config):
    twins = [proposal("background", name) for name in ("meadow", "the meadows", "meadow", "beach")]
    endpoint.tricks = [says(json.dumps({"items": twins}))]
    source = make(config)
    assert names(source.table(CLASSES, "pet", PLACES))["feasible"] == ["meadow", "beach", "kitchen"]
    why = [(drop["what"], drop["why"]) for drop in source.documents()["dropped.json"]]
    assert why[:2] == [("the meadows", "duplicate"), ("meadow", "duplicate")]


def test_each_class_gets_its_own_questions(endpoint, config):
    make(config, scope=dict.fromkeys(POOLS, "class")).table(CLASSES, "pet", PLACES)
    asked = [request["messages"][1]["content"] for _, _, request in endpoint.requests]
    assert sum('class "cat"' in question for question in asked) == 3
    assert sum('class "dog"' in question for question in asked) == 3


def test_groups_of_the_bank_share_questions(endpoint, config, tmp_path):
    bank = tmp_path / "bank.yaml"
    bank.write_text("groups: {felines: [Cat, lynx], canines: [dog]}\nbackground: {}\n")
    scope = dict.fromkeys(POOLS, "group")
    make(config, scope=scope, bank=str(bank)).table(["cat", "LYNX", "dog"], "pet", PLACES)
    asked = [request["messages"][1]["content"] for _, _, request in endpoint.requests]
    assert len(asked) == 6 and sum('any of these classes: "cat", "LYNX"' in question for question in asked) == 3
    source = make(config, scope=scope, bank=str(bank))
    with pytest.raises(UserError, match=r"the class 'hamster' is in no group of the bank .*bank\.yaml"):
        source.table(["hamster"], "pet", PLACES)


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


HOSTILE = ["../../etc/passwd", "/etc", "C:\\con", "<script>alert(1)</script>", "a\nb", "\u202egnp.exe", "\x1b[2J", "",
           "x" * 61, "$(reboot)", "https://example.org", "{{ config }}", ".hidden", "\ud800"]  # fmt: skip


def test_hostile_values_are_dropped_one_by_one_and_told(endpoint, config):
    items = [proposal("background", name) for name in HOSTILE]
    items += [{**proposal("background", "beach"), "phrase": "in <b>a beach</b>"}]
    items += [{**proposal("background", "garden"), "description": "see http://example.org"}]
    items += [proposal("background", name) for name in ("meadow", "kitchen", "forest")]
    endpoint.tricks = [says(json.dumps({"items": items}))]
    source = make(config)
    assert names(source.table(CLASSES, "pet", PLACES))["feasible"] == ["meadow", "kitchen", "forest"]
    dropped = source.documents()["dropped.json"]
    assert sum(drop["why"] == "invalid" for drop in dropped) == len(HOSTILE) + 2
    assert all(drop["what"].isprintable() and drop["detail"].isprintable() for drop in dropped)


def test_colors_outside_of_the_range_are_dropped(endpoint, config):
    items = [proposal("color", name, position) for position, name in enumerate(["black", "white", "grey", "cream"])]
    items[0]["red"], items[1]["green"], items[2]["blue"] = 256, -1, 2.5
    endpoint.tricks = [says(json.dumps({"items": items}))]
    source = make(config)
    table = source.table(CLASSES, "pet", {"color": BOTH})
    assert names(table, "color")["feasible"] == ["cream", "black", "white"]
    assert [drop["why"] for drop in source.documents()["dropped.json"]][:3] == ["invalid"] * 3


def test_judgements_must_name_each_number_once(endpoint, config):
    def forgets(handler, request):
        judged = json.loads(good_text(request))
        handler.send(200, body(json.dumps({"judgements": judged["judgements"][1:] + judged["judgements"][-1:]})))

    endpoint.tricks = [wraps(str), wraps(str), forgets]
    source = make(config)
    source.table(CLASSES, "pet", PLACES)
    rejected = [record["rejected"] for name, record in source.documents().items() if name.endswith("judge.json")]
    assert [one["problem"] for one in rejected[0]] == ["the answer judges 8 values, not each of 1 to 8 once"]


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


def test_an_endpoint_that_drips_its_answer_does_not_hold_the_run(endpoint, config):
    def drips(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b" " * 65536)
            time.sleep(0.1)

    endpoint.tricks = [drips]
    start = time.monotonic()
    make(config, timeout=0.5).table(CLASSES, "pet", PLACES)
    assert time.monotonic() - start < 1.5


def test_too_few_values_say_why(endpoint, config):
    endpoint.default = wraps(lambda text: text.replace('"feasible"', '"unsure"'))
    refused(
        make(config, max_rounds=2), r"background, feasible, all classes: 0 values are left after 2 rounds, at least 2"
    )


def test_fewer_values_than_asked_for_do_where_enough_are_left(endpoint, config):
    counts = {attribute: dict.fromkeys(BOTH, 8) for attribute in POOLS}
    pool = POOLS["background"]

    def runs_dry(handler, request):
        text = good_text(request)
        handler.send(
            200, body(text if '"items": []' not in text else json.dumps({"items": [proposal("background", "beach")]}))
        )

    endpoint.default = runs_dry
    table = make(config, counts=counts, min_share=0.7).table(CLASSES, "pet", PLACES)
    assert names(table) == pool


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


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://example.org/v1", "must begin with https"), ("example.org", "must begin with https"),
        ("https://", "must begin with https"), ("https://me:pw@example.org/v1", "must hold no password"),
        ("https://example.org/v1?key=1", "must hold no password"),
        ("http://example.org/v1", "unencrypted to example.org"),
        ("https://[broken/v1", "is no address"), ("https://example.org:port/v1", "is no address"),
    ],
)  # fmt: skip
def test_an_address_that_will_not_do_is_told_before_anything_is_sent(config, monkeypatch, address, said):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(UserError, match=said) as caught:
        make(config, base_url=address)
    assert "sk-secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_with_a_line_break_is_told_without_showing_it(config, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a\nsk-b")
    with pytest.raises(UserError, match="OPENAI_API_KEY holds signs that no key has"):
        make(config)


def test_passwords_of_netrc_are_not_sent(endpoint, config, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    make(config).table(CLASSES, "pet", PLACES)
    assert all("Authorization" not in headers for _, headers, _ in endpoint.requests)
