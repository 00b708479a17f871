"""The default study needs no extra; what needs one says so in one line, with the remedy."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.structure import imports, module_of, python_files

from varireal.compute.engines.ray import RayEngine
from varireal.config import load_params
from varireal.datasets.download import Archive, fetch
from varireal.errors import UserError
from varireal.prompts.llm.source import LlmSource
from varireal.rating.server import open_session
from varireal.serving.export.edits import EditSet
from varireal.serving.export.shards import write_shards

REPOSITORY = Path(__file__).parents[1]
MODULES = {module_of(path, REPOSITORY / "src"): path for path in python_files(REPOSITORY / "src")}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = {name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "dev"}
PLACES = {  # where the packages of extras may be imported; no stage of the default study leads there
    "flask": ("varireal.rating.",),
    "ray": ("varireal.compute.engines.ray",),
    "tenacity": ("varireal.prompts.llm.", "varireal.datasets.download"),
    "webdataset": ("varireal.serving.export.",),
}
BROUGHT = {  # by other packages, which need them by their own word
    "dvc_data": "dvc",
    "huggingface_hub": "transformers",
    "hydra": "dvc",
    "omegaconf": "dvc",
    "sqlalchemy": "mlflow",
    "tokenizers": "transformers",
    "urllib3": "requests",
    "werkzeug": "flask",
    "yaml": "pyyaml",
}


def distributions(lines: list[str]) -> set[str]:
    """Return the packages that requirements name, in lower case and with dashes."""
    return {re.match(r"[\w.-]+", line).group().lower().replace("_", "-") for line in lines}


def test_every_package_that_is_imported_is_a_dependency_or_an_extra_in_its_place():
    core = distributions(PROJECT["dependencies"])
    known = importlib.metadata.packages_distributions()
    for module, path in MODULES.items():
        for name, line in imports(ast.parse(path.read_text())):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top.startswith("varireal"):
                continue
            brings = {each.lower().replace("_", "-") for each in known.get(top, [])} | {BROUGHT.get(top)}
            in_place = any(module.startswith(place) for place in PLACES.get(BROUGHT.get(top, top), ()))
            assert brings & core or in_place, f"{path}:{line} imports {top}, which is no dependency"


def test_places_are_those_of_the_extras():
    assert distributions([line for lines in EXTRAS.values() for line in lines]) == set(PLACES)
    named = re.search(r"varireal\[(.*)\]", " ".join(PROJECT["optional-dependencies"]["dev"])).group(1)
    assert set(named.split(",")) == set(EXTRAS)


def test_without_the_extras_every_module_can_be_imported():
    modules = [name for name in MODULES if name.startswith("varireal.") and not name.endswith("__main__")]
    hide = f"import sys, importlib; sys.modules.update(dict.fromkeys({sorted(PLACES)}))"
    code = f"{hide}; [importlib.import_module(name) for name in {modules}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_named_with_the_remedy_and_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for package in PLACES:
        monkeypatch.setitem(sys.modules, package, None)
    params = load_params(REPOSITORY / "params.yaml")
    archive = Archive("http://127.0.0.1:9/photos.tar", "0", ("photos",))
    uses = {
        "download": lambda: fetch([archive], tmp_path),
        "export": lambda: write_shards(tmp_path, EditSet("color_mixed", (), (), "pets", "pet"), 1),
        "llm": lambda: LlmSource(params.prompt, None, 0),
        "rate": lambda: open_session(params, "anna", 1, ()).__enter__(),
        "ray": lambda: RayEngine(params.compute, ()),
    }
    for extra, use in uses.items():
        with pytest.raises(UserError, match=rf"pip install 'varireal\[{extra}\]'"):
            use()
    assert not list(tmp_path.iterdir())
