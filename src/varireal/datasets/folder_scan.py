"""Which files of a photo folder are photos, of which class and split. Reads names only."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from varireal.base.file_kinds import is_rest, is_utf8, shown
from varireal.base.manifest import SPLITS, Split
from varireal.base.text import text_problem
from varireal.datasets.folder_names import PLACES, names_anything, names_masks, refuse_parts, split_meant
from varireal.datasets.folder_walk import heif_remedy, kinds, subfolders, walk_pictures
from varireal.errors import UserError

logger = logging.getLogger(__name__)

MAX_CLASS_NAME = 100
MASK_ENDINGS = ("_mask", "-mask", ".mask", "_masks", "_seg", "_segmentation", "_trimap", "_gt")  # beside photos


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo's place in the folder."""

    path: Path
    relative: Path  # to the root
    class_name: str
    name: str  # within the class, across splits, with composed letters: "train/sub/a.jpg" or "sub/a.jpg"
    split: Split | None  # None: not given by the folders


def check_folder(key: str, folder: str) -> Path:
    """Return the folder that a key of params.yaml names, as it was written there.

    Raises:
        UserError: it does not exist or is no folder.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"{key} = {folder!r} is no folder (looked for {path.absolute()}); correct the path")
    return path


def find_photos(root: Path, masks_root: Path | None = None) -> list[FoundPhoto]:
    """Return the photos below ``root/<class>`` or ``root/<train|val|test>/<class>``, sorted by path.

    Class names are the folders' names with underscores as spaces. Splits may be spelled otherwise ("Training_set").

    Args:
        masks_root: a folder of masks; below the root it is no class.

    Raises:
        UserError: there is no class folder, splits and classes are mixed, the train or test folder is missing, a
            photo lies in no class folder, a class folder is empty or means something else, two folders give one class
            name, two photos one name, or a name cannot stand in a prompt.
    """
    without = _folder_of_masks(root, masks_root)
    splits = _given_splits(root, without)
    depth = 2 if splits else 1
    class_of = {
        folder: name for parent in (splits or [root]) for folder, name in _class_folders(parent, without).items()
    }
    _refuse_case_alone(class_of)
    photos = []
    for path in walk_pictures(root, without):
        parts = path.relative_to(root).parts
        if len(parts) <= depth:
            raise UserError(f"the photo {shown(path)} lies in no class folder; move it into one, or out of {root}")
        _check_folders_below(path, root, depth)
        split = splits.get(root / parts[0])
        name = unicodedata.normalize("NFC", "/".join(parts[depth:]))
        class_name = class_of[root.joinpath(*parts[:depth])]
        photos.append(FoundPhoto(path, Path(*parts), class_name, f"{split}/{name}" if split else name, split))
    _check_classes(class_of, photos, depth)
    _refuse_masks_beside(photos)
    _refuse_lookalikes(photos)
    return photos


def _folder_of_masks(root: Path, masks_root: Path | None) -> Collection[Path]:
    """Return the folder of masks as one below the root, if it is.

    Raises:
        UserError: it is the root itself, so that masks and photos could not be told apart.
    """
    if masks_root is None or not masks_root.resolve().is_relative_to(root.resolve()):
        return ()
    if masks_root.resolve() == root.resolve():
        raise UserError(
            f"dataset.masks_root is dataset.root ({root}), so masks would be taken as photos; move the masks into a "
            "folder of their own"
        )
    return (root / masks_root.resolve().relative_to(root.resolve()),)


def _check_folders_below(path: Path, root: Path, depth: int) -> None:
    """Refuse folders within a class that say of themselves to be a split or masks."""
    parts = path.relative_to(root).parts
    for place, name in enumerate(parts[depth:-1], depth):
        if split_meant(name) is not None or names_masks(name):
            where = shown(root.joinpath(*parts[: place + 1]))
            kind = "masks" if names_masks(name) else "a split"
            raise UserError(
                f"{where} holds {kind} by its name, but lies within the class {parts[depth - 1]!r}; splits belong "
                "above the classes (train/<class>), masks into dataset.masks_root: move it there, or set dataset.root "
                "to the folder right above the splits"
            )


def _check_classes(folders: Collection[Path], photos: Sequence[FoundPhoto], depth: int) -> None:
    """Refuse class folders without a photo, and a level of folders too many.

    Raises:
        UserError: one of them.
    """
    filled = {photo.path.parents[len(photo.relative.parts) - depth - 1] for photo in photos}
    for folder in folders:
        if folder not in filled:
            files = [path for path in folder.rglob("*") if path.is_file() and not is_rest(path.name)]
            there = f" that can be read here, only {kinds(files)}" if files else ""
            raise UserError(
                f"the class folder {shown(folder)} holds no photo{there}; add some, or remove the folder"
                f"{heif_remedy(files)}"
            )
    classes = sorted({photo.class_name for photo in photos})
    folder, first = next(iter(folders)), shown(photos[0].path)
    deeper = all(len(photo.relative.parts) > depth + 1 for photo in photos)
    if len(classes) == 1 and (deeper or names_anything(classes[0])):
        raise UserError(
            f"{shown(folder)} is the only class, but by its name or its folders it is a level above or beside the "
            f"classes (the first photo: {first}); set dataset.root to the folder that holds one folder a class"
        )
    if deeper:
        logger.warning(
            "no photo lies right in its class folder (the first: %s); the classes are %s: if the folders below are "
            "meant, move them up", first, ", ".join(classes[:5]),
        )  # fmt: skip


def _refuse_masks_beside(photos: Sequence[FoundPhoto]) -> None:
    """Refuse masks that lie among the photos under names such as ``1_mask.png``.

    Raises:
        UserError: there is one beside the photo it belongs to.
    """
    names = {photo.relative.with_suffix("") for photo in photos}
    for photo in photos:
        stem = photo.path.stem
        for ending in MASK_ENDINGS:
            if stem.lower().endswith(ending) and photo.relative.with_name(stem[: -len(ending)]) in names:
                raise UserError(
                    f"{shown(photo.path)} is the mask of a photo beside it, by its name; move masks into a folder of "
                    "their own (dataset.masks_root), under the photos' names"
                )


def _refuse_lookalikes(photos: Sequence[FoundPhoto]) -> None:
    """Refuse two photos of a class whose names differ in how letters are composed only: no mask could tell them apart.

    Raises:
        UserError: there are two.
    """
    first: dict[tuple[str, str], FoundPhoto] = {}
    for photo in photos:
        other = first.setdefault((photo.class_name, photo.name), photo)
        if other is not photo:
            raise UserError(
                f"two photos are called {shown(photo.path)}, once with composed and once with decomposed letters; "
                "rename or remove one"
            )


def _given_splits(root: Path, without: Collection[Path]) -> dict[Path, Split]:
    """Return the split folders below the root with what they mean, in the order of splits; none if they are classes."""
    folders = [folder for folder in subfolders(root) if folder not in without]
    meant: dict[Path, Split] = {folder: split for folder in folders if (split := split_meant(folder.name)) is not None}
    if not meant:
        refuse_parts(root, [folder.name for folder in folders])
        return {}
    names = ", ".join(folder.name for folder in meant)
    if others := [folder.name for folder in folders if folder not in meant]:
        raise UserError(
            f"{root} holds the split folders {names} beside {', '.join(others[:5])}; keep either one folder a class "
            "(rename a class that is called like a split), or only train, val and test with one folder a class in each"
        )
    by_split: dict[Split, Path] = {}
    for folder, split in meant.items():
        if split in by_split:
            raise UserError(
                f"{root} holds two folders for {split}, {by_split[split].name} and {folder.name}; keep one, or merge "
                "them into train, val and test"
            )
        by_split[split] = folder
    if missing := [split for split in ("train", "test") if split not in by_split]:
        raise UserError(
            f"{root} has split folders but no {' and no '.join(missing)} (only {names}); add it, or remove the level "
            "of splits"
        )
    return {by_split[split]: split for split in SPLITS if split in by_split}


def _class_folders(parent: Path, without: Collection[Path]) -> dict[Path, str]:
    """Return the class folders of a folder with the class names that they give."""
    classes: dict[Path, str] = {}
    folders = [folder for folder in subfolders(parent) if folder not in without]
    for folder in folders:
        name = unicodedata.normalize("NFC", folder.name).replace("_", " ").strip()
        if problem := _class_problem(folder, name, folders):
            raise UserError(f"the class folder {str(folder)!r} {problem}")
        if name in classes.values():
            raise UserError(
                f"two folders in {parent} give the class name {name!r} ({folder.name!r} is one); rename one"
            )
        classes[folder] = name
    if not classes:
        raise UserError(f"{parent} holds no class folder; put the photos of each class into a folder of its own there")
    return classes


def _refuse_case_alone(class_of: Mapping[Path, str]) -> None:
    """Refuse class names that differ in case alone: CLIP reads lower case only, so they would be one name to it.

    Raises:
        UserError: there are two.
    """
    first: dict[str, Path] = {}
    for folder, name in class_of.items():
        other = first.setdefault(name.casefold(), folder)
        if class_of[other] != name:
            raise UserError(
                f"the class folders {shown(other)} and {shown(folder)} differ in case alone; rename one, or merge them"
            )


def _class_problem(folder: Path, name: str, folders: Sequence[Path]) -> str | None:
    """Say why a folder is no class and what to do, or None."""
    if not is_utf8(folder.name):
        return "has a name that is no UTF-8; rename it (convmv -f latin1 -t utf8)"
    if problem := text_problem(name, MAX_CLASS_NAME):
        return f"gives a name that {problem}; rename it"
    if split_meant(folder.name) is not None:
        return "is a split by its name; set dataset.root to the folder right above train and test, or rename the class"
    below = {path.name for path in subfolders(folder)}
    if below & PLACES and below <= PLACES | {"color"}:
        return "holds pictures of places and materials, no class; move it out of dataset.root (edit.prior.pictures)"
    if len(folders) > 1 and (names_masks(folder.name) or below & ({other.name for other in folders} - {folder.name})):
        return (
            "holds masks or copies of the other classes, no class; set dataset.masks_root to it or move it out of "
            "dataset.root (or rename it, if it is a class)"
        )
    return None
