"""Which files of a photo folder are photos, of which class and split. Reads names only."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from varireal.base.manifest import SPLITS, Split
from varireal.base.text import text_problem
from varireal.errors import UserError

logger = logging.getLogger(__name__)

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
MAX_CLASS_NAME = 100


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo's place in the folder."""

    path: Path
    relative: Path  # to the root
    class_name: str
    name: str  # within the class, across splits: "train/sub/a.jpg" or "sub/a.jpg"
    split: Split | None  # None: not given by the folders


def check_folder(key: str, folder: str) -> Path:
    """Return the folder that a key of params.yaml names, as it was written there.

    Raises:
        UserError: it does not exist or is no folder.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"{key} = {folder!r} is no folder (looked for {path.absolute()}); correct the path")
    return path


def walk_pictures(root: Path) -> Iterator[Path]:
    """Yield the picture files below a root, sorted by path; hidden files are passed over.

    Raises:
        UserError: a symbolic link leads out of the root, nowhere, or to a folder.
    """
    others: list[Path] = []
    yield from _walk(root, root, others)
    if others:
        logger.warning(
            "left out of %s, for they do not end in %s: %s%s",
            root, ", ".join(sorted(PICTURE_SUFFIXES)), others[0], f" and {len(others) - 1} more" if others[1:] else "",
        )  # fmt: skip


def _walk(folder: Path, root: Path, others: list[Path]) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_symlink():
            _check_link(path, root)
        if path.is_dir():
            yield from _walk(path, root, others)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            yield path
        else:
            others.append(path)


def _check_link(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"the symbolic link {path} leads nowhere; remove it or mend its target") from error
    if not target.is_relative_to(root.resolve()):
        raise UserError(
            f"the symbolic link {path} leads out of {root} (to {target}); copy the file in, or remove the link"
        )
    if target.is_dir():
        raise UserError(f"{path} is a symbolic link to a folder; move the folder there, or remove the link")


def find_photos(root: Path) -> list[FoundPhoto]:
    """Return the photos below ``root/<class>`` or ``root/<train|val|test>/<class>``, sorted by path.

    Class names are the folders' names with underscores as spaces.

    Raises:
        UserError: there is no class folder, splits and classes are mixed, the train or test folder is missing, a
            photo lies in no class folder, a class folder is empty, two folders give one class name, or a name cannot
            stand in a prompt.
    """
    splits = _given_splits(root)
    depth = 2 if splits else 1
    class_of = {
        folder: name
        for parent in ([root / split for split in splits] or [root])
        for folder, name in _class_folders(parent).items()
    }
    photos = []
    for path in walk_pictures(root):
        parts = path.relative_to(root).parts
        if len(parts) <= depth:
            raise UserError(f"the photo {path} lies in no class folder; move it into one, or out of {root}")
        split: Split | None = next((split for split in splits if split == parts[0]), None)
        name = "/".join(parts[depth:])
        class_name = class_of[root.joinpath(*parts[:depth])]
        photos.append(FoundPhoto(path, Path(*parts), class_name, f"{split}/{name}" if split else name, split))
    filled = {root.joinpath(*photo.relative.parts[:depth]) for photo in photos}
    for folder in class_of:
        if folder not in filled:
            raise UserError(f"the class folder {folder} holds no photo; add some, or remove the folder")
    return photos


def find_masks(masks_root: str | None, photos: Sequence[Path]) -> dict[Path, Path]:
    """Return mask files by relative name without suffix; empty when no folder of masks is given.

    Args:
        masks_root: ``dataset.masks_root``.
        photos: the photos' names, relative to their folder.

    Raises:
        UserError: the folder does not exist, two masks belong to one photo, or none belongs to any.
    """
    if masks_root is None:
        return {}
    root = check_folder("dataset.masks_root", masks_root)
    masks: dict[Path, Path] = {}
    for path in walk_pictures(root):
        key = path.relative_to(root).with_suffix("")
        if key in masks:
            raise UserError(f"the masks {masks[key]} and {path} belong to the same photo; remove one")
        masks[key] = path
    missing = [photo for photo in photos if photo.with_suffix("") not in masks]
    if len(missing) == len(photos):
        raise UserError(
            f"no photo has a mask in {root}: expected for example {root / missing[0].with_suffix('.png')}; "
            "correct dataset.masks_root, or leave it out and set segment.source: model"
        )
    if missing:
        logger.warning("%d of %d photos have no mask (the first: %s)", len(missing), len(photos), missing[0])
    return masks


def _given_splits(root: Path) -> list[Split]:
    """Return the splits that the folders below the root give; none if they are classes."""
    names = [folder.name for folder in _subfolders(root)]
    splits: list[Split] = [split for split in SPLITS if split in names]
    if not splits:
        return []
    if others := [name for name in names if name not in SPLITS]:
        raise UserError(
            f"{root} holds the split folders {', '.join(splits)} beside {', '.join(others[:5])}; keep either one "
            "folder a class, or only train, val and test with one folder a class in each"
        )
    if missing := [split for split in ("train", "test") if split not in splits]:
        raise UserError(
            f"{root} has split folders but no {' and no '.join(missing)}; add it, or remove the level of splits"
        )
    return splits


def _class_folders(parent: Path) -> dict[Path, str]:
    """Return the class folders of a folder with the class names that they give."""
    classes: dict[Path, str] = {}
    for folder in _subfolders(parent):
        name = unicodedata.normalize("NFC", folder.name).replace("_", " ").strip()
        if problem := text_problem(name, MAX_CLASS_NAME):
            raise UserError(f"the class folder {str(folder)!r} gives a name that {problem}; rename it")
        if name in classes.values():
            raise UserError(
                f"two folders in {parent} give the class name {name!r} ({folder.name!r} is one); rename one"
            )
        classes[folder] = name
    if not classes:
        raise UserError(f"{parent} holds no class folder; put the photos of each class into a folder of its own there")
    return classes


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
