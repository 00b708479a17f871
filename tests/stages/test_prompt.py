import shutil
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from dvc.utils.hydra import compose_and_dump
from tests.prompts.llm.server import FakeEndpoint, status

from varireal import paths
from varireal.base.files import atomic_write_bytes
from varireal.base.manifest import ATTRIBUTES
from varireal.config import load_params
from varireal.errors import UserError
from varireal.prompts import load_prompts
from varireal.stages.prompt import command

REPOSITORY = Path(__file__).parents[2]


def prompt():
    return CliRunner().invoke(command, [], catch_exceptions=False)


@pytest.fixture
def bank(workspace, change_params):
    bank = workspace / "bank.yaml"
    bank.write_text((REPOSITORY / "data" / "banks" / "rendered_aircraft.yaml").read_text())
    change_params("prompt.bank", str(bank))
    return bank


def test_the_table_is_written_for_the_classes_of_the_data_set(bank):
    prompt()
    table = load_prompts(paths.PROMPTS)
    assert (table.domain_word, table.classes) == ("aircraft", ["trijet", "biplane", "glider"])
    assert len(table.specs("texture", "infeasible", "glider")) == 7


def test_the_table_does_not_change_with_the_grid(bank, change_params):
    prompt()
    before = paths.PROMPTS.read_bytes()
    change_params("grid.attributes", ["background", "texture"])
    prompt()
    assert paths.PROMPTS.read_bytes() == before


def test_a_bank_without_the_class_is_named_and_nothing_is_written(bank):
    bank.write_text(bank.read_text().replace("    all:", "    biplane:"))
    with pytest.raises(UserError, match=r"bank\.yaml has no list for the class 'trijet' in background\.feasible"):
        prompt()
    assert not paths.PROMPTS.exists()


def test_a_missing_bank_is_told_before_the_data_set_is_asked_for(bank):
    bank.unlink()
    paths.DATASET_INFO.unlink()
    with pytest.raises(UserError, match=r"prompt\.bank: .* does not exist"):
        prompt()


def test_a_missing_data_set_is_named(bank):
    paths.DATASET_INFO.unlink()
    with pytest.raises(UserError, match=r"dataset\.json is missing; run the stage"):
        prompt()


def test_a_spoilt_data_set_is_named(bank):
    atomic_write_bytes(paths.DATASET_INFO, b"{}")
    with pytest.raises(UserError, match=r"dataset\.json has another shape than expected \(it lacks classes"):
        prompt()


@pytest.fixture
def model_server(workspace, monkeypatch, change_params):
    """The lists of one cell come from a server that speaks the chat-completions protocol."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = FakeEndpoint()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    counts = {attribute: {"feasible": 3, "infeasible": 3} for attribute in ATTRIBUTES}
    change_params("prompt.source", "openai")
    change_params(
        "prompt.llm", {"model": "m", "base_url": server.url, "counts": counts, "min_wait": 0.01, "max_attempts": 2}
    )
    change_params("grid.attributes", ["background"])
    yield server
    server.shutdown()
    server.server_close()


def test_lists_of_a_language_model_are_written_with_their_answers(model_server):
    result = prompt()
    table = load_prompts(paths.PROMPTS)
    assert [spec.name for spec in table.specs("background", "infeasible", "glider")] == ["lava", "moon", "aquarium"]
    folder = paths.PROMPTS.parent
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")) == [
        "answers/0001-propose.json", "answers/0002-propose.json", "answers/0003-judge.json",
        "dropped.json", "prompts.json", "usage.json",
    ]  # fmt: skip
    assert result.stdout.startswith("6 values from 3 answers (3 asked now), ")
    assert "300 tokens in, 60 out\n" in result.stdout


def test_a_second_run_asks_nothing_and_writes_the_same(model_server):
    prompt()
    before = {path: path.read_bytes() for path in paths.PROMPTS.parent.rglob("*.json")}
    shutil.rmtree(paths.PROMPTS.parent)  # as DVC does before it runs a stage
    assert "(0 asked now)" in prompt().stdout
    assert {path: path.read_bytes() for path in paths.PROMPTS.parent.rglob("*.json")} == before
    assert len(model_server.requests) == 3


def test_a_run_that_fails_keeps_the_lists_that_were_there(model_server, change_params):
    prompt()
    before = paths.PROMPTS.read_bytes()
    change_params("seed", 7)
    model_server.default = status(503)
    with pytest.raises(UserError, match=r"no usable answer in 2 attempts; .* answers 503"):
        prompt()
    assert paths.PROMPTS.read_bytes() == before


def test_a_source_without_its_model_is_told(workspace, change_params):
    change_params("prompt.source", "openai")
    with pytest.raises(UserError, match=r"params\.yaml: prompt: source openai needs llm\.model"):
        prompt()


def test_dvc_can_set_the_model_on_its_command_line(tmp_path):
    target = tmp_path / "params.yaml"
    overrides = ["prompt.source=openai", "+prompt.llm.model=m", "+prompt.llm.base_url=https://example.org/v1"]
    compose_and_dump(target, str(REPOSITORY / "conf"), None, "config.yaml", str(REPOSITORY / ".dvc/plugins"), overrides)
    assert load_params(target).prompt.llm.model == "m"
