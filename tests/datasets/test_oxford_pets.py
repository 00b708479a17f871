import io

import numpy as np
import pytest
from PIL import Image
from tests.datasets import published_layouts as layouts
from tests.datasets.test_published import opened, refused

from varireal.errors import UserError


@pytest.fixture
def root(tmp_path):
    return layouts.oxford_pets(tmp_path)


def change(root, name, old, new):
    path = root / "annotations" / f"{name}.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_breeds_are_readable_and_in_the_order_of_their_numbers(root):
    dataset = opened("oxford_pets", root)
    assert dataset.classes == ("Abyssinian", "american pit bull terrier", "Egyptian Mau")
    photo = next(photo for photo in dataset.photos() if photo.class_index == 1)
    assert photo.image_id.startswith("american-pit-bull-terrier/american-pit-bull-terrier-")


def test_torchvisions_folder_is_found(tmp_path):
    layouts.oxford_pets(tmp_path / "oxford-iiit-pet")
    assert len(opened("oxford_pets", tmp_path).photos()) == 33


def test_the_mask_is_the_trimap_with_its_border(root):
    mask = np.asarray(Image.open(io.BytesIO(opened("oxford_pets", root).photos()[0].load().mask)))
    assert set(np.unique(mask)) == {0, 255}
    assert np.flatnonzero((mask == 255).all(axis=1)).tolist() == list(range(9, 31))


def test_a_missing_trimap_is_named(root):
    (root / "annotations" / "trimaps" / "Abyssinian_7.png").unlink()
    refused("oxford_pets", root, "1 of 66 files .* are missing: .*trimaps/Abyssinian_7.png")


def bad_trimap(root, pixels):
    path = root / "annotations" / "trimaps" / "Abyssinian_7.png"
    Image.fromarray(pixels).save(path)
    (photo,) = (photo for photo in opened("oxford_pets", root).photos() if photo.path.stem == "Abyssinian_7")
    with pytest.raises(UserError) as caught:
        photo.load()
    return str(caught.value)


def test_wrong_trimaps_are_named(root):
    assert "has the value 0, allowed are 1 object" in bad_trimap(root, np.zeros(layouts.SIZE, np.uint8))
    assert "is 70x59 pixels, but its photo" in bad_trimap(root, np.ones((59, 70), np.uint8))
    coloured = np.zeros((*layouts.SIZE, 3), np.uint8) + np.array([1, 2, 3], np.uint8)
    assert "is coloured or transparent" in bad_trimap(root, coloured)


def test_a_cut_trimap_is_named(root):
    path = root / "annotations" / "trimaps" / "Abyssinian_7.png"
    path.write_bytes(path.read_bytes()[:50])
    (photo,) = (photo for photo in opened("oxford_pets", root).photos() if photo.path.stem == "Abyssinian_7")
    with pytest.raises(UserError, match=r"Abyssinian_7\.png cannot be read"):
        photo.load()


def test_a_missing_annotation_is_named(root):
    change(root, "trainval", "Abyssinian_7 1 1 1\n", "")
    refused("oxford_pets", root, "1 photos of list.txt stand neither .* first: Abyssinian_7")


def test_lists_that_contradict_each_other_are_named(root):
    change(root, "test", "Abyssinian_77 1", "Abyssinian_77 2")
    refused("oxford_pets", root, r"test\.txt, line \d+: Abyssinian_77 is of class 2, but list.txt has class 1")


def test_a_photo_in_both_lists_is_named(root):
    change(root, "test", "Abyssinian_77 1", "Abyssinian_7 1")
    refused("oxford_pets", root, r"test\.txt, line \d+: Abyssinian_7 stands in two lists")


def test_a_photo_twice_in_a_list_is_named(root):
    change(root, "trainval", "Abyssinian_14 1", "Abyssinian_7 1")
    refused("oxford_pets", root, r"trainval\.txt, line \d+: Abyssinian_7 stands twice")


def test_a_class_without_a_train_photo_is_named(root):
    gone = without(root, "trainval", lambda line: "Mau" in line)
    without(root, "list", gone.__contains__)
    refused("oxford_pets", root, "class 'Egyptian Mau' has no train photo in the annotations")


def without(root, name, taken):
    """Take lines out of a list and return them."""
    path = root / "annotations" / f"{name}.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not taken(line)) + "\n")
    return [line for line in lines if taken(line)]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("Abyssinian_7 x 1 1", "CLASS-ID is 'x', allowed are 1 to"),
        ("Abyssinian_7 0 1 1", "CLASS-ID is '0'"),
        ("Abyssinian_7 1", "expected 'Image CLASS-ID"),
        ("Abyssinian_7 2 1 1", "class 2 is both 'Abyssinian' and 'american pit bull terrier'"),
        ("Abyssinian_7 5 1 1", "class 4 of 5 has no photo"),
        ("../../secret_7 1 1 1", "class 1 is both"),
    ],
)
def test_wrong_lines_are_named(root, new, said):
    for name in ("list", "trainval"):
        change(root, name, "Abyssinian_7 1 1 1", new)
    refused("oxford_pets", root, said)


def test_a_path_out_of_the_folder_is_refused(root):
    for name in ("list", "trainval"):
        change(root, name, "Abyssinian_7 1 1 1", "../images/../../x_7 4 1 1")
    refused("oxford_pets", root, r"the file name '\.\./images/.*' leads out of the data set")


def test_a_list_that_is_no_text_is_named(root):
    (root / "annotations" / "test.txt").write_bytes(b"\xff\xfe\x00")
    refused("oxford_pets", root, r"test\.txt is not UTF-8 text")
    (root / "annotations" / "test.txt").write_text("# nothing\n")
    refused("oxford_pets", root, r"test\.txt lists nothing")
