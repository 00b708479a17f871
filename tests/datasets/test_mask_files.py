"""Masks judged by what stands in their files."""

import numpy as np
import pytest
from PIL import Image

from varireal.datasets.mask_files import fitted, object_of, object_of_trimap, read_raw_mask, turn
from varireal.errors import UserError


def disc(*levels: int, dtype=np.uint8) -> np.ndarray:
    """Stripes of equal width: 0, then each level."""
    return np.repeat(np.array([0, *levels]), 10)[None].repeat(30, axis=0).astype(dtype)


def rimmed(*levels: int) -> np.ndarray:
    """White beside black, and a rim of one pixel for each level between them."""
    return np.repeat(np.array([0] * 20 + list(levels) + [255] * 20, np.uint8)[None], 30, axis=0)


def read(tmp_path, values, labels=None, name="m.png", **options):
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    picture.save(tmp_path / name, **options)
    return object_of(read_raw_mask(tmp_path / name), labels)


def refused(tmp_path, said, values, labels=None, **options) -> None:
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, values, labels, **options)
    assert "m." in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (disc(1, dtype=np.uint16), r"m\.png has 16 bits and holds 0, 1, where white would be 65535"),
        (disc(255, dtype=np.uint16), r"16 bits and holds 0, 255,.*dataset\.mask_labels"),
        (disc(1, 2, 181, dtype=np.uint16), "holds 0, 1, 2, 181"),
        (disc(4095, dtype=np.uint16), "holds 0, 4095"),
        (disc(1, 65535, dtype=np.uint16), "holds label numbers .0, 1, 65535."),
        (disc(1), r"no value above 1, so it holds label numbers or is too dark \(0, 1\)"),
        (disc(1, 255), r"holds label numbers \(0, 1, 255\)"),
        (disc(3, 15, 255), r"holds label numbers \(0, 3, 15, 255\)"),
        (disc(1, 2, 181), r"holds label numbers \(0, 1, 2, 181\)"),
        (disc(*range(1, 20)), "no value above 19, .*20 values from 0 to 19"),
        (disc(85, 170, 255), r"areas of grey \(0, 85, 170, 255\), .*stretched.*dataset\.mask_labels"),
        (disc(127, 254), r"areas of grey \(0, 127, 254\)"),
        (disc(128, 255), r"areas of grey \(0, 128, 255\).*or what is unknown"),
        (disc(21845, 43690, 65535, dtype=np.uint16), r"areas of grey \(0, 21845, 43690, 65535\)"),
    ],
)
def test_label_numbers_are_refused_with_the_values_that_stand_there(tmp_path, values, said):
    refused(tmp_path, said, values)


@pytest.mark.parametrize(
    "values",
    [disc(255), rimmed(64, 128, 191), disc(51, 102, 153, 204, 255), disc(200), disc(254), disc(255).astype(bool),
     disc(65535, dtype=np.uint16), disc(*range(5, 256, 10))],
    ids=lambda values: f"{values.dtype}-{len(np.unique(values))}-{values.max()}",
)  # fmt: skip
def test_black_and_white_is_read_at_any_depth_with_soft_rims(tmp_path, values):
    top = 1 if values.dtype == bool else 65535 if values.dtype == np.uint16 else 255
    assert np.array_equal(read(tmp_path, values) > 127, values.astype(float) / top > 0.5)


def test_a_lossy_mask_has_small_values_at_its_rim(tmp_path):
    assert (read(tmp_path, disc(255), name="m.jpg", quality=80) > 127).mean() == 0.5


@pytest.mark.parametrize("quality", [10, 40, 80, 100])
def test_a_grey_mask_that_webp_tints_is_no_coloured_one(tmp_path, quality):
    assert (read(tmp_path, disc(255), name="m.webp", quality=quality) > 127).mean() == 0.5


def test_label_numbers_of_a_lossless_webp_are_label_numbers(tmp_path):
    refused(tmp_path, r"label numbers \(0, 1, 255\)", disc(1, 255), name="m.webp", lossless=True)
    found = read(tmp_path, disc(1, 255), [1], name="m.webp", lossless=True)
    assert np.array_equal(found, (disc(1, 255) == 1) * 255)


@pytest.mark.parametrize(("name", "options"), [("m.jpg", {"quality": 95}), ("m.webp", {"quality": 95})])
def test_label_numbers_that_were_saved_lossily_are_refused(tmp_path, name, options):
    refused(tmp_path, "saved lossily, which changes label numbers .*PNG", disc(1, 3), [3], name=name, **options)


