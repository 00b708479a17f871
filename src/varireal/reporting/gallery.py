"""Which edits the page shows, and their pictures as data URIs small enough for one file."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from varireal.io import read_image
from varireal.manifest import ImageRecord
from varireal.seeding import derive_seed

SIDES = (384, 256, 192, 128, 96)  # longer side in pixels, tried from the largest until the pictures fit
BUDGET = 6_000_000  # bytes of all data URIs of a page


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture on the page."""

    kind: str  # photo, mask, prior or edit
    alt: str
    uri: str


@dataclasses.dataclass(frozen=True)
class Example:
    """One edit on the page: its pictures from left to right, and what was asked for."""

    class_name: str
    value: str
    prompt: str
    shots: tuple[Shot, ...]


def choose_examples(edits: Iterable[ImageRecord], count: int, seed: int) -> list[ImageRecord]:
    """Return up to ``count`` accepted edits, chosen by seed and never by looks, spread over the classes.

    The order of photos depends on seed and photo alone, so the cells of a grid mostly show the same photos.
    """
    by_class: dict[str, list[ImageRecord]] = defaultdict(list)
    accepted = [edit for edit in edits if edit.status == "accepted"]
    for edit in sorted(accepted, key=lambda e: (derive_seed("report", seed, e.photo_id), e.index or 0, e.image_id)):
        by_class[edit.class_name].append(edit)
    classes = sorted(by_class, key=lambda name: derive_seed("report", seed, name))
    rounds = itertools.zip_longest(*(by_class[name] for name in classes))
    return [edit for turn in rounds for edit in turn if edit is not None][:count]


def build_examples(
    chosen: dict[tuple[str, str], list[ImageRecord]], photos: dict[str, ImageRecord]
) -> dict[tuple[str, str], list[Example]]:
    """Return the examples of each cell with their pictures, at the largest size at which all fit one page.

    Args:
        chosen: the edits to show, by attribute and feasibility.
        photos: the photos by image_id.

    Raises:
        UserError: a picture is missing or cannot be read.
    """
    shown = [path for edits in chosen.values() for edit in edits for _, path in _files(edit, photos)]
    uris: dict[str, str] = {}
    for side in SIDES:
        uris = {path: data_uri(Path(path), side) for path in dict.fromkeys(shown)}
        if sum(len(uris[path]) for path in shown) <= BUDGET:
            break
    return {cell: [_example(edit, photos, uris) for edit in edits] for cell, edits in chosen.items()}


def data_uri(path: Path, side: int) -> str:
    """Return a picture as a data URI, scaled down to ``side`` if it is larger.

    Pictures of two colours (masks) become PNG, all others JPEG.
    """
    from PIL import Image

    picture = Image.fromarray(read_image(path))
    is_mask = picture.getcolors(2) is not None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if is_mask:  # JPEG would blur its edge
        picture.convert("L").save(buffer, format="PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    picture.save(buffer, format="JPEG", quality=90, subsampling=0, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _files(edit: ImageRecord, photos: dict[str, ImageRecord]) -> list[tuple[str, str]]:
    photo = photos[edit.photo_id]
    named = [("photo", photo.path), ("mask", edit.mask_path), ("prior", edit.prior_path), ("edit", edit.path)]
    return [(kind, path) for kind, path in named if path is not None]


def _example(edit: ImageRecord, photos: dict[str, ImageRecord], uris: dict[str, str]) -> Example:
    value = edit.value or ""
    alts = {
        "photo": f"Photo of class {edit.class_name}",
        "mask": f"Mask of the object in the photo of class {edit.class_name}",
        "prior": f"First guess of {edit.attribute} {value} for the photo of class {edit.class_name}",
        "edit": f"Edit: {edit.class_name} with {edit.feasibility} {edit.attribute} {value}",
    }
    shots = tuple(Shot(kind, alts[kind], uris[path]) for kind, path in _files(edit, photos))
    return Example(edit.class_name, value, edit.prompt or "", shots)
