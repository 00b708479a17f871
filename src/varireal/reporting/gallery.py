"""Which edits the page shows, and their pictures as data URIs small enough for one file."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from varireal.base.files import read_image
from varireal.base.manifest import ImageRecord, Status
from varireal.base.seeding import derive_seed

# longer side in pixels and JPEG's quality, tried from the largest until the pictures fit
SIZES = ((384, 90), (256, 90), (192, 90), (128, 90), (96, 90), (96, 75), (64, 60), (48, 40))
ATTEMPT_SIZES = ((144, 90), (96, 80), (72, 70), (48, 40))  # the same for rejected attempts, shown at 72 pixels
EXACT_QUALITY = 90  # from this quality on small pictures are kept to the last bit
LOSSLESS_SIDE = 160  # pixels: up to it; costs about 20 kB at 128
NOT_JUDGED = "not judged"  # status of an edit that no filter asked anything about
EXACT = ("photo", "edit")  # kinds of pictures that differ on the page only where they differ in truth
BUDGET = 6_000_000  # bytes of all data URIs of a page

Picture = tuple[str, bool]  # its path, and whether it must be exact


@dataclasses.dataclass(frozen=True)
class Shot:
    """One picture on the page."""

    kind: str  # photo, mask, prior, edit or attempt
    alt: str
    uri: str


@dataclasses.dataclass(frozen=True)
class Try:
    """One attempt at an edit, as the manifest tells it."""

    seed: int
    accepted: bool
    scores: tuple[tuple[str, float], ...]
    shot: Shot | None = None  # of one that is not the edit, if its picture was kept and fits the page


@dataclasses.dataclass(frozen=True)
class Example:
    """One edit on the page: its pictures, what was asked for, and what the filter said."""

    class_name: str
    attribute: str
    feasibility: str
    status: str  # as in the manifest, or NOT_JUDGED
    value: str
    prompt: str
    seed: int | None
    shots: dict[str, Shot]  # by kind; a prior is not always kept
    tries: tuple[Try, ...]
    figures: str = ""  # what was measured of the edit, in words


def choose_examples(edits: Iterable[ImageRecord], status: Status, count: int, seed: int) -> list[ImageRecord]:
    """Return up to ``count`` edits of a status, chosen by seed and never by looks, spread over the classes.

    The order of photos depends on seed and photo alone, so the cells of a grid mostly show the same photos.
    """
    by_class: dict[str, list[ImageRecord]] = defaultdict(list)
    own = [edit for edit in edits if edit.status == status]
    for edit in sorted(own, key=lambda e: (derive_seed("report", seed, e.photo_id), e.index or 0, e.image_id)):
        by_class[edit.class_name].append(edit)
    classes = sorted(by_class, key=lambda name: derive_seed("report", seed, name))
    rounds = itertools.zip_longest(*(by_class[name] for name in classes))
    return [edit for turn in rounds for edit in turn if edit is not None][:count]


def build_examples(chosen: Sequence[ImageRecord]) -> list[Example]:
    """Return the examples with their pictures, at the largest size at which all fit one page.

    Pictures of rejected attempts are the first to shrink, and left out if even the smallest are too many.

    Args:
        chosen: the edits to show.

    Raises:
        UserError: a picture is missing or cannot be read.
    """
    shown = [(path, kind in EXACT) for edit in chosen for kind, path in picture_paths(edit).items()]
    tried = [(each["path"], False) for edit in chosen for each in _attempts(edit) if "path" in each]
    uris, small = _fit(shown, tried)
    return [_example(edit, uris, small) for edit in chosen]


def _fit(shown: Sequence[Picture], tried: Sequence[Picture]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the data URIs by path: of the pictures shown large, and of the attempts', none if these do not fit."""

    @functools.cache
    def attempts(size: tuple[int, int]) -> tuple[dict[str, str], int]:
        return _packed(tried, *size)

    uris: dict[str, str] = {}
    for side, quality in SIZES:
        uris, taken = _packed(shown, side, quality)
        for size in ATTEMPT_SIZES if taken <= BUDGET else ():
            if taken + attempts(size)[1] <= BUDGET:
                return uris, attempts(size)[0]
    return _fit(shown, ()) if tried else (uris, {})


def _packed(pictures: Sequence[Picture], side: int, quality: int) -> tuple[dict[str, str], int]:
    """Return the pictures' data URIs by path, and how many bytes they take on the page."""
    uris = {path: data_uri(Path(path), side, exact, quality) for path, exact in dict.fromkeys(pictures)}
    return uris, sum(len(uris[path]) for path, _ in pictures)


def data_uri(path: Path, side: int, exact: bool, quality: int = EXACT_QUALITY) -> str:
    """Return a picture as a data URI, scaled down to ``side`` if it is larger.

    Masks, and small pictures that must be ``exact`` (if the quality is not so low that size is all), become lossless
    WebP; all others become JPEG.
    """
    from PIL import Image

    picture = Image.fromarray(read_image(path))
    is_mask = picture.getcolors(2) is not None
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if is_mask or (exact and quality >= EXACT_QUALITY and max(picture.size) <= LOSSLESS_SIDE):
        picture.save(buffer, format="WEBP", lossless=True, method=4)
        return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    picture.save(
        buffer, format="JPEG", quality=quality, subsampling=0 if quality >= EXACT_QUALITY else 2, optimize=True
    )
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def picture_paths(edit: ImageRecord) -> dict[str, str]:
    """Return the paths of an edit's pictures by kind: photo, mask, prior (not always kept) and edit."""
    named = {"photo": edit.photo_path, "mask": edit.mask_path, "prior": edit.prior_path, "edit": edit.path}
    return {kind: path for kind, path in named.items() if path is not None}


def _attempts(edit: ImageRecord) -> list[dict[str, Any]]:
    return json.loads(edit.attempts or "[]")


def _try(edit: ImageRecord, number: int, told: dict[str, Any], small: Mapping[str, str]) -> Try:
    """Return the attempt of that number, from 1, with its picture if that is on the page."""
    shot = None
    if (uri := small.get(told.get("path", ""))) is not None:
        alt = (
            f"Attempt {number}, not kept: {edit.class_name} with {edit.feasibility} {edit.attribute} {edit.value or ''}"
        )
        shot = Shot("attempt", alt, uri)
    return Try(told["seed"], told["accepted"], tuple(sorted(told["scores"].items())), shot)


def _example(edit: ImageRecord, uris: Mapping[str, str], small: Mapping[str, str]) -> Example:
    value = edit.value or ""
    tries = tuple(_try(edit, number, told, small) for number, told in enumerate(_attempts(edit), start=1))
    alts = {
        "photo": f"Photo of class {edit.class_name}",
        "mask": f"Mask of the object in the photo of class {edit.class_name}",
        "prior": f"First guess of {edit.attribute} {value} for the photo of class {edit.class_name}",
        "edit": f"Edit: {edit.class_name} with {edit.feasibility} {edit.attribute} {value}",
    }
    return Example(
        class_name=edit.class_name,
        attribute=edit.attribute or "",
        feasibility=edit.feasibility or "",
        status=NOT_JUDGED if edit.status == "accepted" and not any(each.scores for each in tries) else edit.status,
        value=value,
        prompt=edit.prompt or "",
        seed=edit.seed,
        shots={kind: Shot(kind, alts[kind], uris[path]) for kind, path in picture_paths(edit).items()},
        tries=tries,
    )
