"""The data set and the prompts, looked at as `prepare` and `prompt` would, without writing anything."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from varireal.base.manifest import SPLITS
from varireal.doctor.finding import Finding
from varireal.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from varireal.config import Params
    from varireal.datasets.base import Dataset


def look_at_dataset(params: Params) -> tuple[Finding, Dataset | None, dict[str, int]]:
    """Return what was found, the data set if it is whole, and its number of photos by split.

    Photos are listed and compared as the data set's own checks do; only `prepare` opens each of them.
    """
    from varireal.datasets import open_dataset

    try:
        dataset = open_dataset(params.dataset, params.seed)
        counts = Counter(photo.split for photo in dataset.photos())
    except UserError as error:
        if params.dataset.download:
            found = f"not whole in {params.dataset.root}; prepare will download what is missing ({error})"
            return Finding("data", params.dataset.name, "note", found), None, {}
        return Finding("data", params.dataset.name, "missing", str(error), "as it says"), None, {}
    photos = {split: counts[split] for split in SPLITS}
    if empty := [split for split, count in photos.items() if count == 0]:
        remedy = f"give it some (dataset.{empty[0]}_* in params.yaml)"
        found = f"no photo in the split {empty[0]}"
        return Finding("data", params.dataset.name, "missing", found, remedy, dict(photos)), None, {}
    listed = ", ".join(f"{count:,} {split}" for split, count in photos.items())
    masks = "" if dataset.has_masks else ", no masks"
    found = f"{len(dataset.classes)} classes; photos: {listed}{masks}"
    return (
        Finding("data", params.dataset.name, "ok", found, values={"classes": len(dataset.classes), **photos}),
        (dataset),
        photos,
    )


def look_at_prompts(params: Params, classes: Sequence[str]) -> Finding:
    """Say whether every class has the lists that the grid needs, or what a language model would be asked with."""
    from varireal.prompts import SOURCES

    config = params.prompt
    if config.source == "openai":
        variable = config.llm.api_key_variable
        key = "" if os.environ.get(variable) else f"; {variable} is unset, so that no key is sent"
        found = f"asked for at {config.llm.base_url} with {config.llm.model} when the stage runs{key}"
        return Finding("prompts", "openai", "note", found)
    if config.source == "transformers":
        return Finding("prompts", "transformers", "note", f"asked of {config.llm.model} when the stage runs")
    needed = dict.fromkeys(params.grid.attributes, params.grid.feasibilities)
    try:
        table = SOURCES["bank"](config, params.compute, params.seed).table(classes, params.dataset.domain_word, needed)
    except UserError as error:
        return Finding("prompts", config.bank, "missing", str(error), "complete the bank")
    values = {attribute: len(table.all_specs(attribute)) for attribute in params.grid.attributes}
    listed = ", ".join(f"{count} {attribute} values" for attribute, count in values.items())
    return Finding("prompts", config.bank, "ok", f"complete for {len(classes)} classes: {listed}", values=values)
