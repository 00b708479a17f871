import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from varireal import cli, paths
from varireal.base.files import read_json, sha256_file, sha256_folder
from varireal.base.manifest import read_manifest
from varireal.errors import UserError
from varireal.stages.prepare import command

REPOSITORY = Path(__file__).parents[2]


def prepare():
    return CliRunner().invoke(command, [], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the committed settings."""
    monkeypatch.chdir(tmp_path)
    paths.PARAMS.write_text((REPOSITORY / "params.yaml").read_text())
    return tmp_path


def settings(**dataset):
    params = yaml.safe_load(paths.PARAMS.read_text())
    params["dataset"] |= dataset
    paths.PARAMS.write_text(yaml.safe_dump(params))


@pytest.fixture
def rendered(folder):
    settings(
        size=32, train_per_class=1, val_per_class=1, test_per_class=1, pictures_per_place=1, pictures_per_material=1
    )


@pytest.fixture
def photos(folder):
    """Photos of two classes with masks, in a folder whose name has a space."""
    for order, name in enumerate(("cat", "Schäfer hund")):
        for kind in ("my photos", "my masks"):
            (folder / kind / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(10 * order + number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "my photos" / name / f"{number}.jpg")
            Image.fromarray((pixels[..., 0] > 127).astype(np.uint8) * 255).save(
                folder / "my masks" / name / f"{number}.png"
            )
    settings(name="image_folder", domain_word="pet", root="my photos", masks_root="my masks")
    return folder / "my photos"


def test_the_rendered_world_is_written_and_described(rendered):
    prepare()
    info = read_json(paths.DATASET_INFO)
    records = read_manifest(paths.PHOTOS_MANIFEST)
    assert (info["name"], info["domain_word"], len(info["classes"])) == ("rendered_aircraft", "aircraft", 10)
    assert info["counts"]["test"] == dict.fromkeys(info["classes"], 1)
    assert len(records) == 30
    for record in records:
        assert record.class_name == info["classes"][record.class_index]
        assert sha256_file(Path(record.path)) == record.sha256
        assert Path(record.mask_path).is_file()
    assert len(list(paths.PICTURES.glob("background/*/000.png"))) == 16
    assert len(list(paths.PICTURES.glob("texture/*/000.png"))) == 10


def test_preparing_again_gives_the_same_bytes(photos):
    prepare()
    first = sha256_folder(paths.PREPARED)
    prepare()
    assert sha256_folder(paths.PREPARED) == first


def test_ones_own_photos_are_written_and_described(photos):
    prepare()
    info = read_json(paths.DATASET_INFO)
    records = read_manifest(paths.PHOTOS_MANIFEST)
    assert info["classes"] == ["Schäfer hund", "cat"]
    assert {split: counts["cat"] for split, counts in info["counts"].items()} == {"train": 3, "val": 1, "test": 2}
    assert len(records) == 12 and all(Path(record.mask_path).is_file() for record in records)
    assert records[-1].path.startswith("data/prepared/photos/schafer-hund/")
    assert not paths.PICTURES.exists()


def test_left_out_photos_are_recorded(photos):
    (photos / "cat" / "1.jpg").write_bytes(b"broken")
    settings(on_bad_image="skip")
    prepare()
    (left_out,) = read_json(paths.DATASET_INFO)["skipped"].items()
    assert left_out[0] == "my photos/cat/1.jpg" and "cannot be read" in left_out[1]
    assert len(read_manifest(paths.PHOTOS_MANIFEST)) == 11


def test_bad_input_keeps_what_was_there_and_is_one_line_with_exit_code_1(photos, monkeypatch, capsys):
    prepare()
    before = sha256_folder(paths.PREPARED)
    (photos / "cat" / "1.jpg").write_bytes((photos / "cat" / "1.jpg").read_bytes()[:400])
    monkeypatch.setattr(sys, "argv", ["varireal", "prepare"])
    with pytest.raises(SystemExit) as caught:
        cli.program()
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert caught.value.code == 1
    assert last.startswith("Error: the image my photos/cat/1.jpg cannot be read")
    assert sha256_folder(paths.PREPARED) == before
    assert [path.name for path in Path("data").iterdir()] == ["prepared"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"root": None}, "image_folder needs root"),
        ({"root": "gone"}, "dataset.root = 'gone' is no folder"),
        ({"val_share": 0.6, "test_share": 0.4}, "leave nothing for training"),
        ({"on_bad_image": "maybe"}, "on_bad_image"),
        ({"rot": "x"}, "unknown key dataset.rot; did you mean root"),
    ],
)
def test_wrong_settings_are_named(photos, changes, said):
    settings(**changes)
    with pytest.raises(UserError, match=said):
        prepare()


def test_a_single_class_is_refused_before_anything_is_written(photos):
    shutil.rmtree(photos / "cat")
    with pytest.raises(UserError, match="one class only"):
        prepare()
    assert not paths.PREPARED.exists()
