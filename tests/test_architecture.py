"""The package's rules that no other test would notice: one-way imports, no global random state, nothing heavy early."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.structure import circles, imports, module_arrows, room_arrows

SOURCES = Path(__file__).parents[1] / "src"
FILES = sorted((SOURCES / "varireal").rglob("*.py"))
PRETRAINING = sorted((SOURCES / "varireal_pretraining").rglob("*.py"))  # a package above varireal
# a layer may import from its own folders and from those before it
LAYERS = [
    {"base", "errors", "paths", "tables"},
    {"config", "store"},
    {"compute", "cli"},  # the command's frame; it loads commands by name
    {"networks", "datasets"},
    {"prompts", "segmentation"},
    {"editing"},
    {"training", "measuring"},
    {"evaluation", "serving", "rating"},
    {"reporting", "doctor"},
    {"tracking", "sweeping", "settling", "starting", "previewing", "verifying"},
    {"stages", "commands"},
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer} | {"__init__": 0, "__main__": len(LAYERS)}
HEAVY = {"torch", "torchvision", "open_clip", "transformers", "diffusers", "peft", "mlflow", "pandas", "matplotlib",
         "sklearn", "scipy", "cv2"}  # fmt: skip
FORBIDDEN_CALLS = {
    "torch.manual_seed": "varireal.base.seeding",
    "np.random.seed": "varireal.base.seeding",
    "random.seed": "varireal.base.seeding",
    "os.listdir": "sorted(path.iterdir())",
    "torch.load": "safetensors",
    "pickle.load": "safetensors or JSON",
    "pickle.loads": "safetensors or JSON",
    "yaml.load": "yaml.safe_load",
    "eval": "a parser",
    "exec": "a function",
    "print": "logging, or click in a stage",
}


def part_of(path: Path) -> str:
    """Return the module or folder directly below varireal that a file belongs to."""
    return path.relative_to(SOURCES / "varireal").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_imports_run_one_way(path):
    own = RANK[part_of(path)]
    for name, line in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        assert parts[0] != "varireal_pretraining", f"{path}:{line} imports the package that is built on this one"
        if parts[0] == "varireal" and len(parts) > 1 and parts[1] in RANK:
            assert RANK[parts[1]] <= own, f"{path}:{line} imports {name}, which lies above {part_of(path)}"


def test_no_module_and_no_room_imports_itself_round_a_circle():
    arrows = module_arrows(SOURCES)
    assert len(arrows) > 200  # what reads them has not gone blind
    assert circles(arrows) == []
    assert circles(room_arrows(arrows)) == []


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_every_part_has_its_layer():
    assert {part_of(path) for path in FILES} == set(RANK)


def test_parts_that_the_command_line_imports_load_nothing_slow_at_their_top():
    light = {"base", "errors", "paths", "config", "store", "compute", "cli", "networks", "stages", "commands"}
    for path in (path for path in FILES if part_of(path) in light):
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {name.split(".")[0] for node in tops for name, _ in imports(ast.Module([node], []))} & HEAVY
        assert not found, f"{path} imports {found} at its top"


@pytest.mark.parametrize("path", [*FILES, *PRETRAINING], ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_forbidden_calls_do_not_occur(path):
    source = path.read_text()
    allowed = {"yaml.load"} if "yaml.SafeLoader" in source else set()  # a stricter loader made from the safe one
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in FORBIDDEN_CALLS.keys() - allowed:
            raise AssertionError(f"{path}:{node.lineno} calls {name}; use {FORBIDDEN_CALLS[name]}")


def test_only_tracking_and_the_exported_model_know_mlflow_and_only_two_editing_modules_know_diffusers():
    users: dict[str, set[str]] = {"mlflow": set(), "diffusers": set()}
    for path in FILES:
        for name, _ in imports(ast.parse(path.read_text())):
            if name.split(".")[0] in users:
                users[name.split(".")[0]].add(path.relative_to(SOURCES / "varireal").as_posix())
    served = {"serving/export/models.py", "serving/export/served_model.py"}
    assert users["mlflow"] >= served and all(path.startswith("tracking/") for path in users["mlflow"] - served)
    assert users["diffusers"] == {"editing/networks.py", "editing/refine.py"}
