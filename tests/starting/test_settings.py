"""Settings for photos of one's own, as `varireal init` writes them, and what it says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from varireal.cli import main
from varireal.config import load_params
from varireal.errors import UserError

REPOSITORY = Path(__file__).parents[2]
BANK = """# Use with dataset.domain_word: pet
background:
  feasible: {all: [{name: barn, phrase: in front of a barn}]}
  infeasible: {all: [{name: lava, phrase: on lava, picture: lava_field}, {name: sky, phrase: in the sky}]}
color:
  feasible: {Beagle: [{name: brown, phrase: brown, rgb: [90, 50, 30]}], all: [{name: red, phrase: red, rgb: [1, 2, 3]}]}
  infeasible: {all: [{name: pink, phrase: pink, rgb: [255, 48, 170]}]}
"""


def picture(path: Path, seed: int, width: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, plugins_of_the_repository: None) -> Path:
    """A folder with the project's settings and plugins, a bank, and photos with masks and pictures beside it."""
    root = tmp_path_factory.mktemp("own")
    clone = root / "clone"
    for name in ("conf", ".dvc/plugins"):
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "params.yaml", clone)
    (clone / "data/banks").mkdir(parents=True)
    (clone / "data/banks/two.yaml").write_text(BANK)
    shutil.copy(REPOSITORY / "data/banks/stanford_cars.yaml", clone / "data/banks")
    for c, name in enumerate(("Beagle", "Bengal")):
        for k in range(6):
            picture(root / f"my photos/{name}/{k}.jpg", 10 * c + k, 64 + k)
            if name == "Beagle":
                mask = Image.fromarray(np.full((48, 64 + k), 255, np.uint8))
                (root / "masks/Beagle").mkdir(parents=True, exist_ok=True)
                mask.save(root / f"masks/Beagle/{k}.png")
    picture(root / "pictures/background/barn.jpg", 90)
    picture(root / "pictures/background/infeasible/lava_field/1.jpg", 91)
    return root


