import numpy as np
import pytest
from PIL import Image
from tests.datasets import published_layouts as layouts
from tests.datasets.test_published import opened, refused

from varireal.base.files import read_image


@pytest.fixture
def root(tmp_path):
    return layouts.fgvc_aircraft(tmp_path)


@pytest.fixture
def data(root):
    return root / "fgvc-aircraft-2013b" / "data"


def test_variants_are_as_given(root):
    dataset = opened("fgvc_aircraft", root)
    assert dataset.classes == ("707-320", "BAE 146-200", "F/A-18")
    assert {photo.image_id.partition("/")[0] for photo in dataset.photos()} == {"707-320", "bae-146-200", "f-a-18"}


def test_the_data_folder_itself_will_do(data):
    assert len(opened("fgvc_aircraft", data).photos()) == 36
    assert len(opened("fgvc_aircraft", data.parent).photos()) == 36


def test_the_published_splits_are_kept(root, data):
    for photo in opened("fgvc_aircraft", root).photos():
        assert photo.path.stem in (data / f"images_variant_{photo.split}.txt").read_text()


def test_the_banner_is_cut_off_photo_and_mask(root, tmp_path):
    first = opened("fgvc_aircraft", root).photos()[0]
    mask = np.zeros(layouts.SIZE, np.uint8)
    mask[:, :30] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / f"{first.path.stem}.png")
    photo = opened("fgvc_aircraft", root, masks_root=str(tmp_path / "masks")).photos()[0]
    files = photo.load()
    (tmp_path / "photo.png").write_bytes(files.data)
    (tmp_path / "mask.png").write_bytes(files.mask)
    assert files.suffix == ".png"
    assert (read_image(tmp_path / "photo.png") == read_image(photo.path)[:40]).all()
    assert (read_image(tmp_path / "mask.png")[..., 0] == mask[:40]).all()


def test_an_unknown_variant_is_named_with_a_similar_one(root, data):
    path = data / "images_variant_val.txt"
    path.write_text(path.read_text().replace("BAE 146-200", "BAE 146-20", 1))
    refused("fgvc_aircraft", root, r"val\.txt, line 5: unknown variant 'BAE 146-20' \(did they mean 'BAE 146-200'\?\)")


def test_a_photo_in_two_lists_or_twice_in_one_is_named(root, data):
    train, val = (data / f"images_variant_{split}.txt" for split in ("train", "val"))
    line = train.read_text().splitlines()[0]
    text = val.read_text()
    val.write_text(text + line + "\n")
    refused("fgvc_aircraft", root, r"images_variant_val\.txt, line 13: 0034310 stands in images_variant_train\.txt too")
    val.write_text(text + text.splitlines()[0] + "\n")
    refused("fgvc_aircraft", root, "the annotations list .*0034322.jpg twice")


def test_a_variant_without_train_photos_is_named(root, data):
    (data / "variants.txt").write_text("707-320\nBAE 146-200\nF/A-18\nConcorde\n")
    refused("fgvc_aircraft", root, "class 'Concorde' has no train photo")


def test_wrong_lines_are_named(root, data):
    path = data / "images_variant_test.txt"
    text = path.read_text()
    path.write_text(text + "0099999\n")
    refused("fgvc_aircraft", root, "line 13: expected '<image> <variant>', found '0099999'")
    path.write_text(text + "/etc/passwd F/A-18\n")
    refused("fgvc_aircraft", root, r"line 13: the file name '/etc/passwd\.jpg' leads out")
    path.unlink()
    refused("fgvc_aircraft", root, r"lacks images_variant_test\.txt in")
