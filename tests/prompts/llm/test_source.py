"""The source `openai` against a real server: what it asks, and which values its lists hold."""

import json
import re

import pytest
from tests.prompts.llm.asking import BOTH, CLASSES, PLACES, make, names, refused
from tests.prompts.llm.server import POOLS, body, good_text, proposal, says, wraps

from varireal.errors import UserError


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