def test_numbers_below_0_are_refused(tmp_path):
    for dtype in (np.int32, np.float32):
        refused(tmp_path, r"values below 0 \(-1, 0\)", disc(1, dtype=dtype) - 1, name="m.tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_mask_with_an_alpha_channel_that_hides_nothing_is_read(tmp_path, mode):
    assert np.array_equal(read(tmp_path, Image.fromarray(disc(255)).convert(mode)), disc(255))
    found = read(tmp_path, Image.fromarray(disc(1, 2)).convert(mode), [2])
    assert np.array_equal(found, (disc(1, 2) == 2) * 255)


@pytest.mark.parametrize("name", ["m.tif", "m.gif", "m.png"])
def test_a_mask_of_several_pages_is_refused(tmp_path, name):
    page, other = Image.fromarray(disc(255)), Image.fromarray(255 - disc(255))
    refused(tmp_path, "holds 2 pages or frames; save the one", page, name=name, save_all=True, append_images=[other])


def test_a_page_that_is_a_smaller_preview_of_the_first_does_no_harm(tmp_path):
    page = Image.fromarray(disc(255))
    preview = page.resize((10, 15))
    assert np.array_equal(read(tmp_path, page, name="m.tif", save_all=True, append_images=[preview]), disc(255))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_named_labels_are_the_object(tmp_path, dtype):
    values = disc(1, 2, 255, dtype=dtype)
    assert np.array_equal(read(tmp_path, values, [1, 255]), np.isin(values, [1, 255]) * 255)


def test_a_palettes_numbers_count_and_not_its_colours(tmp_path):
    picture = Image.fromarray(disc(12, 255), mode="P")
    picture.putpalette([value for number in range(256) for value in (number, 0, 255 - number)])
    assert np.array_equal(read(tmp_path, picture, [12]), (disc(12, 255) == 12) * 255)
    refused(tmp_path, r"numbers: 0, 12, 255\).*dataset\.mask_labels", picture)


def test_a_palette_of_black_and_white_is_black_and_white(tmp_path):
    picture = Image.fromarray(disc(1), mode="P")
    picture.putpalette([0, 0, 0, 255, 255, 255])
    assert np.array_equal(read(tmp_path, picture), disc(255))


def test_labels_that_the_mask_lacks_are_an_error_that_says_what_it_has(tmp_path):
    refused(tmp_path, r"none of dataset\.mask_labels = \[7\], it holds 0, 1, 2", disc(1, 2), [7])
    assert not read(tmp_path, disc(0), [7]).any()  # an empty mask is no fault of the numbers


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_and_transparency_are_refused(tmp_path, mode):
    pixels = np.arange(40 * 30 * len(mode), dtype=np.uint8).reshape(30, 40, -1)
    refused(tmp_path, "coloured or transparent", Image.fromarray(pixels, mode=mode))


def test_grey_saved_as_rgb_is_read(tmp_path):
    assert np.array_equal(read(tmp_path, np.repeat(disc(255)[..., None], 3, axis=2)), disc(255))


def test_floats_are_refused_unless_their_numbers_are_named(tmp_path):
    values = disc(1, 3, dtype=np.float32)
    refused(tmp_path, "holds 0, 1, 3", values, name="m.tiff")
    assert np.array_equal(read(tmp_path, values, [3], name="m.tiff"), (values == 3) * 255)


def test_a_trimaps_border_is_the_object_at_any_depth(tmp_path):
    for dtype in (np.uint8, np.uint16):
        values = np.array([[1, 2, 3]], dtype)
        Image.fromarray(values).save(tmp_path / "t.png")
        assert object_of_trimap(read_raw_mask(tmp_path / "t.png")).tolist() == [[255, 0, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_what_exif_means(tmp_path, orientation):
    from PIL import ImageOps

    values = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(turn(values, orientation), expected)
    assert np.array_equal(read_raw_mask(tmp_path / "x.png").values, expected)


def fit(shape, size, orientation, carries=False):
    from pathlib import Path

    mask = np.arange(shape[0] * shape[1]).reshape(shape)
    return mask, *fitted(mask, carries, Path("m.png"), Path("p.jpg"), size, orientation)


@pytest.mark.parametrize(
    ("shape", "size", "orientation", "carries", "certain"),
    [
        ((4, 6), (4, 6), 1, False, True),
        ((4, 6), (4, 6), 6, False, True),  # the stored photo is 6 x 4
        ((4, 6), (4, 6), 3, False, False),
        ((4, 6), (4, 6), 2, False, False),
        ((4, 6), (4, 6), 3, True, True),
        ((5, 5), (5, 5), 6, False, False),
    ],
)
def test_a_mask_of_the_upright_photos_size_stays(shape, size, orientation, carries, certain):
    mask, placed, sure = fit(shape, size, orientation, carries)
    assert np.array_equal(placed, mask)
    assert sure is certain


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_that_fits_the_stored_photo_alone_is_turned_with_it(orientation):
    mask, placed, sure = fit((4, 6), (6, 4), orientation)
    assert np.array_equal(placed, turn(mask, orientation))
    assert sure


def test_another_size_is_refused_with_all_sizes():
    with pytest.raises(UserError, match=r"m\.png is 7x3 pixels, but its photo p\.jpg is 4x6 \(upright\) \(6x4 as sto"):
        fit((3, 7), (6, 4), 6)
