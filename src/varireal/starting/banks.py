"""Which bank of attributes fits classes and pictures best."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, Attribute
from varireal.config import ComputeConfig, PromptConfig
from varireal.editing.pictures import FolderPictures
from varireal.errors import UserError
from varireal.prompts import PromptTable
from varireal.prompts.bank import ALL, BankFile, BankSource, plain, read_bank

logger = logging.getLogger(__name__)

BANKS = Path("data/banks")
WORD = re.compile(r"^#.*\bdataset\.domain_word: (\w+)", re.MULTILINE)  # in a bank's head, for whoever uses it
ENOUGH = 0.5  # share of the classes that a bank names, or of its pictures that are there, from which on it fits
OF_PICTURES: tuple[Attribute, ...] = ("background", "texture")  # attributes whose values are shown by pictures


@dataclasses.dataclass(frozen=True)
class BankFit:
    """How a bank fits."""

    path: Path
    domain_word: str | None
    named: int  # classes that it names
    classes: int
    attributes: tuple[Attribute, ...]  # of which it has lists, and the folder all pictures or most
    there: int  # values whose pictures are there
    missing: dict[Attribute, list[str]]  # values without a picture, of those attributes

    @property
    def share_of_pictures(self) -> float:
        """Return the share of the values whose pictures are there; 0 without any."""
        every = self.there + sum(map(len, self.missing.values()))
        return self.there / every if every else 0.0

    @property
    def fits(self) -> bool:
        """Return whether the bank is about these classes, or about these pictures."""
        return max(self.named / self.classes, self.share_of_pictures) >= ENOUGH

    def lines(self, pictures: Path | None) -> list[str]:
        """Return it in words."""
        lines = [
            f"Bank     {self.path}: names {self.named} of {self.classes} classes; edits {', '.join(self.attributes)}"
        ]
        if pictures is None:
            lines.append(
                "         no pictures of places and materials were given (--pictures), so colors alone are edited"
            )
            return lines
        lines.append(f"Pictures {pictures}: {self.there} of the bank's values have one")
        for attribute, names in self.missing.items():
            if names:
                lines.append(f"         missing in {attribute}/: {', '.join(names)}")
        return lines


def find_bank(classes: Sequence[str], pictures: Path | None, given: Path | None) -> BankFit | None:
    """Return the bank that is given, or the one in data/banks that fits best; None where none fits.

    Raises:
        UserError: a bank that is given cannot be used for these classes.
    """
    if given is not None:
        return look_at_bank(given, classes, pictures)
    fits = []
    for path in sorted(BANKS.glob("*.yaml")):
        try:
            bank = read_bank(path)
        except UserError as error:  # somebody's draft stops nobody else
            logger.warning("passed over: %s", error)
            continue
        try:
            fits.append(_compare(bank, path, classes, pictures))
        except UserError:  # one of other classes
            continue
    fits = [fit for fit in fits if fit.fits and fit.attributes]
    return max(fits, key=lambda fit: (fit.share_of_pictures, fit.named, fit.path.name), default=None)


def look_at_bank(path: Path, classes: Sequence[str], pictures: Path | None) -> BankFit:
    """Compare a bank with classes and pictures.

    Raises:
        UserError: it cannot be read, or has no list for a class.
    """
    return _compare(read_bank(path), path, classes, pictures)


def _compare(bank: BankFile, path: Path, classes: Sequence[str], pictures: Path | None) -> BankFit:
    config = PromptConfig(source="bank", bank=str(path))
    # a bank of other classes is no reason for warnings
    table = BankSource(config, ComputeConfig(), 0).table(classes, "", {}, warn=False)
    named = {plain(name) for lists in bank.lists.values() for by in lists.values() for name in by} - {ALL}
    known = sum(bank.groups.group_of(name) is not None or plain(name) in named for name in classes)
    attributes: list[Attribute] = []
    missing: dict[Attribute, list[str]] = {}
    there = 0
    for attribute in ATTRIBUTES:
        if not all(feasibility in bank.lists.get(attribute, {}) for feasibility in FEASIBILITIES):
            continue
        if attribute in OF_PICTURES:
            if pictures is None:
                continue
            found, lacking = _pictures_of(bank, table, attribute, pictures)
            if not found:
                continue
            there, missing[attribute] = there + found, lacking
        attributes.append(attribute)
    word = WORD.search(path.read_text(encoding="utf-8"))
    return BankFit(path, word and word.group(1), known, len(classes), tuple(attributes), there, missing)


def _pictures_of(bank: BankFile, table: PromptTable, attribute: Attribute, root: Path) -> tuple[int, list[str]]:
    """Return how many values of an attribute have pictures, and the names of the others."""
    found, lacking = 0, []
    for feasibility in FEASIBILITIES:
        pictures = FolderPictures(root, attribute, feasibility)
        specs = {spec.name: spec for name in table.classes for spec in table.specs(attribute, feasibility, name)}
        for spec in specs.values():
            if pictures.files(spec):
                found += 1
            else:
                lacking.append(f"{feasibility}/{spec.picture or spec.name}")
    return found, lacking
