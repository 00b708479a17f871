"""The prompt lists of the study itself, read from a clone of its repository (Yiveen/SyntheticDataFeasibility).

Its lists are literals in Python files. They are parsed and never run, and nothing of them is kept in this repository:

* ``config/config_back.py``, ``config_color.py``, ``config_texture.py``: FEASIBLE_* and INFEASIBLE_*, by data set a list
  for all classes, or lists by class (textures of aircraft: by military and civilian);
* ``generator/color_gen.py``: COLORS, the RGB triple of every colour, and ``generator/base.py``: CATEGORY_MAP, which
  aircraft are military.

An entry is ``(name)weight`` or ``(name)weight: description``.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from varireal.base.files import sha256_file
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, Attribute, Feasibility
from varireal.config import ComputeConfig, PromptConfig
from varireal.errors import UserError
from varireal.prompts.bank import plain
from varireal.prompts.schema import AttributeSpec, ClassLists, PromptTable, describe_problems
from varireal.prompts.templates import article

MAX_BYTES = 2_000_000
BELOW = "VariReal/src"  # the lists' place in a clone
NAMES = {"stanford_cars": "cars"}  # data sets that the study calls otherwise
LISTS = {"background": ("config/config_back.py", "BACK"), "color": ("config/config_color.py", "COLOR"),
         "texture": ("config/config_texture.py", "TEXTURE")}  # fmt: skip
COLORS = ("generator/color_gen.py", "COLORS")
GROUPS = ("generator/base.py", "CATEGORY_MAP")
_ENTRY = re.compile(r"\(([^()]+)\)(\d+(?:\.\d+)?)\s*:?\s*")
# with which some names of places begin, so that they are phrases as they are
_WHERE = {"above", "among", "at", "atop", "behind", "below", "beneath", "beside", "by", "in", "inside", "near", "on",
          "over", "under", "within"}  # fmt: skip
_NO_PATH = re.compile(r'[/\\:*?"<>|]')


@dataclasses.dataclass(frozen=True)
class Value:
    """An entry of a list."""

    name: str
    weight: float
    description: str | None


def read_entry(text: str) -> list[Value]:
    """Return the values in an entry: one, or several where a comma was forgotten between entries.

    Raises:
        ValueError: it is not written as an entry.
    """
    heads = list(_ENTRY.finditer(text))
    if not heads or heads[0].start() != 0:
        raise ValueError(f"{text[:60]!r} is not written as (name)weight: description")
    ends = [head.start() for head in heads[1:]] + [len(text)]
    described = [text[head.end() : end].strip() or None for head, end in zip(heads, ends)]
    return [Value(head[1].strip(), float(head[2]), words) for head, words in zip(heads, described)]


class StudySource:
    """Takes the lists from a clone of the study's repository: the prompt source `study`."""

    def __init__(self, config: PromptConfig, compute: ComputeConfig, seed: int) -> None:
        folder = Path(str(config.study.folder))
        self._folder = folder / BELOW if (folder / BELOW).is_dir() else folder
        self._dataset = NAMES.get(str(config.study.dataset), str(config.study.dataset))
        self._parsed: dict[str, dict[str, Any]] = {}
        self._files: dict[str, str] = {}
        self._together: set[str] = set()
        self._repeated: set[str] = set()
        self._both: set[str] = set()
        self._uncoloured: set[str] = set()
        if not self._folder.is_dir():
            raise UserError(
                f"prompt.study.folder: {folder} does not exist; clone the study's repository and name its {BELOW}"
            )

    def documents(self) -> dict[str, Any]:
        """Return the files that were read, and what was read otherwise than it stands there."""
        found = {"run_together": self._together, "repeated": self._repeated, "feasible_and_infeasible": self._both}
        return {"study.json": {"files": self._files, **{key: sorted(values) for key, values in found.items()}}}

    def summary(self) -> str | None:
        """Say what was read otherwise than it stands there, or None."""
        counts = [
            (len(self._together), "entries that ran together were taken apart"),
            (len(self._repeated), "repeated ones were taken once"),
            (len(self._both), "infeasible ones that are feasible for the same class, too, were left out"),
        ]
        said = "; ".join(f"{count} {words}" for count, words in counts if count)
        return f"the study's lists: {said} (study.json beside prompts.json names them)" if said else None

    def table(
        self, classes: Sequence[str], domain_word: str, needed: Mapping[Attribute, Sequence[Feasibility]]
    ) -> PromptTable:
        """Return the study's lists for the classes of a data set.

        Args:
            needed: the lists the study's grid will ask for.

        Raises:
            UserError: a file or list is missing, or an entry is not written as the study writes them.
        """
        attributes = {}
        for attribute in ATTRIBUTES:
            lists: dict[Feasibility, dict[str, Any]] = {
                feasibility: self._lists(attribute, feasibility) for feasibility in FEASIBILITIES
            }
            if all(self._dataset in each for each in lists.values()):
                by_kind: dict[Feasibility, Any] = {kind: each[self._dataset] for kind, each in lists.items()}
                attributes[attribute] = self._of_classes(attribute, by_kind, classes)
            elif attribute in needed:
                known = ", ".join(sorted(set.intersection(*map(set, lists.values()))))
                raise UserError(
                    f"{self._path(LISTS[attribute][0])} has no lists for {self._dataset!r}, but for {known}; take "
                    f"{attribute} out of grid.attributes, or set prompt.source to bank"
                )
        if self._uncoloured:
            raise UserError(
                f"{self._path(COLORS[0])} has no RGB triple for {', '.join(sorted(self._uncoloured))}; add them to "
                f"{COLORS[1]} in your clone"
            )
        try:
            return PromptTable(domain_word=domain_word, classes=list(classes), attributes=attributes)
        except ValidationError as error:
            raise UserError(f"the study's lists in {self._folder}: {describe_problems(error)}") from error

    def _of_classes(
        self, attribute: Attribute, lists: Mapping[Feasibility, Any], classes: Sequence[str]
    ) -> dict[Feasibility, ClassLists]:
        """Return the values by feasibility and class; one that is feasible for a class is not infeasible as well."""
        table: dict[Feasibility, ClassLists] = {feasibility: {} for feasibility in FEASIBILITIES}
        for class_name in classes:
            seen: dict[str, Feasibility] = {}
            for feasibility in FEASIBILITIES:
                specs = table[feasibility][class_name] = []
                for value in self._values(attribute, feasibility, lists[feasibility], class_name):
                    name = _plain_name(value)
                    before = seen.get(name.casefold())
                    where = f"{attribute}: {name} ({class_name})"
                    if before is None:
                        seen[name.casefold()] = feasibility
                        specs.append(self._spec(attribute, value))
                    elif before == feasibility:
                        self._repeated.add(f"{feasibility} {where}")
                    else:
                        self._both.add(where)
        return table

    def _values(self, attribute: Attribute, feasibility: Feasibility, lists: Any, class_name: str) -> Iterator[Value]:
        """Yield the entries of a class: of the one list for all, of its own, or of its group."""
        name, variable = LISTS[attribute]
        where = f"{self._path(name)}: {feasibility.upper()}_{variable}[{self._dataset!r}]"
        entries = self._of_class(lists, class_name, where) if isinstance(lists, dict) else lists
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise UserError(f"{where} holds no list of texts for {class_name!r}; get the study's repository again")
        for entry in entries:
            try:
                values = read_entry(entry)
            except ValueError as error:
                raise UserError(f"{where}: {error}; get the study's repository again") from error
            if len(values) > 1:
                self._together.add(f"{attribute}: {' and '.join(value.name for value in values)}")
            yield from values

    def _of_class(self, lists: Mapping[str, Any], class_name: str, where: str) -> Any:
        by_class = {plain(name): entries for name, entries in lists.items()}
        if plain(class_name) in by_class:
            return by_class[plain(class_name)]
        groups = {plain(name): group for name, group in self._literal(*GROUPS).items()}
        group = groups.get(plain(class_name))
        if group is not None and group in lists:
            return lists[group]
        close = difflib.get_close_matches(plain(class_name), by_class, n=1)
        hint = f" (is it {close[0]!r}?)" if close else ""
        raise UserError(f"{where} has no list for the class {class_name!r}{hint}; is prompt.study.dataset right?")

    def _spec(self, attribute: Attribute, value: Value) -> AttributeSpec:
        rgb = None
        if attribute == "color":
            rgb = self._literal(*COLORS).get(value.name)
            if rgb is None:
                self._uncoloured.add(value.name)
                rgb = (0, 0, 0)  # for the moment: the table is refused
        try:
            return AttributeSpec(
                name=_plain_name(value),
                phrase=_phrase(attribute, value.name),
                description=value.description,
                weight=value.weight,
                rgb=rgb,
            )
        except ValidationError as error:
            raise UserError(f"the study's {attribute} {value.name!r}: {describe_problems(error)}") from error

    def _lists(self, attribute: Attribute, feasibility: Feasibility) -> dict[str, Any]:
        name, variable = LISTS[attribute]
        return self._literal(name, f"{feasibility.upper()}_{variable}")

    def _path(self, name: str) -> Path:
        return self._folder / name

    def _literal(self, name: str, variable: str) -> dict[str, Any]:
        """Return a dictionary that a file of the study assigns to a name, at its top or in a class."""
        if name not in self._parsed:
            self._parsed[name] = _assignments(self._path(name))
            self._files[name] = sha256_file(self._path(name))
        value = self._parsed[name].get(variable)
        if value is None:
            raise UserError(f"{self._path(name)} assigns no {variable}; is it the study's file?")
        if isinstance(value, ast.expr):
            try:
                value = self._parsed[name][variable] = ast.literal_eval(value)
            except (ValueError, TypeError, RecursionError, MemoryError) as error:
                raise UserError(f"{self._path(name)}: {variable} is no plain data; is it the study's file?") from error
        if not isinstance(value, dict):
            raise UserError(f"{self._path(name)}: {variable} is no dictionary; is it the study's file?")
        return value


def _plain_name(value: Value) -> str:
    return _NO_PATH.sub("-", value.name)


def _phrase(attribute: Attribute, name: str) -> str:
    """Return a value's name as it stands in the sentences of filters and priors, and in our own of an edit.

    The study's sentences take the bare name; after "the pet in this image", "city park" says nothing.
    """
    if attribute == "color":
        return name
    if attribute == "texture":
        return f"{name} textured"
    return name if name.partition(" ")[0].casefold() in _WHERE else f"in {article(f'{name} background')}"


def _assignments(path: Path) -> dict[str, Any]:
    """Return what a Python file assigns to names, at its top or in the bodies of its classes, unevaluated."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES:,} bytes; is it the study's file?")
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); prompt.study.folder must name {BELOW} of a clone of the "
            "study's repository"
        ) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is no Python ({type(error).__name__}); get the study's repository again") from error
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {
        target.id: node.value
        for body in bodies
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
