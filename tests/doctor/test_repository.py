"""Photos that an experiment would commit, and paths that copies of the repository lack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from varireal.doctor.repository import paths_not_carried, pictures_to_be_committed

SHIPPED = Path(__file__).parents[2] / ".gitignore"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with the project's .gitignore, and a folder of two photos beside it."""
    folder = tmp_path / "clone"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / ".gitignore").write_text(SHIPPED.read_text())
    return folder


def fill(folder: Path) -> Path:
    (folder / "cat").mkdir(parents=True)
    for name in ("a b.jpg", "é.jpg"):
        (folder / "cat" / name).write_bytes(b"x")
    return folder


def settings(root: str | None, masks: str | None = None, pictures: str | None = None, **watch: str) -> dict:
    return {
        "dataset": {"root": root, "masks_root": masks},
        "edit": {"prior": {"pictures": pictures}},
        "watch": {"photos": root or "", **watch},
    }


def test_photos_that_git_would_commit_are_named_with_the_way_out(root: Path) -> None:
    fill(root / "my photos")
    for name in ("my photos", "my photos/", str(root / "my photos")):
        said = pictures_to_be_committed(settings(name), root)
        assert said is not None and said.startswith(f"dataset.root = {name!r} lies in this repository")
        assert "its 2 files" in said and "echo '/my photos/' >> .gitignore" in said
    assert "dataset.masks_root" in str(pictures_to_be_committed(settings("/elsewhere", "my photos"), root))
    assert "edit.prior.pictures" in str(pictures_to_be_committed(settings(None, pictures="my photos"), root))


@pytest.mark.parametrize("name", ["photos", "pictures", "images", "masks", "photos_of_2024", "data/raw/mine"])
def test_usual_names_are_ignored_from_the_start(root: Path, name: str) -> None:
    fill(root / name)
    assert pictures_to_be_committed(settings(name), root) is None


def test_what_git_holds_or_leads_elsewhere_is_no_danger(root: Path, tmp_path: Path) -> None:
    fill(tmp_path / "disk")
    assert pictures_to_be_committed(settings(str(tmp_path / "disk")), root) is None
    (root / "linked").symlink_to(tmp_path / "disk")
    assert pictures_to_be_committed(settings("linked"), root) is None
    fill(root / "kept")
    subprocess.run(["git", "-C", str(root), "add", "kept"], check=True)
    assert pictures_to_be_committed(settings("kept"), root) is None
    fill(tmp_path / "loose" / "own")
    assert pictures_to_be_committed(settings("own"), tmp_path / "loose") is None  # no repository


def test_relative_paths_that_git_ignores_are_not_in_a_copy(root: Path, tmp_path: Path) -> None:
    fill(root / "photos")
    fill(root / "kept")
    (root / "models" / "tiny").mkdir(parents=True)
    said = paths_not_carried(settings("photos", "kept", inpaint="models/tiny", vae="src/varireal/base"), root)
    assert said == {"dataset.root": "photos", "watch.inpaint": "models/tiny"}
    assert paths_not_carried(settings(str(root / "photos")), root) == {}
    (root / "photos.dvc").write_text("outs: []")
    assert paths_not_carried(settings("photos"), root) == {}
