"""Miniature copies of the published data sets' layouts: the real file names, columns and structs, few small photos."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (60, 70)  # height and width in pixels


def photo(path: Path, number: int) -> None:
    """Write a JPEG of noise, another one for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def trimap(path: Path) -> None:
    """Write a trimap: rows 10 to 29 object, one row of border above and below, background elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(SIZE, 2, np.uint8)
    pixels[9:31] = 3
    pixels[10:30] = 1
    Image.fromarray(pixels).save(path)


BREEDS = ("Abyssinian", "american_pit_bull_terrier", "Egyptian_Mau")


def oxford_pets(root: Path, train: int = 8, test: int = 3) -> Path:
    """Write the layout of images.tar.gz and annotations.tar.gz."""
    rows: dict[str, list[str]] = {"trainval": [], "test": []}
    for index, breed in enumerate(BREEDS):
        for number in range(1, train + test + 1):
            name = f"{breed}_{number * 7}"
            photo(root / "images" / f"{name}.jpg", 1000 * index + number)
            trimap(root / "annotations" / "trimaps" / f"{name}.png")
            (root / "annotations" / "trimaps" / f"._{name}.png").write_bytes(b"of macOS, as in the real archive")
            rows["trainval" if number <= train else "test"].append(f"{name} {index + 1} {1 + index % 2} {index + 1}")
    (root / "images" / "Abyssinian_100.mat").write_bytes(b"the real archive has three such files")
    for name, lines in rows.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    head = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n#SPECIES: 1:Cat 2:Dog\n"
    (root / "annotations" / "list.txt").write_text(head + "\n".join(rows["trainval"] + rows["test"]) + "\n")
    return root


VARIANTS = ("707-320", "BAE 146-200", "F/A-18")


def fgvc_aircraft(root: Path, per_split: int = 4) -> Path:
    """Write the layout of fgvc-aircraft-2013b.tar.gz below ``root/fgvc-aircraft-2013b``."""
    data = root / "fgvc-aircraft-2013b" / "data"
    number = 34309
    for split in ("train", "val", "test"):
        lines = []
        for variant in VARIANTS:
            for _ in range(per_split):
                number += 1
                photo(data / "images" / f"{number:07}.jpg", number)
                lines.append(f"{number:07} {variant}")
        (data / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n")
    (data / "variants.txt").write_text("\n".join(VARIANTS) + "\n")
    return root


CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")


def structs(path: Path, rows: list[dict[str, str | int]], class_names: tuple[str, ...] | None = None) -> None:
    """Write the rows as the 1 x N struct ``annotations`` of a .mat file."""
    from scipy.io import savemat

    table = np.array([tuple(row.values()) for row in rows], dtype=[(key, object) for key in rows[0]]).reshape(1, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    variables = {"annotations": table}
    savemat(path, variables | ({"class_names": names_cell(class_names)} if class_names else {}))


def names_cell(names: tuple[str, ...]) -> np.ndarray:
    cell = np.empty((1, len(names)), object)
    cell[0, :] = names
    return cell


def car_rows(per_class: int, file_key: str, folder: str = "") -> list[dict[str, str | int]]:
    box: dict[str, str | int] = {"bbox_x1": 1, "bbox_y1": 2, "bbox_x2": 50, "bbox_y2": 30}
    numbers = [(index, index * per_class + number) for number in range(1, per_class + 1) for index in (0, 1, 2)]
    return [{**box, "class": index + 1, file_key: f"{folder}{number:05}.jpg"} for index, number in numbers]


def stanford_cars(root: Path, train: int = 8, test: int = 3) -> Path:
    """Write the layout of cars_train, cars_test, the devkit and the labels of test."""
    from scipy.io import savemat

    for folder, count, labels in (
        ("cars_train", train, root / "devkit" / "cars_train_annos.mat"),
        ("cars_test", test, root / "cars_test_annos_withlabels.mat"),
    ):
        rows = car_rows(count, "fname")
        for number, row in enumerate(rows):
            photo(root / folder / str(row["fname"]), number + 500 * (folder == "cars_test"))
        structs(labels, rows)
    savemat(root / "devkit" / "cars_meta.mat", {"class_names": names_cell(CARS)})
    return root


def stanford_cars_in_one(root: Path, train: int = 8, test: int = 3) -> Path:
    """Write the layout of car_ims and cars_annos.mat."""
    rows = car_rows(train + test, "relative_im_path", "car_ims/")
    for number, row in enumerate(rows):
        photo(root / str(row["relative_im_path"]), number)
        row["test"] = int(number >= 3 * train)
    structs(root / "cars_annos.mat", rows, CARS)
    return root


def stanford_cars_in_folders(root: Path, train: int = 8, test: int = 3) -> Path:
    """Write one folder a class in train and test."""
    for order, (split, count) in enumerate((("train", train), ("test", test))):
        for index, name in enumerate(CARS):
            for number in range(count):
                path = root / "car_data" / "car_data" / split / name.replace("/", "-") / f"{number:05}.jpg"
                photo(path, 1000 * order + 100 * index + number)
    return root


def waterbirds(root: Path, per_split: int = 8) -> Path:
    """Write metadata.csv and CUB's folders of photos."""
    folder = root / "waterbird_complete95_forest2water2"
    species = ("001.Black_footed_Albatross", "017.Cardinal")
    rows = []
    for number in range(3 * per_split):
        waterbird, split = number % 2, number // per_split
        name = f"{species[1 - waterbird]}/{species[1 - waterbird][4:]}_{number:04}_18.jpg"
        photo(folder / name, number)
        place = waterbird if number % 8 < 6 else 1 - waterbird
        rows.append([number + 1, name, waterbird, split, place, f"/o/ocean/{number:08}.jpg"])
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["img_id", "img_filename", "y", "split", "place", "place_filename"], *rows])
    return root
