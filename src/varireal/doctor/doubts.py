"""Settings that run, but most likely do not mean what was wished: networks off their world, settings without effect."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.doctor.findings import Finding
from varireal.networks.checkpoints import is_hub_id
from varireal.networks.clip_weights import HUB, LOCAL, unpinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from varireal.config import Params
    from varireal.config.study import ClipConfig

DEMO = "models/demo/"  # networks that know the rendered world only
WORLD = "rendered_aircraft"
DISAGREEING, SEED_SPREAD = 0.2, 1.5  # assumed: the share of photos two models differ on, and points between seeds
SMALL = 5.0  # points; a study that finds no smaller difference is told so


def doubts(params: Params) -> list[Finding]:
    """Return what is worth a look before a long run; nothing of it stops the stages."""
    return [Finding("doubts", name, "note", words, remedy) for name, words, remedy in _doubts(params)]


def _doubts(params: Params) -> Iterator[tuple[str, str, str]]:
    edit, data = params.edit, params.dataset
    networks: list[tuple[str, ClipConfig]] = [("clip.model", params.clip)]
    if params.measure.model is not None:
        networks.append(("measure.model", params.measure.network(params.clip)))
    for key, clip in networks:
        if clip.reads_text and not clip.pretrained and not clip.model.startswith((LOCAL, HUB)):
            words = f"{clip.model} starts from random weights, so that figures mean nothing"
            yield key, words, f"set {key.removesuffix('model')}pretrained, such as openai"
        if repository := _moving(clip):
            words = f"{repository} has no known commit here, so that other weights of this name could come next year"
            remedy = (
                "set clip.revision"
                if not clip.reads_text
                else "download it once and name its folder, local-dir:<folder>"
            )
            yield key, words, remedy
    named = [(key, clip.model.removeprefix(LOCAL)) for key, clip in networks]
    if params.filter.name == "clip":
        named.append(("filter.model", str(params.filter.model).removeprefix(LOCAL)))
    if edit.method != "paste":
        named.append(("edit.inpaint.checkpoint", str(edit.inpaint.checkpoint)))
    for key, name in named:
        if data.name != WORLD and f"{DEMO}" in f"{Path(name).as_posix()}/":
            words = f"{name} knows the rendered aircraft only, and nothing of the photos of {data.name}"
            yield key, words, "name a network that was trained on photos"
    if edit.method == "paste" and edit.inpaint.checkpoint and DEMO not in f"{edit.inpaint.checkpoint}/":
        words = f"paste uses no network, so edit.inpaint.checkpoint = {edit.inpaint.checkpoint!r} is not read"
        yield "edit.method", words, "set edit.method to diffusion, and look at the recipes' strengths"
    if data.name == "image_folder":
        ignored = [key for key in ("train_per_class", "val_per_class") if getattr(data, key) is not None]
        if ignored:
            words = f"{' and '.join(f'dataset.{key}' for key in ignored)} are not read: all photos are taken"
            yield (
                "dataset",
                words,
                "take photos out of the folder to train on fewer; val_share and test_share divide them",
            )


def _moving(clip: ClipConfig) -> str | None:
    """Return the repository of the hub whose newest weights a classifier would get, whatever they are by then."""
    if clip.reads_text:
        return unpinned(clip.model, clip.pretrained)
    return clip.model if is_hub_id(clip.model) and clip.revision is None else None


def expected_power(params: Params, photos: Mapping[str, int]) -> Finding:
    """Say which difference between two conditions a study of this size would find with 80 % power.

    Assumed, as nothing is trained yet: two models differ on 20 % of the photos, seeds by 1.5 points.
    """
    from varireal.evaluation.comparisons import ALPHA, comparisons
    from varireal.evaluation.statistics import POINTS, CrossedMean

    seeds = len(params.grid.seeds)
    count = max(1, sum(each.family == "feasibility" for each in comparisons(params.grid)))
    if seeds < 2:
        return Finding("work", "power", "note", "one seed tells nothing of others", "name more in grid.seeds")
    photo = POINTS**2 * DISAGREEING / photos["test"]
    freedom = (seeds - 1) * max(1, len(params.grid.conditions) - 1)  # pooled over the conditions of a cell
    mean = CrossedMean(0.0, photos["test"], seeds, photo, 2 * SEED_SPREAD**2 / seeds, 0.0, freedom=freedom)
    found = mean.detectable(ALPHA / count)
    words = (
        f"about {math.ceil(found * 10) / 10:g} points is the smallest difference that {photos['test']:,} test photos "
        f"and {seeds} seeds would find (80 % power, {count} comparisons, models that differ on 20 % of the photos)"
    )
    remedy = "more test photos (dataset.test_share) and seeds, or fewer cells" if found > SMALL else None
    status = "note" if found > SMALL else "ok"
    return Finding("work", "power", status, words, remedy, {"points": round(found, 2)})
