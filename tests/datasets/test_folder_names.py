"""Folders that are no classes, by their names."""

import pytest

from varireal.datasets.folder_names import names_anything, names_masks, split_meant

SPLITS = {
    "train": ["train", "Train", "TRAIN", "training", "Training_set", "train-set", "trainset", "train2017", "01_train",
              "train_images", "images_train", "imagesTr", "TrainData", "trainval", "train_data_2"],
    "val": ["val", "VAL", "valid", "Validation", "validation_set", "val2", "val2017", "dev", "eval", "valset"],
    "test": ["test", "TEST", "testing", "test_set", "Test Images", "imagesTs", "testset", "holdout", "test-1"],
}  # fmt: skip
CLASSES = ["cat", "train station", "bullet_train", "trainer", "tr", "ts", "valley", "test_tube", "protest", "latest",
           "images", "Testudo", "trein", "Prüfung", "development", "devon rex", "Tésting"]  # fmt: skip


@pytest.mark.parametrize(("split", "name"), [(split, name) for split, names in SPLITS.items() for name in names])
def test_a_split_is_known_in_any_spelling(split, name):
    assert split_meant(name) == split


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_no_split(name):
    assert split_meant(name) is None


def test_folders_of_masks_and_folders_of_anything():
    assert all(map(names_masks, ("masks", "Mask", "trimaps", "Annotations", "ground_truth", "segmentation")))
    assert not any(map(names_masks, ("with_mask", "masked_palm_civet", "labels of cats")))
    assert all(map(names_anything, ("images", "photos", "my_data", "Image Classes", "dataset")))
    assert not any(map(names_anything, ("dog images", "cat", "2017", "bilder")))
