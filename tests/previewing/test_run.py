"""A preview of a whole study: nothing that it made is made again, and its page shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.tiny_study import CELLS, TONES, change, make_study, run_stages

from varireal import paths
from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.doctor.estimate import TrainingPace
from varireal.editing.editors import PasteEditor
from varireal.previewing import forecast, upstream

PACE = TrainingPace(1.0, 0.5, 0.1, 0.01, 0.01, 1, 3000, 5000)
CLASSES = ("<b>a", "b", "c")


@pytest.fixture(scope="module")
def previewed(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A folder in which a preview ran, as the current one; yields its figures, its words and its page."""
    root = tmp_path_factory.mktemp("previewed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        patch.setattr(forecast, "time_training_apart", lambda *_: PACE)  # doctor's own tests time training
        make_study(tiny_clip, classes=CLASSES)
        bank = yaml.safe_load(Path("bank.yaml").read_text())
        # the photos' own colours, which a run asks for of the other classes alone
        bank["color"]["feasible"]["all"] += [
            {"name": f"tone {k}", "phrase": f"tone {k}", "rgb": list(tone)} for k, tone in enumerate(TONES)
        ]
        Path("bank.yaml").write_text(yaml.safe_dump(bank))
        change(edit__recipes__color__feasible__least_change=25.0)
        change(edit__inpaint__batch_size=2, compute__num_threads=1, compute__workers=1)
        run_stages([["prepare"], ["prompt"]])
        result = CliRunner().invoke(main, ["preview", "-n", "4", "--no-repro"], catch_exceptions=False)
        assert result.exit_code == 0
        yield {
            "figures": json.loads((paths.PREVIEW / "preview.json").read_text()),
            "words": result.output,
            "page": (paths.PREVIEW / "index.html").read_text(),
        }


def test_it_counts_what_it_made(previewed: dict[str, Any]) -> None:
    figures = previewed["figures"]
    chosen = ["c/train-photo-0", "b/train-photo-2", "b-a/train-photo-1", "c/train-photo-1"]
    assert figures["photos"] == chosen
    # in pairs, sorted: b-a 0 and 1, b-a 2 and b 0, b 1 and 2, c 0 and 1, c 2; three of them hold a chosen photo
    assert figures["masks"] == {"looked_at": 6, "failed": 0}
    for name in ("color feasible", "color infeasible"):
        cell = figures["cells"][name]
        assert (cell["edits"], cell["accepted"], cell["attempts"], cell["lost"]) == (4, 4, 4, 0.0)
        assert cell["mix_chance"] > 0.99
    assert {"segment", "edit color feasible", "train, all cells", "disk"} <= {f["name"] for f in figures["forecast"]}
    assert "preview/index.html" in previewed["words"]


def test_the_page_escapes_names_and_needs_nothing_from_outside(previewed: dict[str, Any]) -> None:
    page = previewed["page"]
    assert "&lt;b&gt;a" in page and "<b>a" not in page
    assert "http" not in page.replace('http-equiv="', "") and "default-src 'none'" in page
    assert page.count('<article class="edit"') == 8
    assert page.count("data:image") >= 8 * 4  # photo, mask, prior, edit


def test_a_second_preview_makes_nothing_and_says_the_same(previewed: dict[str, Any], monkeypatch) -> None:
    monkeypatch.setattr(PasteEditor, "edit", lambda *_: pytest.fail("an edit was made again"))
    result = CliRunner().invoke(main, ["preview", "-n", "4", "--no-repro"], catch_exceptions=False)
    assert result.exit_code == 0
    again = json.loads((paths.PREVIEW / "preview.json").read_text())
    for part in ("photos", "masks", "cells", "warnings"):  # times included: those of the first preview are remembered
        assert again[part] == previewed["figures"][part]


def test_the_run_makes_only_what_the_preview_did_not(previewed: dict[str, Any], monkeypatch) -> None:
    made: list[str] = []
    edit = PasteEditor.edit

    def counted(self: PasteEditor, jobs: Any, seeds: Any) -> Any:
        made.extend(job.image_id for job in jobs)
        return edit(self, jobs, seeds)

    monkeypatch.setattr(PasteEditor, "edit", counted)
    run_stages([["segment"], ["edit", *CELLS[0]]])
    edits = {record.image_id for record in read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")}
    shown = {f"{photo}#color-feasible-0" for photo in previewed["figures"]["photos"]}
    assert len(edits) == 18 and shown < edits
    assert sorted(made) == sorted(edits - shown)


def test_masks_that_all_fail_are_shown_and_end_nothing(previewed: dict[str, Any]) -> None:
    settings = paths.PARAMS.read_text()
    change(segment__min_area=0.9, segment__max_area=1.0)  # they are 20 x 24 of 32 x 32 pixels
    result = CliRunner().invoke(main, ["preview", "-n", "4", "--no-repro"], catch_exceptions=False)
    paths.PARAMS.write_text(settings)
    assert result.exit_code == 0
    assert "Warning: 6 of 6 masks cannot be used (the first, of b-a/train-photo-0: too small: 46.88%" in result.output
    assert "color feasible: no photo can be edited (too small: 46.88% of the photo" in result.output
    page = (paths.PREVIEW / "index.html").read_text()
    assert "<p>6 of 6 cannot be used.</p>" in page and "There is no edit to show." in page
    assert page.count("data:image") == 6 * 2  # photo and mask
    figures = json.loads((paths.PREVIEW / "preview.json").read_text())
    assert figures["masks"] == {"looked_at": 6, "failed": 6}
    assert figures["cells"]["color feasible"]["mix_chance"] is None


def test_without_photos_it_says_what_to_run(tiny_clip: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_study(tiny_clip)
    result = CliRunner().invoke(main, ["preview", "--no-repro"])
    assert "run `dvc repro prepare` first" in str(result.exception)
    monkeypatch.setattr(upstream.paths, "PIPELINE", Path("nowhere.yaml"))
    result = CliRunner().invoke(main, ["preview"])
    assert "run from the root of the repository" in str(result.exception)
