import io

import numpy as np
from PIL import Image

from varireal.config import DatasetConfig
from varireal.datasets import open_dataset
from varireal.datasets.world.vocabulary import CLASSES, MATERIALS, PLACES


def opened(seed=0, **settings):
    counts = {"train_per_class": 2, "val_per_class": 1, "test_per_class": 3}
    config = DatasetConfig(name="rendered_aircraft", domain_word="aircraft", size=48, **{**counts, **settings})
    return open_dataset(config, seed)


def test_every_class_has_the_asked_number_of_photos_in_every_split():
    photos = opened().photos()
    assert len({photo.image_id for photo in photos}) == len(photos) == 10 * 6
    found = [(photo.class_index, photo.split) for photo in photos]
    assert found.count((4, "train")) == 2 and found.count((4, "val")) == 1 and found.count((4, "test")) == 3
    assert list(opened().classes) == list(CLASSES)


def test_the_same_description_gives_the_same_bytes_and_another_seed_another_photo():
    first, again, other = (opened(seed).photos()[7] for seed in (0, 0, 1))
    assert first.load() == again.load()
    assert first.load().data != other.load().data


def test_a_photo_does_not_depend_on_how_many_there_are():
    small = {photo.image_id: photo for photo in opened().photos()}
    large = {photo.image_id: photo for photo in opened(train_per_class=5, test_per_class=4).photos()}
    for image_id in ("biplane/train-0001", "biplane/test-0002"):
        assert small[image_id].load() == large[image_id].load()


def test_splits_share_no_photo():
    class_photos = [photo for photo in opened().photos() if photo.class_index == 3]
    assert len({photo.load().data for photo in class_photos}) == 6


def test_photo_and_mask_have_the_asked_size():
    files = opened().photos()[0].load()
    image, mask = (np.asarray(Image.open(io.BytesIO(data))) for data in (files.data, files.mask))
    assert (image.shape, mask.shape, files.width, files.height) == ((48, 48, 3), (48, 48), 48, 48)
    assert set(np.unique(mask)) == {0, 255}


def test_every_place_and_material_has_its_pictures():
    pictures = opened(pictures_per_place=2, pictures_per_material=3).pictures()
    names = [(picture.attribute, picture.name) for picture in pictures]
    assert all(names.count(("background", place)) == 2 for place in PLACES)
    assert all(names.count(("texture", material)) == 3 for material in MATERIALS)
    first, second = pictures[0].load(), pictures[1].load()
    assert first != second
    assert np.asarray(Image.open(io.BytesIO(first))).shape == (48, 48, 3)
