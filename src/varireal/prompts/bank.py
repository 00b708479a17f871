"""Curated lists of attributes in a YAML file: per attribute and feasibility a list for all classes or for some.

groups:                  # optional: classes that share lists; no class may be in two
  sailplanes: [glider, motor glider]
weights:                 # optional: emphasis of values that name no weight of their own
  background: 1.2
background:
  feasible:
    all:                 # every class without a list of its own
      - {name: runway, phrase: on a runway}
    sailplanes:          # replaces `all` for the classes of this group
      - {name: meadow, phrase: on a meadow}
    glider:              # replaces both for this class
      - {name: hill, phrase: on a grassy hill}
  infeasible:
    all: [...]

Names of classes are compared without regard to case and to signs other than letters and digits, since data sets write
them as `Shiba Inu`, `shiba_inu` or `F-16A/B`.
"""

from __future__ import annotations

import difflib
import functools
import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from varireal.base.files import read_yaml
from varireal.base.manifest import Attribute, Feasibility
from varireal.config import ComputeConfig, PromptConfig
from varireal.errors import UserError
from varireal.prompts.schema import AttributeSpec, ClassLists, PromptTable, describe_problems

logger = logging.getLogger(__name__)

ALL = "all"
MAX_BYTES = 1_000_000
Weight = Annotated[float, Field(gt=0, le=3)]


def plain(class_name: str) -> str:
    """Return a class name as it is compared: ``plain("F-16A/B") == plain("f_16a b") == "f 16a b"``.

    Accents and vowel signs belong to their letters however they are composed; a name of signs alone is compared whole.
    """
    name = unicodedata.normalize("NFC", class_name.casefold())
    kept = (letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in name)
    return " ".join("".join(kept).split()) or name


class Groups:
    """Tells which classes share lists."""

    def __init__(self, members: Mapping[str, Sequence[str]] | None = None) -> None:
        self._group = {plain(name): group for group, names in (members or {}).items() for name in names}

    def group_of(self, class_name: str) -> str | None:
        """Return the name of the class's group, or None."""
        return self._group.get(plain(class_name))

    def closest(self, class_name: str) -> str | None:
        """Return the grouped class whose name is most like this one, or None if none is like it."""
        return next(iter(difflib.get_close_matches(plain(class_name), self._group, n=1)), None)


class BankFile(BaseModel):
    """Holds the file as written, its lists gathered under one key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group_members: dict[str, Annotated[list[str], Field(min_length=1)]] = Field({}, alias="groups")
    weights: dict[Attribute, Weight] = {}
    lists: dict[Attribute, dict[Feasibility, ClassLists]]

    @functools.cached_property
    def groups(self) -> Groups:
        """Return the groups, ready for look-ups."""
        return Groups(self.group_members)

    @model_validator(mode="after")
    def _groups_are_apart(self) -> BankFile:
        members = Counter(plain(name) for names in self.group_members.values() for name in names)
        for name, count in members.items():
            if count > 1:
                raise ValueError(f"groups name the class {name!r} {count} times; each class may be in one group")
        for group in self.group_members:
            if group == ALL or plain(group) in members:
                raise ValueError(f"the group {group!r} has the name of a class or of the list for all; rename it")
        return self

    @model_validator(mode="after")
    def _lists_are_of_known_classes(self) -> BankFile:
        """Refuse slips of the pen; without groups the bank does not say which classes there are."""
        members = [plain(name) for names in self.group_members.values() for name in names]
        if not members:
            return self
        for key in sorted({key for kinds in self.lists.values() for by_class in kinds.values() for key in by_class}):
            if key != ALL and key not in self.group_members and plain(key) not in members:
                close = difflib.get_close_matches(key, [*self.group_members, *members], n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise ValueError(f"there are lists for {key!r}, which is neither a group nor a class in one{hint}")
        return self


def read_bank(path: Path) -> BankFile:
    """Read a bank.

    Raises:
        UserError: the file is missing, too large, no YAML, or breaks a rule.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"the bank {path} is larger than {MAX_BYTES:,} bytes; is it the right file?")
        raw = read_yaml(path)
        if not isinstance(raw, dict):
            raise UserError(f"the bank {path} holds no lists; it begins with an attribute such as 'background:'")
        apart = {key: raw[key] for key in ("groups", "weights") if key in raw}
        lists = {key: value for key, value in raw.items() if key not in apart}
        return BankFile.model_validate({**apart, "lists": lists})
    except OSError as error:
        raise UserError(f"the bank {path} cannot be read ({error.strerror}); correct prompt.bank") from error
    except ValidationError as error:
        raise UserError(f"the bank {path}: {describe_problems(error, hidden=('lists',))}; correct the file") from error


