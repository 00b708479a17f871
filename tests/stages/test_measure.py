"""The stage measure on a study of its own, against figures worked out from the pictures."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny_study import CELLS, SIDE, change, make_study, run_stages

from varireal import paths
from varireal.base.files import atomic_write_bytes, encode_png, read_image, read_json, sha256_file
from varireal.base.manifest import ImageRecord, read_manifest, write_manifest
from varireal.editing.pixels import difference
from varireal.errors import UserError
from varireal.networks.clip import load_clip

MANIFEST = paths.edit_folder("color", "feasible") / "manifest.parquet"


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """A study up to its edits; made once."""
    folder = tmp_path_factory.mktemp("edited")
    before = Path.cwd()
    os.chdir(folder)
    try:
        make_study(tiny_clip)
        run_stages([["prepare"], ["prompt"], ["segment"], *(["edit", *cell] for cell in CELLS)])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def study(edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import shutil

    shutil.copytree(edited, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def measured() -> dict[str, Any]:
    run_stages([["measure"]])
    return read_json(paths.MEASURED)


def kept() -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in Path(".work/measure").glob("*/*")}


def mean_kernel(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.mean([[np.exp(-((a - b) ** 2).sum() / 200) for b in second] for a in first]))


def test_every_figure_is_what_the_pictures_give(study: Path, tiny_clip: Path) -> None:
    found = measured()
    edits = read_manifest(MANIFEST)
    photos = {photo.image_id: photo for photo in read_manifest(paths.PHOTOS_MANIFEST)}
    figures = found["cells"]["color"]["feasible"]
    assert figures["edits"] == figures["measured"] == len(edits) == 18  # 3 classes x 3 photos x 2
    assert (figures["changed_outside"], figures["pixels_changed_outside"]) == (0, 0)
    assert figures["ssim_outside"] is None  # the object leaves no pixel whose whole window lies outside
    assert 0 < figures["ssim_inside"] < 0.9 and 5 < figures["psnr_inside"] < 40
    apart = [difference(read_image(Path(photos[e.photo_id].path)), read_image(Path(e.path))) for e in edits]
    inside = np.zeros((SIDE, SIDE), bool)
    inside[6:26, 4:28] = True
    assert figures["delta_e"] == pytest.approx(np.mean([each[inside] for each in apart]), abs=1e-4)
    assert figures["untouched"] == pytest.approx(np.mean([each[inside] < 2.3 for each in apart]), abs=1e-4)
    assert figures["lost"] == pytest.approx(np.mean([each[~inside] >= 2.3 for each in apart]), abs=1e-4)

    clip = load_clip(f"local-dir:{tiny_clip}", None)
    train = [photo for photo in photos.values() if photo.split == "train"]
    features, real, of_photos = (
        clip.encode_images([read_image(Path(row.path)) for row in rows]).numpy().astype(float)
        for rows in (edits, train, [photos[edit.photo_id] for edit in edits])
    )
    sentences = clip.encode_texts([edit.prompt for edit in edits]).numpy().astype(float)
    for name, pictures in (("clip_score", features), ("clip_score_of_photo", of_photos)):
        cosines = np.maximum((pictures * sentences).sum(axis=1), 0)
        assert figures[name] == pytest.approx(100 * cosines.mean(), abs=2e-4)
    distance = mean_kernel(features, features) + mean_kernel(real, real) - 2 * mean_kernel(features, real)
    assert figures["cmmd"] == pytest.approx(1000 * distance, abs=2e-4)
    apart = [1 - features[i] @ features[j] for i in range(18) for j in range(i)]
    assert figures["diversity"] == pytest.approx(np.mean(apart), abs=2e-4)
    # masks of 20 x 24 pixels, grown by one: a frame around them without its corners, of 32 x 32
    assert figures["region_share"] == pytest.approx((22 * 26 - 4) / 32**2, abs=1e-4)
    assert found["real"]["photos"] == 9 and found["real"]["val_photos"] == 6 and found["real"]["cmmd_of_val"] > 0


def spoil(path: str, row: int, column: int, records: list[ImageRecord]) -> list[ImageRecord]:
    """Change one pixel of an edit; return the manifest's rows with its new hash."""
    pixels = read_image(Path(path)).copy()
    pixels[row, column] ^= 255
    atomic_write_bytes(Path(path), encode_png(pixels))
    return [dataclasses.replace(r, sha256=sha256_file(Path(path))) if r.path == path else r for r in records]


def test_a_pixel_that_leaks_is_seen_and_only_its_cell_measured_again(study: Path) -> None:
    before, items = measured(), kept()
    assert len(items) == 4  # train, val and two cells
    records = read_manifest(MANIFEST)
    write_manifest(MANIFEST, spoil(records[3].path, 0, 0, records))
    after = measured()
    figures = after["cells"]["color"]["feasible"]
    assert (figures["changed_outside"], figures["pixels_changed_outside"]) == (1, 1)
    assert after["cells"]["color"]["infeasible"] == before["cells"]["color"]["infeasible"]
    assert len(kept()) == 5 and items.items() <= kept().items()


def test_only_what_training_may_use_is_measured_and_of_that_a_sample(study: Path) -> None:
    records = read_manifest(MANIFEST)
    write_manifest(MANIFEST, [dataclasses.replace(r, status="exhausted") for r in records[:5]] + records[5:])
    change(measure__edits_per_cell=4)
    figures = measured()["cells"]["color"]["feasible"]
    assert (figures["edits"], figures["measured"]) == (13, 4)
    change(mix__include_exhausted=True)
    assert measured()["cells"]["color"]["feasible"]["edits"] == 18


def test_a_cell_without_usable_edits_has_no_figures(study: Path) -> None:
    write_manifest(MANIFEST, [dataclasses.replace(r, status="exhausted") for r in read_manifest(MANIFEST)])
    figures = measured()["cells"]["color"]["feasible"]
    assert (figures["edits"], figures["measured"], figures["cmmd"], figures["clip_score"]) == (0, 0, None, None)


def test_processes_do_not_show_in_the_figures(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = measured()
    for path in sorted(Path(".work").glob("measure")):
        path.rename(".work/old")
    monkeypatch.setattr("varireal.compute.processes.available_cores", lambda: 2)
    change(compute__num_threads=1)
    assert measured() == one


def test_what_is_missing_is_named(study: Path) -> None:
    Path(read_manifest(MANIFEST)[0].mask_path).unlink()
    with pytest.raises(UserError, match=r"the mask .* of edit .* is missing"):
        run_stages([["measure"]])
    assert not paths.MEASURED.exists()
