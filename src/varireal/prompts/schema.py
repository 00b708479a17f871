"""Attributes as data: what may be asked for, for which class, and whether it is feasible."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from varireal.base.files import read_json, read_mapping
from varireal.base.manifest import FEASIBILITIES, Attribute, Feasibility
from varireal.base.text import path_part_problem, text_problem
from varireal.errors import UserError
from varireal.prompts.templates import described, edit_prompt, filled

MAX_TEXT = 200
MAX_NAME = 60
SHOWN_PROBLEMS = 5
QUOTES = "YAML reads no, on, null, 001 and 1e5 as words only in quotes"

Level = Annotated[int, Field(ge=0, le=255)]


def _line(text: str) -> str:
    if problem := text_problem(text, MAX_TEXT):
        raise ValueError(problem)
    return text


def _path_part(text: str) -> str:
    if problem := path_part_problem(text, MAX_NAME):
        raise ValueError(problem)
    return text


class AttributeSpec(BaseModel):
    """Describes one value of an attribute."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: Annotated[str, AfterValidator(_path_part)]  # short: "lava"
    phrase: Annotated[str, AfterValidator(_line)]  # as it stands in the sentence: "on a lava field", "brick textured"
    description: Annotated[str, AfterValidator(_line)] | None = None  # longer, for models that read more
    weight: Annotated[float, Field(gt=0, le=3)] = 1.0  # emphasis of the phrase in the prompt
    rgb: tuple[Level, Level, Level] | None = None  # sRGB; colours only, where it is required
    picture: Annotated[str, AfterValidator(_path_part)] | None = None  # ready-made picture; None: the name

    @model_validator(mode="before")
    @classmethod
    def _lists_as_tuples(cls, value: Any) -> Any:
        """Take the RGB triple as the list that YAML and JSON give."""
        if isinstance(value, dict) and isinstance(value.get("rgb"), list):
            return {**value, "rgb": tuple(value["rgb"])}
        return value


ClassLists = dict[str, Annotated[list[AttributeSpec], Field(min_length=1)]]  # by class name


class PromptTable(BaseModel):
    """Lists the values of every attribute, feasibility and class, in order.

    Within a class and an attribute no name and no phrase occurs twice, in one feasibility or across both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain_word: str
    classes: list[str]
    attributes: dict[Attribute, dict[Feasibility, ClassLists]]
    sentences: dict[Attribute, str] = {}  # templates in place of our own

    @model_validator(mode="after")
    def _consistent(self) -> PromptTable:
        for attribute, lists in self.attributes.items():
            for feasibility, by_class in lists.items():
                for class_name in self.classes:
                    if not by_class.get(class_name):
                        raise ValueError(f"{attribute}.{feasibility} has no list for the class {class_name!r}")
            for class_name in self.classes:
                specs = [spec for by_class in lists.values() for spec in by_class[class_name]]
                _check_specs(attribute, class_name, specs)
        return self

    def specs(self, attribute: Attribute, feasibility: Feasibility, class_name: str) -> list[AttributeSpec]:
        """Return the values of a cell for a class.

        Raises:
            UserError: the table has no such list.
        """
        try:
            return self.attributes[attribute][feasibility][class_name]
        except KeyError as error:
            raise UserError(
                f"the prompts have no {attribute} list, {feasibility}, for the class {class_name!r}; add it to the "
                "bank and run dvc repro"
            ) from error

    def all_specs(self, attribute: Attribute, class_name: str | None = None) -> list[AttributeSpec]:
        """Return the different values of an attribute, of all feasibilities, for one class or for all."""
        classes = self.classes if class_name is None else [class_name]
        return list(
            dict.fromkeys(
                spec
                for feasibility in FEASIBILITIES
                if feasibility in self.attributes.get(attribute, {})
                for name in classes
                for spec in self.specs(attribute, feasibility, name)
            )
        )

    def sentence(self, attribute: Attribute, spec: AttributeSpec, class_name: str) -> str:
        """Return the sentence that an edit is asked for with."""
        if template := self.sentences.get(attribute):
            return filled(template, class_name, self.domain_word, spec.name, spec.phrase, spec.description)
        return described(edit_prompt(attribute, spec.phrase, class_name, self.domain_word), spec.description)

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return self.model_dump(mode="json", exclude=set() if self.sentences else {"sentences"})


def _check_specs(attribute: str, class_name: str, specs: list[AttributeSpec]) -> None:
    """Raise ValueError unless the values of an attribute for a class can be told apart and are complete."""
    for what, texts in (("name", [spec.name for spec in specs]), ("phrase", [spec.phrase for spec in specs])):
        text, count = Counter(text.casefold() for text in texts).most_common(1)[0]
        if count > 1:
            raise ValueError(
                f"{attribute} has the {what} {text!r} {count} times for the class {class_name!r}, counting feasible "
                "and infeasible values together"
            )
    for spec in specs:
        if (spec.rgb is None) == (attribute == "color"):
            wrong = "needs rgb: [red, green, blue]" if spec.rgb is None else "must not have rgb, which is for colours"
            raise ValueError(f"the {attribute} {spec.name!r} {wrong}")


def read_classes(path: Path) -> tuple[list[str], str]:
    """Return the classes and the domain word in dataset.json, as `varireal prepare` wrote it.

    Raises:
        UserError: the file is missing or lacks one of them.
    """
    about = read_mapping(path, "classes", "domain_word")
    return about["classes"], about["domain_word"]


def load_prompts(path: Path) -> PromptTable:
    """Read prompts.json, as `varireal prompt` wrote it.

    Raises:
        UserError: the file is missing or not valid.
    """
    try:
        return PromptTable.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{path}: {describe_problems(error)}; make it anew with dvc repro") from error


def describe_problems(error: ValidationError, hidden: Sequence[str] = ()) -> str:
    """Say the first few problems of a validation in one line, with the place of each; long values are left out.

    Args:
        hidden: parts of places that the reader's file does not have.
    """
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in problem["loc"] if part not in ("[key]", *hidden))
        message = problem["msg"].removeprefix("Value error, ")
        value = problem["input"]
        shown = f" = {json.dumps(value)}" if isinstance(value, (int, float)) else ""
        if isinstance(value, str):
            shown = f" = {value[:40]!r}{'...' if len(value) > 40 else ''}"
        if problem["type"] == "extra_forbidden":
            shown, message = "", f"unknown key; allowed: {', '.join(AttributeSpec.model_fields)}"
        if problem["type"] == "string_type" and not isinstance(value, (dict, list)):
            message += f" ({QUOTES})"
        line = f"{place}{shown}: {message}" if place else message
        lines.append(" ".join(line.split()))  # keys may hold line breaks
    more = f"; and {len(lines) - SHOWN_PROBLEMS} more" if len(lines) > SHOWN_PROBLEMS else ""
    return "; ".join(lines[:SHOWN_PROBLEMS]) + more
