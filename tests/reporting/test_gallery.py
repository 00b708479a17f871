"""Which edits are shown, and how their pictures are packed."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from varireal import paths
from varireal.base.files import encode_png, read_image
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.config import ReportConfig
from varireal.reporting import gallery
from varireal.reporting.gallery import Try, build_examples, choose_examples, data_uri
from varireal.reporting.page import CHOSEN, FILTERS, page_environment


@pytest.fixture
def edits(finished_study: Path) -> list[ImageRecord]:
    return read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_only_accepted_edits_are_shown_and_the_classes_take_turns(edits: list[ImageRecord]) -> None:
    chosen = choose_examples(edits, "accepted", 4, seed=0)
    assert all(edit.status == "accepted" for edit in chosen)
    assert [edit.class_name for edit in chosen[:2]] in (["glider", "<b>jet</b>"], ["<b>jet</b>", "glider"])
    assert len(choose_examples(edits, "accepted", 50, seed=0)) == 5  # one of the six is exhausted
    assert [edit.status for edit in choose_examples(edits, "exhausted", 50, seed=0)] == ["exhausted"]
    assert choose_examples([], "accepted", 4, seed=0) == []


def test_the_choice_depends_on_the_seed_and_not_on_the_order(edits: list[ImageRecord]) -> None:
    many = [
        dataclasses.replace(e, photo_id=f"{e.photo_id}-{k}", image_id=f"{e.image_id}-{k}")
        for e in edits
        for k in range(9)
    ]
    ids = [[e.image_id for e in choose_examples(many, "accepted", 6, seed)] for seed in range(4)]
    assert [e.image_id for e in choose_examples(many[::-1], "accepted", 6, 0)] == ids[0]
    assert len({tuple(chosen) for chosen in ids}) == 4


def test_other_cells_show_the_same_photos(finished_study: Path, edits: list[ImageRecord]) -> None:
    other = read_manifest(paths.edit_folder("texture", "infeasible") / "manifest.parquet")
    first, second = (choose_examples(each, "accepted", 4, 0) for each in (edits, other))
    assert [e.photo_id for e in first] == [e.photo_id for e in second]


def test_masks_stay_exact_and_large_pictures_shrink(tmp_path: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 20:50] = 255
    (tmp_path / "mask.png").write_bytes(encode_png(mask))
    packed = decode(data_uri(tmp_path / "mask.png", 384, exact=False))
    assert packed.format == "WEBP" and np.array_equal(np.asarray(packed.convert("L")), mask)
    photo = np.random.default_rng(0).integers(0, 256, (300, 600, 3), dtype=np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(photo))
    packed = decode(data_uri(tmp_path / "photo.png", 192, exact=True))
    assert packed.format == "JPEG" and packed.size == (192, 96)


def test_small_edits_stay_exact(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    (tmp_path / "photo.png").write_bytes(encode_png(photo))
    assert np.array_equal(np.asarray(decode(data_uri(tmp_path / "photo.png", 384, exact=True)).convert("RGB")), photo)
    assert decode(data_uri(tmp_path / "photo.png", 384, exact=False)).format == "JPEG"


def test_pictures_shrink_until_a_page_holds_them(edits: list[ImageRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "SIZES", ((24, 90), (12, 90)))

    def width(budget: int) -> int:
        monkeypatch.setattr(gallery, "BUDGET", budget)
        (example, *_) = build_examples(edits)
        return decode(example.shots["photo"].uri).width

    assert [width(10_000_000), width(1000)] == [24, 12]


def test_the_largest_gallery_that_settings_allow_fits_the_page(finished_study: Path, tmp_path: Path) -> None:
    """50 accepted and 50 exhausted edits of every attribute and feasibility, pictures that hardly compress."""
    rng = np.random.default_rng(0)
    smooth, noise = rng.integers(0, 256, (2, 8, 9, 9, 3), dtype=np.uint8), rng.integers(-12, 13, (16, 128, 128, 3))
    pictures = []
    for k, coarse in enumerate(smooth.reshape(16, 9, 9, 3)):
        large = np.asarray(Image.fromarray(coarse).resize((128, 128), Image.Resampling.BICUBIC))
        pictures.append(tmp_path / f"{k}.png")
        pictures[-1].write_bytes(encode_png(np.clip(large + noise[k], 0, 255).astype(np.uint8)))
    most = {name: ReportConfig.model_fields[name].metadata[1].le for name in ("examples", "exhausted_examples")}
    assert most == {"examples": 50, "exhausted_examples": 50}
    tries = [{"accepted": False, "scores": {"attribute": 0.1, "class": 0.2}, "seed": 2**62 + k} for k in range(3)]
    (edit, *_) = read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")
    chosen = []
    for k in range(3 * 2 * sum(most.values())):
        path, prior, first, second = (pictures[(k + j) % 16].as_posix() for j in (1, 2, 3, 4))
        made = [tries[0] | {"path": first}, tries[1], tries[2] | {"path": second}]
        told = {"attempts": json.dumps(made), "seed": 2**62 + 1, "prompt": 100 * "p"}
        shown = {"photo_path": pictures[k % 16].as_posix(), "path": path, "prior_path": prior}
        chosen.append(dataclasses.replace(edit, image_id=f"e{k}", photo_id=f"p{k}", **shown, **told))
    examples = build_examples(chosen)
    template = page_environment().get_template("gallery.html.j2")
    shown = template.render(examples=examples, choices={name: ["a"] for name in FILTERS}, words=CHOSEN)
    assert shown.count("<article") == 600 and shown.count("<img") == 3600
    assert 2_000_000 < len(shown.encode()) < 7_000_000  # of 8 MB; without a gallery a page has 0.2


@pytest.mark.parametrize(("attempts", "photo_side", "attempt_side"), [(2, 96, 96), (20, 96, 48), (200, 96, None)])
def test_attempts_shrink_and_go_before_anything_else_does(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempts: int, photo_side: int,
    attempt_side: int | None
) -> None:  # fmt: skip
    """Noise of 96 pixels, which takes 36 kB of a page that holds 130 if it is lossless, as photo and edit are."""
    path = tmp_path / "noise.png"
    path.write_bytes(encode_png(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)))
    (edit, *_) = read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")
    tries = [{"seed": k, "accepted": False, "scores": {}, "path": path.as_posix()} for k in range(attempts)]
    edit = dataclasses.replace(
        edit, path=path.as_posix(), photo_path=path.as_posix(), seed=-1, attempts=json.dumps(tries)
    )
    monkeypatch.setattr(gallery, "BUDGET", 130_000)
    (example,) = build_examples([edit])
    assert decode(example.shots["photo"].uri).format == "WEBP"
    assert decode(example.shots["photo"].uri).width == photo_side
    sides = {None if each.shot is None else decode(each.shot.uri).width for each in example.tries}
    assert len(example.tries) == attempts and sides == {attempt_side}


def test_an_edit_without_prior_is_shown_without_it(edits: list[ImageRecord]) -> None:
    bare = [dataclasses.replace(edit, prior_path=None) for edit in edits[:1]]
    (example,) = build_examples(bare)
    assert list(example.shots) == ["photo", "mask", "edit"]


def test_attempts_are_told_with_seeds_and_scores(edits: list[ImageRecord]) -> None:
    tried = (
        '[{"accepted": false, "scores": {"class": 0.5, "attribute": 0.25}, "seed": 3},'
        ' {"accepted": true, "scores": {}, "seed": 9}]'
    )
    (example,) = build_examples([dataclasses.replace(edits[1], attempts=tried, seed=9)])
    assert example.tries == (Try(3, False, (("attribute", 0.25), ("class", 0.5))), Try(9, True, ()))
    assert example.seed == 9


def test_kept_pictures_of_attempts_are_shown_beside_their_scores(edits: list[ImageRecord]) -> None:
    first = {"accepted": False, "scores": {"attribute": 0.25}, "seed": 3, "path": edits[0].path}
    tried = json.dumps([first, {"accepted": True, "scores": {"attribute": 0.75}, "seed": 9}])
    (example,) = build_examples([dataclasses.replace(edits[1], attempts=tried, seed=9)])
    rejected, accepted = example.tries
    assert accepted.shot is None and rejected.shot.kind == "attempt" and "attempt" not in example.shots
    other, shown = (
        np.asarray(decode(uri).convert("RGB"), int) for uri in (example.shots["edit"].uri, rejected.shot.uri)
    )
    assert np.abs(shown - read_image(Path(edits[0].path))).mean() < 12 < np.abs(shown - other).mean()  # a JPEG of it
    page = page_environment().get_template("gallery.html.j2").render(examples=[example], choices={}, words=CHOSEN)
    items = [item.partition("</li>")[0] for item in page.split("<li>")[1:]]
    assert [item.count("<img") for item in items] == [1, 0]
    assert 'alt="Attempt 1, not kept: ' in items[0] and "rejected, attribute 0.25" in items[0]
    assert "accepted, attribute 0.75 " in items[1] and "(shown above)" in items[1]


def test_an_edit_that_nothing_judged_is_called_so(edits: list[ImageRecord]) -> None:
    unasked = json.dumps([{"accepted": True, "scores": {}, "seed": 3}])
    rejected = json.dumps([{"accepted": False, "scores": {}, "seed": 3}])  # by what precedes the filter
    free, failed = build_examples(
        [
            dataclasses.replace(edits[0], attempts=unasked, status="accepted"),
            dataclasses.replace(edits[1], attempts=rejected, status="exhausted"),
        ]
    )
    assert (free.status, failed.status) == ("not judged", "exhausted")
    page = page_environment().get_template("gallery.html.j2").render(examples=[free, failed], choices={}, words=CHOSEN)
    items = [item.partition("</li>")[0].split(",")[0].split(">")[-1] for item in page.split("<li>")[1:]]
    assert items == ["not judged", "rejected"]