@pytest.fixture
def here(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is a copy of the clone."""
    shutil.copytree(template, tmp_path / "all", symlinks=True)
    monkeypatch.chdir(tmp_path / "all/clone")
    return tmp_path / "all"


def init(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["init", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(main, ["init", *map(str, arguments)], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_photos_become_the_default_and_stay_it(here: Path) -> None:
    said = init("../my photos", "--masks", "../masks", "--pictures", "../pictures")
    params = load_params(Path("params.yaml"))
    assert params.dataset.root == str(here / "my photos") and params.watch["photos"] == str(here / "my photos")
    assert params.dataset.masks_root == params.watch["masks"] == str(here / "masks")
    assert params.edit.prior.pictures == params.watch["pictures"] == str(here / "pictures")
    assert (params.dataset.domain_word, params.prompt.bank) == ("pet", "data/banks/two.yaml")
    assert (params.segment.source, params.grid.attributes) == ("dataset", ["background", "color"])
    assert (params.clip.model, params.clip.pretrained) == ("ViT-B-16-quickgelu", "openai")
    assert params.tracking.experiment == "mine"
    # 6 a class: 0.25 and 0.15 of them, rounded half up, are 2 for test and 1 for val
    assert "2 classes, 12 photos (6 train, 2 val, 4 test)" in said and "sides of 48 to 69 pixels" in said
    assert "6 of 12 photos have one" in said and "none to train on in 1 classes (Bengal)" in said
    assert "missing in background/: infeasible/sky" in said and "varireal doctor" in said
    shutil.copy("params.yaml", "before.yaml")
    settings = [Path("conf").resolve(), Path(".dvc/plugins").resolve()]
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump("params.yaml", str(settings[0]), None, "config.yaml", str(settings[1]), ["mix.ratio=0.25"])
    before, after = (yaml.safe_load(Path(name).read_text()) for name in ("before.yaml", "params.yaml"))
    assert after == {**before, "mix": {**before["mix"], "ratio": 0.25}}


def test_without_masks_and_pictures_objects_are_found_by_name_and_colors_alone_are_edited(here: Path) -> None:
    said = init(
        "../my photos", "--bank", "data/banks/two.yaml", "--word", "cat", "--clip", "local-dir:models/demo/clip"
    )
    params = load_params(Path("params.yaml"))
    assert (params.segment.source, params.segment.fallback) == ("grounded_sam2", "clipseg")
    assert params.dataset.masks_root is None and params.watch["masks"] == "src/varireal/base"
    assert params.grid.attributes == ["color"] and params.watch["pictures"] == "src/varireal/base"
    assert (params.dataset.domain_word, params.clip.pretrained) == ("cat", None)
    assert "Masks    none" in said and "must be downloaded" in said and "colors alone are edited" in said


def test_where_no_bank_fits_the_one_to_write_is_named(here: Path) -> None:
    Path("data/banks/two.yaml").unlink()
    said = init("../my photos", "--name", "dogs")
    assert "none of data/banks fits these classes: write data/banks/dogs.yaml" in said and "--word" in said
    assert load_params(Path("params.yaml")).prompt.bank == "data/banks/dogs.yaml"
    assert Path("conf/dataset/dogs.yaml").is_file()


def test_settings_that_are_there_are_kept_unless_they_may_be_replaced(here: Path) -> None:
    init("../my photos", "--masks", "../masks")
    held = Path("conf/dataset/mine.yaml").read_bytes()
    init("../my photos", "--masks", "../masks")  # the same once more
    assert "holds other settings; give --replace" in refused("../my photos")
    assert Path("conf/dataset/mine.yaml").read_bytes() == held
    init("../my photos", "--replace")
    assert Path("conf/dataset/mine.yaml").read_bytes() != held


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["../nowhere"], "PHOTOS '../nowhere' is no folder"),
        (["../my photos", "--masks", "../gone"], "--masks '../gone' is no folder"),
        (["../my photos", "--name", "Two Words"], "--name 'Two Words': give a name of small letters"),
        (["../my photos", "--name", "oxford_pets"], "--name 'oxford_pets': give a name"),
        (["../my photos/Beagle"], "holds no class folder"),
        (["../pictures/background"], "lies in no class folder"),
        (["../my photos", "--bank", "gone.yaml"], "gone.yaml"),
        (["~nobody-here/photos"], "PHOTOS '~nobody-here/photos' is no folder"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(here: Path, arguments: list[str], said: str) -> None:
    before = {path: path.read_bytes() for path in Path("conf").rglob("*.yaml")} | {0: Path("params.yaml").read_bytes()}
    assert said in refused(*arguments)
    after = {path: path.read_bytes() for path in Path("conf").rglob("*.yaml")} | {0: Path("params.yaml").read_bytes()}
    assert before == after


@pytest.mark.parametrize(("name", "said"), [(b"two\nlines", r"two\nlines"), (b"caf\xe9", r"caf\udce9")])
def test_a_folder_that_settings_cannot_name_is_refused(here: Path, name: bytes, said: str) -> None:
    (here / "my photos").rename(here / os.fsdecode(name))
    assert f"{said} has signs that settings cannot hold" in refused(f"../{os.fsdecode(name)}")
    assert not Path("conf/dataset/mine.yaml").exists()


def test_a_bank_that_cannot_be_read_is_named_and_stops_nobody(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("data/banks/mine.yaml").write_text("color:\n\tfeasible: {}\n")
    assert "data/banks/two.yaml: names" in init("../my photos", "--pictures", "../pictures")
    (record,) = caplog.records
    assert record.getMessage().startswith("passed over: data/banks/mine.yaml is not valid YAML")


def test_one_class_is_none(here: Path) -> None:
    shutil.rmtree(here / "my photos/Bengal")
    assert "one class only" in refused("../my photos")


def test_a_default_that_is_not_where_it_was_is_named(here: Path) -> None:
    config = Path("conf/config.yaml")
    config.write_text(config.read_text().replace("  - dataset: ", "  - dataset@x: "))
    assert "names no default data set" in refused("../my photos")
    assert not Path("conf/dataset/mine.yaml").exists()


def test_the_form_of_the_defaults_is_the_one_that_is_looked_for() -> None:
    from varireal.starting.settings import DEFAULT

    assert DEFAULT.search((REPOSITORY / "conf/config.yaml").read_text())


def test_every_bank_says_what_its_classes_are() -> None:
    from varireal.starting.banks import WORD

    words = {path.stem: WORD.search(path.read_text()) for path in sorted((REPOSITORY / "data/banks").glob("*.yaml"))}
    found = {name: word.group(1) for name, word in words.items() if word}
    assert found == {"fgvc_aircraft": "aircraft", "oxford_pets": "pet", "pets": "pet", "stanford_cars": "car",
                     "waterbirds": "bird"}  # fmt: skip