class BankSource:
    """Takes the lists from a file: the prompt source `bank`."""

    def __init__(self, config: PromptConfig, compute: ComputeConfig, seed: int) -> None:
        self._path = Path(config.bank)
        if not self._path.is_file():
            raise UserError(f"prompt.bank: {self._path} does not exist; correct the path in params.yaml")

    def documents(self) -> dict[str, Any]:
        """Return nothing: the bank itself says where the lists come from."""
        return {}

    def summary(self) -> None:
        """Return None: reading a file takes nothing worth telling."""

    def table(
        self,
        classes: Sequence[str],
        domain_word: str,
        needed: Mapping[Attribute, Sequence[Feasibility]],
        *,
        warn: bool = True,
    ) -> PromptTable:
        """Return the bank's lists for the classes of a data set.

        Everything the bank holds goes into the table, so that the table does not change with the grid.

        Args:
            needed: the lists the study's grid will ask for.
            warn: of classes and lists that do not belong together.

        Raises:
            UserError: the file is missing or wrong, or a class has no list.
        """
        bank = read_bank(self._path)
        for attribute, feasibilities in needed.items():
            for feasibility in feasibilities:
                if feasibility not in bank.lists.get(attribute, {}):
                    raise UserError(
                        f"the bank {self._path} has no {attribute}.{feasibility}, which the grid of params.yaml asks "
                        "for; add the lists, or take it out of the grid"
                    )
        if warn:
            self._warn_of_other_classes(classes, bank)
        try:
            return PromptTable(
                domain_word=domain_word,
                classes=list(classes),
                attributes={
                    attribute: {
                        feasibility: {
                            name: self._of_class(bank, attribute, feasibility, by_class, name) for name in classes
                        }
                        for feasibility, by_class in by_feasibility.items()
                    }
                    for attribute, by_feasibility in bank.lists.items()
                },
            )
        except ValidationError as error:
            raise UserError(f"the bank {self._path}: {describe_problems(error)}; correct the file") from error

    def _of_class(
        self, bank: BankFile, attribute: Attribute, feasibility: Feasibility, by_class: ClassLists, name: str
    ) -> list[AttributeSpec]:
        """Return the list of the class itself, else of its group, else of all classes."""
        group = bank.groups.group_of(name)
        own = (key for key in by_class if key not in (ALL, *bank.group_members) and plain(key) == plain(name))
        key = next(own, group if group in by_class else ALL)
        specs = by_class.get(key)
        if not specs:
            close = None if group else bank.groups.closest(name)
            hint = f" (its groups have {close!r}: is that the class?)" if close else ""
            raise UserError(
                f"the bank {self._path} has no list for the class {name!r} in {attribute}.{feasibility}{hint}; add one "
                f"under its name, or a list '{ALL}' for every class without its own"
            )
        weight = bank.weights.get(attribute)
        if weight is None:
            return specs
        return [
            spec if "weight" in spec.model_fields_set else spec.model_copy(update={"weight": weight}) for spec in specs
        ]

    def _warn_of_other_classes(self, classes: Sequence[str], bank: BankFile) -> None:
        """Tell of lists that no class will use, which may be slips of the pen, and of classes outside the groups."""
        known = {plain(name) for name in classes}
        if bank.group_members:
            for name in classes:
                if bank.groups.group_of(name) is None:
                    logger.warning(
                        "the class %r is in no group of the bank %s; it gets the lists for all", name, self._path
                    )
            return
        named = {name for lists_of in bank.lists.values() for by_class in lists_of.values() for name in by_class}
        for name in sorted(name for name in named - {ALL} if plain(name) not in known):
            close = difflib.get_close_matches(name, classes, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            logger.warning("the bank %s has lists for %r, which is no class here%s", self._path, name, hint)
