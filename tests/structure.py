"""The structure of the source in figures: `python -m tests.structure [CHECKOUT]` prints them; tests use its parts.

A room is a module or folder directly below ``src/varireal``; an arrow leads from a room or module to one it imports.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import networkx

SHORT = 60  # lines


def python_files(folder: Path) -> list[Path]:
    """Return all Python files below a folder, sorted."""
    return sorted(folder.rglob("*.py"))


def module_of(path: Path, sources: Path) -> str:
    """Return the dotted name of a file below ``src``."""
    return ".".join(path.relative_to(sources).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """Return the room of a module; a package beside varireal is one room."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] or "__init__" if package == "varireal" else package


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


def module_arrows(sources: Path) -> dict[str, set[str]]:
    """Return, for every module below ``src``, the modules there that it imports."""
    modules = {module_of(path, sources): ast.parse(path.read_text(encoding="utf-8")) for path in python_files(sources)}
    return {
        name: {target for target, _ in imports(tree) if target in modules} - {name} for name, tree in modules.items()
    }


def room_arrows(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return, for every room, the other rooms that it imports; errors and paths, which all may use, included."""
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, targets in arrows.items():
        rooms[room_of(module)] |= {room_of(target) for target in targets} - {room_of(module), "__init__"}
    return dict(rooms)


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules or rooms that import each other round a circle."""
    graph = networkx.DiGraph([(start, end) for start, ends in arrows.items() for end in ends])
    return sorted(sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1)


def longest_function(files: list[Path]) -> tuple[int, str]:
    """Return the lines of the longest function, and where it stands."""
    return max(
        (int(node.end_lineno or 0) - node.lineno + 1, f"{path.name}:{node.name}")
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def lines_of(files: list[Path]) -> list[int]:
    """Return the number of lines of each file."""
    return [len(path.read_text(encoding="utf-8").splitlines()) for path in files]


def main(checkout: Path) -> None:
    """Print the figures of a checkout."""
    sources = checkout / "src"
    files = python_files(sources)
    lines = lines_of(files)
    arrows = module_arrows(sources)
    rooms = room_arrows(arrows)
    inside = [room for room in rooms if not room.startswith(("varireal", "__init__"))]
    thin = {name: sum(lines_of(python_files(sources / "varireal" / name))) for name in ("stages", "commands")}
    figures = {
        "rooms at the top level": len(inside),
        "modules": len(files),
        "lines of src": sum(lines),
        "lines of tests": sum(lines_of(python_files(checkout / "tests"))),
        "median lines of a module": statistics.median(lines),
        f"modules under {SHORT} lines": sum(count < SHORT for count in lines),
        "arrows between rooms": sum(len(rooms[room]) for room in inside),
        "arrows between modules": sum(map(len, arrows.values())),
        "circles of modules": circles(arrows),
        "circles of rooms": circles(rooms),
        "longest function": " lines, ".join(map(str, longest_function(files))),
        "lines of stages and commands": f"{thin['stages']} + {thin['commands']}",
    }
    for name, value in figures.items():
        print(f"{name:>30}  {value}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
