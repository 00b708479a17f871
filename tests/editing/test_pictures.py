"""Where places and materials come from."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from varireal.base.files import atomic_write_bytes, encode_png
from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig
from varireal.editing.pictures import FolderPictures, GeneratedPictures
from varireal.errors import UserError
from varireal.prompts import AttributeSpec

LAVA = AttributeSpec(name="lava", phrase="on a lava field")


def write(path: Path, level: int) -> None:
    atomic_write_bytes(path, encode_png(np.full((4, 4, 3), level, np.uint8)))


def levels(source, spec: AttributeSpec, draws: int = 20) -> set[int]:
    return {int(source.pick(spec, np.random.default_rng(k))[0, 0, 0]) for k in range(draws)}


@pytest.mark.parametrize(
    "files",
    [
        ["background/infeasible/lava.png"],
        ["background/lava.png"],
        ["background/lava/0.png", "background/lava/1.png"],
        ["background/infeasible/lava/0.png", "background/infeasible/lava/1.png"],
    ],
)
def test_all_layouts_of_a_folder_are_found(tmp_path: Path, files: list[str]) -> None:
    for level, name in enumerate(files):
        write(tmp_path / name, level)
    (tmp_path / "background" / "notes.txt").write_text("no picture")
    source = FolderPictures(tmp_path, "background", "infeasible")
    source.check([LAVA])
    assert levels(source, LAVA) == set(range(len(files)))


def test_a_value_may_name_another_picture(tmp_path: Path) -> None:
    write(tmp_path / "background" / "volcano.png", 7)
    spec = LAVA.model_copy(update={"picture": "volcano"})
    assert levels(FolderPictures(tmp_path, "background", "infeasible"), spec) == {7}


def test_a_missing_picture_is_one_line_that_says_where_to_put_it(tmp_path: Path) -> None:
    write(tmp_path / "background" / "desert.png", 7)
    with pytest.raises(UserError, match=r"'lava' in .*background; add lava.jpg or lava/\*.jpg") as error:
        FolderPictures(tmp_path, "background", "feasible").check([LAVA])
    assert "\n" not in str(error.value)


def test_all_missing_pictures_are_named_at_once(tmp_path: Path) -> None:
    write(tmp_path / "background" / "desert.png", 7)
    specs = [LAVA.model_copy(update={"name": name}) for name in ("lava", "desert", "sea", "sky")]
    pictures = FolderPictures(tmp_path, "background", "feasible")
    with pytest.raises(UserError, match=r"no pictures of 3 values in .*background: lava, sea, sky; add <name>\.jpg"):
        pictures.check(specs)
    pictures.check(specs[1:2])


@pytest.mark.parametrize("written", ["background/{}.png", "background/{}/a.png", "background/infeasible/{}/a.png"])
def test_names_are_found_however_their_letters_are_composed(tmp_path: Path, written: str) -> None:
    write(tmp_path / written.format(unicodedata.normalize("NFD", "forêt")), 7)
    spec = LAVA.model_copy(update={"name": unicodedata.normalize("NFC", "forêt")})
    assert levels(FolderPictures(tmp_path, "background", "infeasible"), spec) == {7}


def test_rests_of_systems_are_no_pictures(tmp_path: Path) -> None:
    write(tmp_path / "background" / "lava" / "0.png", 7)
    (tmp_path / "background" / "lava" / "._0.png").write_bytes(b"Mac OS X")
    write(tmp_path / "background" / "lava" / "@eaDir" / "0.png" / "SYNOFILE_THUMB_M.png", 9)
    write(tmp_path / "background" / "lava" / "SYNOFILE_THUMB_M.png", 9)
    assert levels(FolderPictures(tmp_path, "background", "infeasible"), LAVA) == {7}


def test_an_empty_folder_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "background" / "lava").mkdir(parents=True)
    with pytest.raises(UserError, match="no picture of 'lava'"):
        FolderPictures(tmp_path, "background", "feasible").check([LAVA])


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "0.png", 1)
    (tmp_path / "pictures" / "background").mkdir(parents=True)
    (tmp_path / "pictures" / "background" / "lava").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="outside"):
        FolderPictures(tmp_path / "pictures", "background", "feasible").check([LAVA])


def test_the_identity_follows_the_content_not_the_place(tmp_path: Path) -> None:
    for root, level in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / root / "background" / "lava.png", level)
    keys = [FolderPictures(tmp_path / root, "background", "feasible").identity(LAVA) for root in "abc"]
    assert keys[0] == keys[1] != keys[2]


ENGINE = LocalEngine(ComputeConfig(workers=1), ())  # in this process


class CountingMaker:
    """Makes flat pictures whose level is the seed's last digits, and counts."""

    identity = {"checkpoint": "flat"}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.released = 0

    def make(self, sentences, seeds):
        self.sentences += [sentence.text for sentence in sentences]
        return [np.full((4, 4, 3), seed % 251, np.uint8) for seed in seeds]

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


def test_a_bank_is_made_once_per_sentence_and_reused(work: Path) -> None:
    first = CountingMaker()
    source = GeneratedPictures(first, "background", bank_size=3, seed=0)
    source.prepare([LAVA, LAVA], ENGINE)
    assert first.sentences == ["a photo of an empty scene on a lava field"] * 3
    assert first.released == 1
    assert len(levels(source, LAVA)) == 3

    second = CountingMaker()
    again = GeneratedPictures(second, "background", bank_size=3, seed=0)
    again.prepare([LAVA], ENGINE)
    assert second.sentences == [] and second.released == 0
    assert levels(again, LAVA) == levels(source, LAVA)


def test_another_seed_or_size_makes_another_bank(work: Path) -> None:
    keys = {
        GeneratedPictures(CountingMaker(), attribute, size, seed).identity(LAVA)
        for attribute, size, seed in [
            ("background", 3, 0),
            ("background", 3, 1),
            ("background", 4, 0),
            ("texture", 3, 0),
        ]
    }
    assert len(keys) == 4
