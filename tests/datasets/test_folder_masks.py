"""Which mask belongs to which photo."""

import unicodedata
from pathlib import Path

import pytest

from varireal.datasets.folder_masks import find_masks
from varireal.errors import UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(("photos", "masks"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_are_compared_with_composed_letters(tmp_path, photos, masks):
    photo = Path(unicodedata.normalize(photos, "Épagneul/höhle.jpg"))
    mask = tmp_path / unicodedata.normalize(masks, "Épagneul/höhle.png")
    touch(mask)
    assert find_masks(str(tmp_path), [photo]) == {photo: mask}


def test_one_mask_that_fits_two_photos_is_refused_with_all_three_names(tmp_path):
    touch(tmp_path / "cat/0.png", tmp_path / "cat/1.png")
    with pytest.raises(UserError, match=r"cat/0\.png fits two photos, cat/0\.jpg and cat/0\.png; rename"):
        find_masks(str(tmp_path), [Path("cat/0.jpg"), Path("cat/0.png"), Path("cat/1.jpg")])


def test_two_photos_of_one_name_without_a_mask_are_let_be(tmp_path, caplog):
    touch(tmp_path / "cat/1.png")
    photos = [Path("cat/0.jpg"), Path("cat/0.png"), Path("cat/1.jpg")]
    assert find_masks(str(tmp_path), photos) == {Path("cat/1.jpg"): tmp_path / "cat/1.png"}
    assert "2 of 3 photos have no mask (the first: cat/0.jpg)" in caplog.text


def test_two_masks_whose_names_look_the_same_are_refused(tmp_path):
    touch(*(tmp_path / unicodedata.normalize(form, "cat/höhle.png") for form in ("NFC", "NFD")))
    with pytest.raises(UserError, match="belong to the same photo"):
        find_masks(str(tmp_path), [Path("cat/höhle.jpg")])


def test_rests_of_systems_are_no_masks(tmp_path, caplog):
    touch(tmp_path / "cat/1.png", tmp_path / "cat/@eaDir/1.png/SYNOFILE_THUMB_M.png", tmp_path / "cat/._1.png")
    assert list(find_masks(str(tmp_path), [Path("cat/1.jpg")])) == [Path("cat/1.jpg")]
    assert "passed over 2 hidden files" in caplog.text


@pytest.mark.parametrize("mask", ["cat/1_mask.png", "cat/1.jpg.png", "Cat/1.png", "1.png", "masks/cat/1.png"])
def test_masks_under_other_names_are_named(tmp_path, mask):
    touch(tmp_path / mask)
    with pytest.raises(UserError, match=f"expected for example .*cat/1.png, there is .*{mask}; name masks as"):
        find_masks(str(tmp_path), [Path("cat/1.jpg")])


def test_masks_that_no_photo_has_are_told_where_photos_lack_some(tmp_path, caplog):
    touch(tmp_path / "cat/1.png", tmp_path / "cat/2_mask.png")
    assert len(find_masks(str(tmp_path), [Path("cat/1.jpg"), Path("cat/2.jpg")])) == 1
    assert "1 of 2 photos have no mask (the first: cat/2.jpg); 1 masks have no photo (the first: " in caplog.text
