"""Stanford Cars: 196 models of cars, in any of the layouts that it is passed on in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from varireal.base.file_kinds import at_home
from varireal.base.manifest import Split
from varireal.datasets.folder_scan import find_photos
from varireal.datasets.published import Listed, Listing, PublishedDataset
from varireal.datasets.published_files import locate, member, number, read_mat
from varireal.errors import UserError

TEST_LABELS = "cars_test_annos_withlabels.mat"
DEVKIT = ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_train", "cars_test")
ALL_IN_ONE = ("cars_annos.mat", "car_ims")
FOLDERS = ("train", "test")
BELOW = ("stanford_cars", "car_data", "car_data/car_data")
RENAMED = {"Ram C-V Cargo Van Minivan 2012": "Ram C/V Cargo Van Minivan 2012"}  # a folder's name cannot have the slash
GET = (
    "cars_train, cars_test, devkit and cars_test_annos_withlabels.mat, as once at "
    "https://ai.stanford.edu/~jkrause/cars/car_dataset.html, now for example "
    "https://www.kaggle.com/datasets/rickyyyyyyy/torchvision-stanford-cars (car_ims with cars_annos.mat, or folders "
    "train/<class> and test/<class>, will do too)"
)


class StanfordCars(PublishedDataset):
    """The devkit's layout, ``car_ims/`` with ``cars_annos.mat``, or ``train/<class>`` and ``test/<class>``.

    Class names are the published ones ("Acura RL Sedan 2012"); they stand in the published order, or by the folders'
    names where no .mat file gives one.
    """

    title = "Stanford Cars"
    class_count = 196
    photo_counts: ClassVar[dict[Split, int]] = {"train": 8144, "test": 8041}

    def read(self, root: str) -> Listing:
        """Read the annotations of the layout that is there."""
        top = at_home(root)
        for folder in (top, *(top / name for name in BELOW)):
            if all((folder / name).exists() for name in ALL_IN_ONE):
                return _all_in_one(folder)
            if all((folder / name).is_dir() for name in FOLDERS):
                return _folders(folder)
        return _devkit(locate(root, BELOW, DEVKIT, self.title, GET))


def _devkit(folder: Path) -> Listing:
    places = (folder / TEST_LABELS, folder / "devkit" / TEST_LABELS)
    labels = next((path for path in places if path.is_file()), None)
    if labels is None:
        raise UserError(
            f"{TEST_LABELS} is missing (looked for {places[0]} and {places[1]}): the devkit itself has no labels of "
            f"test photos; get it with {GET}"
        )
    classes = _class_names(folder / "devkit" / "cars_meta.mat")
    files: dict[Split, Path] = {"train": folder / "devkit" / "cars_train_annos.mat", "test": labels}
    photos = []
    for split, path in files.items():
        photo_folder = folder / f"cars_{split}"
        if (photo_folder / photo_folder.name).is_dir():  # so unpacked by some archives
            photo_folder /= photo_folder.name
        for where, row in _annotations(path, "fname"):
            file = member(row["fname"], where)
            relative = Path(f"cars_{split}") / file
            photos.append(Listed(photo_folder / file, relative, _class_index(row, classes, where), split))
    return Listing(folder, classes, photos)


def _all_in_one(folder: Path) -> Listing:
    path = folder / "cars_annos.mat"
    classes = _class_names(path)
    photos = []
    for where, row in _annotations(path, "relative_im_path"):
        relative = member(row["relative_im_path"], where)
        split: Split = "test" if _whole(row, "test", range(2), where) else "train"
        photos.append(Listed(folder / relative, relative, _class_index(row, classes, where), split))
    return Listing(folder, classes, photos)


def _folders(folder: Path) -> Listing:
    found_photos = find_photos(folder)
    names = sorted({photo.class_name for photo in found_photos})
    photos = []
    for photo in found_photos:
        if photo.split is None or photo.split == "val":
            raise UserError(f"{folder} must hold train and test only, found {photo.path}; move its photos into train")
        photos.append(Listed(photo.path, photo.relative, names.index(photo.class_name), photo.split))
    return Listing(folder, [RENAMED.get(name, name) for name in names], photos)


def _class_names(path: Path) -> list[str]:
    listed = _in_a_row(read_mat(path, "class_names"))
    if not listed or not all(isinstance(name, str) for name in listed):
        raise UserError(f"{path}: class_names is no list of names; get the file again")
    return [str(name) for name in listed]


def _in_a_row(value: Any) -> list[Any]:
    """Return the elements of a row of structs or cells, which is one element where the row has one; else nothing."""
    if isinstance(value, dict | str):
        return [value]
    return list(value) if isinstance(value, list) or getattr(value, "ndim", 0) == 1 else []


def _annotations(path: Path, file_key: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the rows of ``annotations`` with where they stand; each has a file name and a class.

    Raises:
        UserError: the file is unreadable, or a row lacks a field.
    """
    rows = _in_a_row(read_mat(path, "annotations"))
    if not rows:
        raise UserError(f"{path}: annotations is no list of structs; get the file again")
    named = [(f"{path}, row {count}", row) for count, row in enumerate(rows, 1)]
    for where, row in named:
        if not isinstance(row, dict) or not isinstance(row.get(file_key), str) or "class" not in row:
            raise UserError(f"{where}: {file_key} or class is missing or wrong; get the file again")
    return named


def _class_index(row: Mapping[str, Any], classes: list[str], where: str) -> int:
    return _whole(row, "class", range(1, len(classes) + 1), where) - 1


def _whole(row: Mapping[str, Any], key: str, allowed: range, where: str) -> int:
    value = row.get(key)
    whole = getattr(value, "item", lambda: value)() if getattr(value, "size", 1) == 1 else value
    return number(f"{whole:g}" if isinstance(whole, float) else str(whole), allowed, key, where)
