import io

import numpy as np
import pytest
from PIL import Image

from varireal.base.files import read_image
from varireal.datasets.photo_files import load_photo_files
from varireal.errors import UserError

ORIENTATION = 0x0112


def decoded(files):
    return np.asarray(Image.open(io.BytesIO(files.data)))


def shades(height=40, width=60):
    """A picture without symmetry: each channel its own ramp."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) * 2], axis=2).astype(np.uint8)


def load(path, mask=None, min_side=8, max_side=None):
    return load_photo_files(path, mask, min_side, max_side)


def test_an_rgb_jpeg_is_kept_byte_for_byte(tmp_path):
    path = tmp_path / "a.JPEG"
    Image.fromarray(shades()).save(path, quality=90)
    files = load(path)
    assert (files.suffix, files.width, files.height, files.mask) == (".jpg", 60, 40, None)
    assert files.data == path.read_bytes()


def test_an_rgb_png_is_kept_byte_for_byte(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(shades()).save(path)
    assert load(path).data == path.read_bytes()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"), ("L", "jpg"), ("LA", "png"), ("1", "png"), ("P", "png"), ("P", "gif"), ("CMYK", "jpg"),
        ("CMYK", "tiff"), ("YCbCr", "tiff"),
    ],
)  # fmt: skip
def test_other_colour_modes_become_lossless_rgb(tmp_path, mode, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(shades()).convert(mode).save(path)
    stored = Image.open(path)
    files = load(path)
    assert decoded(files).shape == (40, 60, 3)
    assert files.suffix == ".png"
    np.testing.assert_array_equal(decoded(files), np.asarray(stored.convert("RGB")))


def test_grey_is_the_same_in_all_channels(tmp_path):
    grey = shades()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded(load(tmp_path / "a.png")), np.repeat(grey[..., None], 3, axis=2))


def test_sixteen_bit_grey_is_scaled_not_cut_off(tmp_path):
    values = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    expected = np.round(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(decoded(load(tmp_path / "a.png"))[..., 0], expected)


def test_transparency_is_laid_over_white(tmp_path):
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:, 30:] = (200, 10, 10, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = decoded(load(tmp_path / "a.png"))
    assert (image[:, :30] == 255).all()
    assert (image[:, 30:] == (200, 10, 10)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(shades()).save(tmp_path / "a.png", exif=exif)
    files = load(tmp_path / "a.png")
    upright = shades()
    # as the EXIF standard defines: the row and column that pixel (0, 0) of the file shows
    expected = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, -1), 7: np.rot90(upright, -1)[:, ::-1][::-1, ::-1],
        8: np.rot90(upright),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(decoded(files), expected)
    assert (files.height, files.width) == expected.shape[:2]


def test_a_rotated_jpeg_is_stored_upright_and_lossless(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(shades()).save(tmp_path / "a.jpg", exif=exif)
    files = load(tmp_path / "a.jpg")
    assert (files.suffix, files.width, files.height) == (".png", 40, 60)
    np.testing.assert_array_equal(decoded(files), read_image(tmp_path / "a.jpg"))


def test_large_photos_are_scaled_with_their_mask(tmp_path):
    Image.fromarray(shades(400, 600)).save(tmp_path / "a.jpg")
    mask = np.zeros((400, 600), np.uint8)
    mask[100:200, 300:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    files = load(tmp_path / "a.jpg", tmp_path / "m.png", max_side=60)
    assert (files.suffix, files.width, files.height) == (".png", 60, 40)
    small = np.asarray(Image.open(io.BytesIO(files.mask)))
    expected = np.zeros((40, 60), np.uint8)
    expected[10:20, 30:] = 255
    np.testing.assert_array_equal(small, expected)


@pytest.mark.parametrize(("min_side", "max_side", "said"), [(41, None, "60x40 pixels, below"), (8, 10, "10x7 when")])
def test_tiny_photos_are_refused_by_name(tmp_path, min_side, max_side, said):
    Image.fromarray(shades()).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=said) as caught:
        load(tmp_path / "a.jpg", min_side=min_side, max_side=max_side)
    assert str(tmp_path / "a.jpg") in str(caught.value)


def broken_file(path, kind):
    Image.fromarray(shades(100, 100)).save(path)
    whole = path.read_bytes()
    path.write_bytes({"text": b"not a picture", "empty": b"", "cut": whole[: len(whole) // 2]}[kind])


@pytest.mark.parametrize("kind", ["text", "empty", "cut"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_broken_photos_are_refused_by_name(tmp_path, kind, suffix):
    path = tmp_path / f"a.{suffix}"
    broken_file(path, kind)
    with pytest.raises(UserError, match="cannot be read") as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_flipped_bytes_give_a_picture_or_a_clear_refusal(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(shades()).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(100):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=4):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert decoded(load(path, min_side=1)).shape[2] == 3
        except UserError as error:
            assert str(path) in str(error)


def write_pair(folder, mask):
    Image.fromarray(shades()).save(folder / "a.png")
    Image.fromarray(mask).save(folder / "m.png")
    return folder / "a.png", folder / "m.png"


def test_a_mask_is_stored_as_black_and_white(tmp_path):
    mask = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    files = load(*write_pair(tmp_path, mask))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(files.mask))), np.where(mask > 127, 255, 0))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.zeros((60, 40), np.uint8), "is 40x60 pixels, but its photo"),
        (np.full((40, 60), 3, np.uint8), "no value above 3, so it holds label numbers"),
        (shades(), "coloured or transparent"),
        (np.zeros((40, 60, 4), np.uint8), "coloured or transparent"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(tmp_path, mask, said):
    with pytest.raises(UserError, match=said) as caught:
        load(*write_pair(tmp_path, mask))
    assert str(tmp_path / "m.png") in str(caught.value)


def test_an_empty_mask_is_no_fault_of_the_file(tmp_path):
    files = load(*write_pair(tmp_path, np.zeros((40, 60), np.uint8)))
    assert not np.asarray(Image.open(io.BytesIO(files.mask))).any()
