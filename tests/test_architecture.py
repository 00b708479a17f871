"""The package's rules that no other test would notice: one-way imports, no global random state, nothing heavy early."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "src"
FILES = sorted((SOURCES / "varireal").rglob("*.py"))
# a layer may import from its own and from those before it
LAYERS = [
    {"__init__", "archives", "errors", "io", "config", "seeding", "manifest", "work", "packs", "progress", "layout",
     "parallel", "processes", "interruption", "engines", "checkpoints", "devices", "text"},
    {"world", "datasets"},
    {"prompts", "segmentation"},
    {"clip"},
    {"editing"},
    {"filtering"},
    {"measuring"},
    {"mixing"},
    {"training"},
    {"serving"},
    {"exporting"},
    {"doctor"},
    {"evaluation"},
    {"rating"},
    {"reporting"},
    {"sweeping"},
    {"tracking"},
    {"pretraining"},
    {"stages"},
    {"cli"},
]  # fmt: skip
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
HEAVY = {"torch", "torchvision", "open_clip", "transformers", "diffusers", "peft", "mlflow", "pandas", "matplotlib",
         "sklearn", "scipy", "cv2"}  # fmt: skip
FORBIDDEN_CALLS = {
    "torch.manual_seed": "varireal.seeding",
    "np.random.seed": "varireal.seeding",
    "random.seed": "varireal.seeding",
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


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the dotted names that are imported anywhere in a module, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide where an arrow goes"
            yield node.module or "", node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_imports_run_one_way(path):
    own = RANK[part_of(path)]
    for name, line in imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] == "varireal" and len(parts) > 1 and parts[1] in RANK:
            # `varireal` run as a program ends in cli.run_command: the one arrow from a stage to cli, under its if
            if part_of(path) in ("stages", "pretraining") and name.startswith("varireal.cli"):
                continue
            assert RANK[parts[1]] <= own, f"{path}:{line} imports {name}, which lies above {part_of(path)}"


def test_every_part_has_its_layer():
    assert {part_of(path) for path in FILES} == set(RANK)


def test_parts_that_the_command_line_imports_load_nothing_slow_at_their_top():
    light = [path for path in FILES if RANK[part_of(path)] == 0 or part_of(path) in ("stages", "cli", "mixing", "clip")]
    for path in light:
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {name.split(".")[0] for node in tops for name, _ in imports(ast.Module([node], []))} & HEAVY
        assert not found, f"{path} imports {found} at its top"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCES).as_posix())
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
            if name.split(".")[0] in users and part_of(path) != "pretraining":
                users[name.split(".")[0]].add(path.relative_to(SOURCES / "varireal").as_posix())
    served = {"exporting/mlflow_folder.py", "exporting/served_model.py"}
    assert users["mlflow"] >= served and all(path.startswith("tracking/") for path in users["mlflow"] - served)
    assert users["diffusers"] == {"editing/networks.py", "editing/refine.py"}
