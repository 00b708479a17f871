"""Names of every kind in every path: the study runs with them, and nothing is written outside of its folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from tests.tiny_study import TO_REPORT, make_study, run_stages

from varireal import paths
from varireal.base.files import read_json
from varireal.base.manifest import read_manifest

pytestmark = pytest.mark.slow

# what a class may be called: signs of shells, YAML, HTML and templates, devices of Windows, several scripts
CLASSES = ["CON", "-rf", "#1 $HOME ${x}", "100% \"weiß\" & <b>'x'", "猫 🐈", "[0]: {a..b}", "%2E%2E%2Fetc"]


@pytest.fixture
def odd_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose own path has spaces, accents and signs."""
    folder = tmp_path / "Räume & more" / "日本 #1 %20 'q'"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_the_whole_study_runs_with_names_of_every_kind(odd_folder: Path, tiny_clip: Path) -> None:
    make_study(tiny_clip, root="meine Fotos/für #1", masks="Masken & co", classes=CLASSES)
    run_stages(TO_REPORT)
    assert read_json(paths.DATASET_INFO)["classes"] == sorted(CLASSES)
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    assert {photo.class_name for photo in photos} == set(CLASSES)
    edits = read_manifest(paths.edit_folder("color", "infeasible") / "manifest.parquet")
    for record in (*photos, *edits):
        path = Path(record.path)
        assert path.resolve().is_relative_to(odd_folder / "data") and path.is_file()
        assert (
            record.path.isascii() and "con" not in path.parts and not any(part.startswith("-") for part in path.parts)
        )
    page = (paths.REPORTS / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page and "<b>'x'" not in page and "猫 🐈" in page
    assert sorted(path.name for path in odd_folder.parent.iterdir()) == [odd_folder.name]
    store = f"sqlite:///{quote(str(odd_folder / 'mlflow.db'))}"
    assert [each.name for each in MlflowClient(store).search_experiments()] != ["Default"]
