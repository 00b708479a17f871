import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from tests.datasets import published_layouts as layouts
from tests.datasets.test_published import opened, refused

from varireal.datasets import published_files
from varireal.errors import UserError


@pytest.fixture
def root(tmp_path):
    return layouts.stanford_cars(tmp_path)


@pytest.mark.parametrize("layout", ["stanford_cars", "stanford_cars_in_one", "stanford_cars_in_folders"])
def test_every_layout_gives_the_same_classes_and_counts(tmp_path, layout):
    dataset = opened("stanford_cars", getattr(layouts, layout)(tmp_path), val_per_class=2)
    assert dataset.classes == layouts.CARS
    photos = dataset.photos()
    for index in range(3):
        of_class = [photo.split for photo in photos if photo.class_index == index]
        assert (of_class.count("train"), of_class.count("val"), of_class.count("test")) == (6, 2, 3)


def test_labels_belong_to_their_photos(root):
    for photo in opened("stanford_cars", root).photos():
        per_class = 3 if photo.split == "test" else 8
        assert (int(photo.path.stem) - 1) // per_class == photo.class_index
        assert photo.path.parent.name == ("cars_test" if photo.split == "test" else "cars_train")


def test_folders_within_folders_and_labels_in_the_devkit_will_do(root, tmp_path_factory):
    nested = tmp_path_factory.mktemp("x") / "stanford_cars"
    shutil.copytree(root / "devkit", nested / "devkit")
    for name in ("cars_train", "cars_test"):
        shutil.copytree(root / name, nested / name / name)
    shutil.copy(root / "cars_test_annos_withlabels.mat", nested / "devkit")
    photos = opened("stanford_cars", nested.parent).photos()
    assert {photo.image_id for photo in photos} == {photo.image_id for photo in opened("stanford_cars", root).photos()}


def test_missing_labels_of_test_are_named(root):
    (root / "cars_test_annos_withlabels.mat").unlink()
    refused("stanford_cars", root, "cars_test_annos_withlabels.mat is missing .*the devkit itself has no labels")


def annotate(root, rows):
    layouts.structs(root / "devkit" / "cars_train_annos.mat", rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"class": 4, "fname": "00001.jpg"}, r"row 1: class is '4', allowed are 1 to 3"),
        ({"class": 0, "fname": "00001.jpg"}, r"row 1: class is '0'"),
        ({"class": 1.5, "fname": "00001.jpg"}, r"row 1: class is '1\.5'"),
        ({"class": "one", "fname": "00001.jpg"}, r"row 1: class is 'one'"),
        ({"class": np.array([1, 2]), "fname": "00001.jpg"}, r"row 1: class is '\[1 2\]'"),
        ({"class": 1, "fname": "../../00001.jpg"}, r"row 1: the file name '\.\./.*' leads out"),
        ({"class": 1, "fname": "C:\\00001.jpg"}, r"row 1: the file name .* leads out"),
        ({"class": 1, "fname": 7}, r"row 1: fname or class is missing or wrong"),
        ({"class": 1, "file": "00001.jpg"}, r"row 1: fname or class is missing or wrong"),
        ({"class": 1, "fname": "99999.jpg"}, r"files .* are missing: .*99999\.jpg"),
    ],
)
def test_wrong_rows_are_named(root, row, said):
    rest = layouts.car_rows(8, "fname")[1:] if "fname" in row else []
    annotate(root, [row, *({"class": r["class"], "fname": r["fname"]} for r in rest)])
    refused("stanford_cars", root, said)


def test_a_photo_listed_twice_and_a_class_without_train_photos_are_named(root):
    rows = layouts.car_rows(8, "fname")
    annotate(root, [*rows, rows[0]])
    refused("stanford_cars", root, r"the annotations list .*00001\.jpg twice")
    annotate(root, [row for row in rows if row["class"] != 2])
    refused("stanford_cars", root, "class 'Acura RL Sedan 2012' has no train photo in the annotations")


@pytest.mark.parametrize("length", [0, 3, 130, 200, 900])
def test_a_cut_mat_file_is_named(root, length):
    path = root / "devkit" / "cars_train_annos.mat"
    path.write_bytes(path.read_bytes()[:length])
    refused(
        "stanford_cars", root, r"cars_train_annos\.mat .*(is no readable MATLAB file|has no variable).*get it again"
    )


def test_a_spoilt_mat_file_cannot_crash_the_program(root, monkeypatch):
    monkeypatch.undo()
    path = root / "devkit" / "cars_meta.mat"
    assert list(published_files.read_mat(path, "class_names")) == list(layouts.CARS)
    path = root / "devkit" / "cars_train_annos.mat"
    spoilt, rng = bytearray(path.read_bytes()), np.random.default_rng(10)
    for place in rng.integers(0, len(spoilt), 20):  # such bytes crash the reader of scipy 1.17
        spoilt[place] = rng.integers(0, 256)
    path.write_bytes(spoilt)
    with pytest.raises(UserError, match=r"cars_train_annos\.mat is no readable MATLAB file of version 5"):
        published_files.read_mat(path, "annotations")


def test_other_files_are_no_mat_files(root):
    path = root / "devkit" / "cars_meta.mat"
    savemat(path, {"names": 1})
    refused("stanford_cars", root, "cars_meta.mat has no variable 'class_names'")
    savemat(path, {"class_names": np.eye(3)})
    refused("stanford_cars", root, "class_names is no list of names")
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    refused("stanford_cars", root, "cars_meta.mat is no readable MATLAB file of version 5")
    import pickle

    path.write_bytes(pickle.dumps({"class_names": ["x"]}))
    refused("stanford_cars", root, "cars_meta.mat is no readable MATLAB file of version 5")


def test_a_class_folder_only_in_test_is_named(tmp_path):
    root = layouts.stanford_cars_in_folders(tmp_path)
    shutil.rmtree(root / "car_data" / "car_data" / "train" / "Acura RL Sedan 2012")
    refused("stanford_cars", root, "class 'Acura RL Sedan 2012' has no train photo")


def test_a_val_folder_is_not_of_the_data_set(tmp_path):
    root = layouts.stanford_cars_in_folders(tmp_path) / "car_data" / "car_data"
    shutil.copytree(root / "test", root / "val")
    refused("stanford_cars", root, "must hold train and test only")


def test_image_ids_are_the_same_on_every_machine(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "cars"
    shutil.copytree(root, elsewhere)
    first, second = (
        [(p.image_id, p.split) for p in opened("stanford_cars", Path(r)).photos()] for r in (root, elsewhere)
    )
    assert first == second
