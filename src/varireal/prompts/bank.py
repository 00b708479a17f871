"""Curated lists of attributes in a YAML file: per attribute and feasibility a list for all classes or for single ones.

background:
  feasible:
    all:                 # every class without a list of its own
      - {name: runway, phrase: on a runway}
    glider:              # replaces `all` for this class
      - {name: meadow, phrase: on a meadow}
  infeasible:
    all: [...]
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, RootModel, ValidationError

from varireal.config import PromptConfig
from varireal.errors import UserError
from varireal.manifest import Attribute, Feasibility
from varireal.prompts.schema import AttributeSpec, ClassLists, PromptTable, describe_problems

logger = logging.getLogger(__name__)

ALL = "all"
MAX_BYTES = 1_000_000


class BankFile(RootModel[dict[Attribute, dict[Feasibility, ClassLists]]]):
    """The file as written."""

    model_config = ConfigDict(frozen=True)


class BankSource:
    """The prompt source `bank`."""

    def __init__(self, config: PromptConfig) -> None:
        self._path = Path(config.bank)
        if not self._path.is_file():
            raise UserError(f"prompt.bank: {self._path} does not exist; correct the path in params.yaml")

    def table(
        self, classes: Sequence[str], domain_word: str, needed: Mapping[Attribute, Sequence[Feasibility]]
    ) -> PromptTable:
        """Return the bank's lists for the classes of a data set.

        Everything the bank holds goes into the table, so that the table does not change with the grid.

        Args:
            needed: the lists the study's grid will ask for.

        Raises:
            UserError: the file is missing or wrong, or a class has no list.
        """
        lists = self._read().root
        for attribute, feasibilities in needed.items():
            for feasibility in feasibilities:
                if feasibility not in lists.get(attribute, {}):
                    raise UserError(
                        f"the bank {self._path} has no {attribute}.{feasibility}, which the grid of params.yaml asks "
                        "for; add the lists, or take it out of the grid"
                    )
        self._warn_of_other_classes(classes, lists)
        try:
            return PromptTable(
                domain_word=domain_word,
                classes=list(classes),
                attributes={
                    attribute: {
                        feasibility: {name: self._of_class(attribute, feasibility, by_class, name) for name in classes}
                        for feasibility, by_class in by_feasibility.items()
                    }
                    for attribute, by_feasibility in lists.items()
                },
            )
        except ValidationError as error:
            raise UserError(f"the bank {self._path}: {describe_problems(error)}; correct the file") from error

    def _of_class(self, attribute: str, feasibility: str, by_class: ClassLists, name: str) -> list[AttributeSpec]:
        if name not in by_class and ALL not in by_class:
            raise UserError(
                f"the bank {self._path} has no list for the class {name!r} in {attribute}.{feasibility}; add one under "
                f"its name, or a list '{ALL}' for every class without its own"
            )
        return by_class.get(name, by_class.get(ALL, []))

    def _warn_of_other_classes(
        self, classes: Sequence[str], lists: dict[Attribute, dict[Feasibility, ClassLists]]
    ) -> None:
        """Tell of lists that no class will use, which may be slips of the pen."""
        named = {name for lists_of in lists.values() for by_class in lists_of.values() for name in by_class}
        for name in sorted(named - {ALL} - set(classes)):
            close = difflib.get_close_matches(name, classes, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            logger.warning("the bank %s has lists for %r, which is no class here%s", self._path, name, hint)

    def _read(self) -> BankFile:
        import yaml

        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise UserError(f"the bank {self._path} is larger than {MAX_BYTES:,} bytes; is it the right file?")
            text = self._path.read_text(encoding="utf-8")
            raw: Any = yaml.load(text, Loader=_unique_keys_loader())
            return BankFile.model_validate(raw)
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise UserError(f"the bank {self._path} is not valid YAML: {' '.join(str(error).split())[:300]}") from error
        except ValidationError as error:
            raise UserError(f"the bank {self._path}: {describe_problems(error)}; correct the file") from error


def _unique_keys_loader() -> type:
    """Return PyYAML's safe loader, made to refuse a key that stands twice (it would silently keep the last)."""
    import yaml

    class UniqueKeys(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in keys:
                if keys.count(key) > 1 and key != "<<":
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands twice in one place", node.start_mark
                    )
            return super().construct_mapping(node, deep)

    return UniqueKeys
