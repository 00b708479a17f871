"""What `dvc exp run` composes (.dvc/plugins): wrong settings are refused at once, nothing is lost without a word."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.exceptions import DvcException
from dvc.utils.hydra import compose_and_dump
from tests.tiny_repository import environment, run
from tests.tiny_study import change

REPOSITORY = Path(__file__).parents[1]
PLUGINS = REPOSITORY / ".dvc/plugins"  # loaded once in a process; they work on the folder that holds conf/
PARAMS = Path("params.yaml")
PIPELINE = """
stages:
  shares:
    cmd: python stage.py
    params: [mix, grid]
    metrics: [ratio.json: {cache: false}]
"""


STAGE = """
import yaml
from pathlib import Path

Path("ratio.json").write_text(str(yaml.safe_load(open("params.yaml"))["mix"]["ratio"]))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this project's settings, plugins and code, and one quick stage."""
    root = tmp_path_factory.mktemp("checkout")
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "tmp", "cache")
    for name in ("conf", ".dvc", "src"):
        shutil.copytree(REPOSITORY / name, root / name, ignore=leave)
    for name in ("params.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "stage.py").write_text(STAGE)
    return root


@pytest.fixture
def here(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, a copy of the checkout."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(checkout, tmp_path, dirs_exist_ok=True)
    yield tmp_path
    if (plugin := sys.modules.get("hydra_plugins.settings")) is not None:
        plugin._told.clear()  # it says nothing twice


def compose(*overrides: str) -> None:
    compose_and_dump("params.yaml", str(Path("conf").resolve()), None, "config.yaml", str(PLUGINS), list(overrides))


def warning(caplog: pytest.LogCaptureFixture, *overrides: str) -> str:
    """Return what composing says, one line at most."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compose(*overrides)
    assert len(caplog.messages) <= 1
    return "".join(caplog.messages)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mix.ratio=1.5", "mix.ratio = 1.5: input should be less than or equal to 1; nothing was changed"),
        ("grid.seeds=3", "grid.seeds = 3: input should be a valid"),
        ("mix.ratoi=0.5", "unknown key mix.ratoi; did you mean ratio? allowed here: "),
        ("+mix.ratoi=0.5", "unknown key mix.ratoi; did you mean ratio? allowed here: "),
        ("mixx.ratio=0.5", "unknown key mixx; did you mean mix? allowed here: "),
        ("prompt.llm.model=name", "prompt.llm.model is left out in conf/, so it must be added: -S '+prompt."),
        ("dataset=oxford_pet", "dataset=oxford_pet: there is no such choice; did you mean oxford_pets? allowed: fgvc_"),
        ("mix.ratio=[1", "the settings cannot be composed: no viable alternative at input '[1'; nothing was changed"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_before_anything_is_written(here: Path, override: str, message: str) -> None:
    before = PARAMS.read_bytes()
    with pytest.raises(DvcException) as caught:
        compose(override)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert PARAMS.read_bytes() == before


def test_settings_as_conf_has_them_and_those_of_this_run_cost_no_word(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert warning(caplog, "mix.ratio=0.25", "train.lora.r=4") == ""
    assert yaml.safe_load(PARAMS.read_text())["mix"]["ratio"] == 0.25
    assert warning(caplog, "mix.ratio=0.5", "train.lora={r:4}") == ""  # set once more, to the default too
    assert warning(caplog, "clip.model=local-dir:models/demo/clip").startswith("params.yaml is composed")  # lora.r


def test_what_params_held_beside_conf_is_named_with_the_way_to_keep_it(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(mix__ratio=0.25, grid__seeds=[0, 1], prompt__llm={"model": "a name"}, watch__photos="elsewhere")
    held = yaml.safe_load(PARAMS.read_text())
    said = warning(caplog, "grid.attributes=[color]")
    assert said == (
        "params.yaml is composed from conf/ anew and loses grid.seeds=[0,1] (now [0,1,2]), mix.ratio=0.25 (now 0.5), "
        "prompt.llm.model=\"a name\" (now unset); to keep it add -S 'grid.seeds=[0,1]' -S mix.ratio=0.25 "
        "-S '+prompt.llm.model=\"a name\"', or set it in conf/"
    )
    PARAMS.write_text(yaml.safe_dump(held))
    assert warning(caplog, '+prompt.llm.model="a name"', "mix.ratio=0.25", "grid.seeds=[0,1]") == ""  # as it says
    kept = yaml.safe_load(PARAMS.read_text())
    assert {**kept, "watch": held["watch"]} == held


def test_groups_that_were_chosen_before_are_named_as_groups(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    compose("dataset=oxford_pets", "models=sdxl", "grid.attributes=[color]")
    held = PARAMS.read_bytes()
    said = warning(caplog, "mix.ratio=0.25")
    assert said == (
        "params.yaml is composed from conf/ anew and loses dataset=oxford_pets (now rendered_aircraft), "
        'models=sdxl (now demo), grid.attributes=["color"] (now ["background","color","texture"]), '
        'grid.control_attributes=["color"] (now ["background"]); to keep it add -S dataset=oxford_pets -S models=sdxl '
        "-S 'grid.attributes=[\"color\"]' -S 'grid.control_attributes=[\"color\"]', or set it in conf/"
    )
    PARAMS.write_bytes(held)
    assert "dataset" not in warning(caplog, "dataset=stanford_cars", "models=sdxl")  # chosen anew


def test_photos_that_git_would_commit_are_refused(here: Path) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    for folder in ("own", "photos"):
        Path(folder, "cat").mkdir(parents=True)
        Path(folder, "cat", "1.jpg").write_bytes(b"x")
    before = PARAMS.read_bytes()
    with pytest.raises(
        DvcException, match=r"dataset\.root = 'own' lies in this repository, and git would commit its 1"
    ):
        compose("dataset=image_folder", "dataset.root=own", "dataset.masks_root=null")
    assert PARAMS.read_bytes() == before
    compose("dataset=image_folder", "dataset.root=photos", "dataset.masks_root=null")


def test_a_file_that_holds_no_settings_is_named(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    PARAMS.write_text("<<<<<<< ours\n")
    assert warning(caplog) == "params.yaml holds no settings and is written anew from conf/"


@pytest.mark.slow
def test_dvc_refuses_before_it_touches_anything_and_warns_of_an_applied_experiments_settings(here: Path) -> None:
    def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["dvc", *arguments], capture_output=True, text=True, env=environment(), timeout=120)

    def state() -> list[bytes | str]:
        return [PARAMS.read_bytes(), Path("ratio.json").read_bytes(), run("git", "status", "--porcelain")]

    for command in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "start"]):
        run(*command)
    assert dvc("exp", "run", "-S", "mix.ratio=0.25").returncode == 0
    assert Path("ratio.json").read_text() == "0.25"
    before = state()
    for line, *arguments in (
        ("mix.ratio = 1.5: input should be less than or equal to 1", "-S", "mix.ratio=1.5"),
        (
            "unknown key mix.ratoi; did you mean ratio? allowed here: images_per_class,",
            "--queue",
            "-S",
            "mix.ratoi=0.5",
        ),
    ):
        refused = dvc("exp", "run", *arguments)
        assert refused.returncode != 0 and refused.stderr.startswith(f"ERROR: {line}"), refused
        assert len(refused.stderr.splitlines()) == 1 and state() == before
    done = dvc("exp", "run", "-S", "grid.seeds=[0,1]")
    assert done.returncode == 0 and Path("ratio.json").read_text() == "0.5"
    assert "loses mix.ratio=0.25 (now 0.5); to keep it add -S mix.ratio=0.25, or set it in conf/" in done.stderr
