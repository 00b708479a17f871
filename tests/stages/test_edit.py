"""`varireal edit` as a program: every method, errors, and going on after kill -9."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file
from tests.editing.filters.tiny_vlms import save_tiny_vlm

from varireal import paths
from varireal.base.files import (
    atomic_write_bytes,
    encode_png,
    read_image,
    read_json,
    read_mask,
    sha256_file,
    write_json,
)
from varireal.base.manifest import ImageRecord, read_manifest, write_manifest
from varireal.config import load_params
from varireal.editing.trial import try_classifier
from varireal.errors import UserError
from varireal.prompts import AttributeSpec, PromptTable
from varireal.stages.edit import command

CLASSES = ["jet", "glider"]
REPOSITORY = Path(__file__).parents[2]
SIDE = 32
RECIPE = {"dilation": 1, "mask_blur": 0.7, "strength": 1.0, "num_inference_steps": 2, "guidance_scale": 2.0}


def photo(class_index: int, number: int, split: str = "train") -> ImageRecord:
    name = f"{CLASSES[class_index]}/{split}-{number}"
    rng = np.random.default_rng(10 * class_index + number)
    path, mask_path = paths.PREPARED / "photos" / f"{name}.png", paths.SEGMENTED / "masks" / f"{name}.png"
    atomic_write_bytes(path, encode_png(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:24, 4:28] = 255
    atomic_write_bytes(mask_path, encode_png(mask))
    return ImageRecord(
        name, path.as_posix(), "photo", split, CLASSES[class_index], class_index, SIDE, SIDE, sha256_file(path), name,
        mask_path=mask_path.as_posix(),
    )  # fmt: skip


def table() -> PromptTable:
    values = {
        "background": {"feasible": ["runway", "desert"], "infeasible": ["lava", "library"]},
        "texture": {"feasible": ["metal", "camouflage"], "infeasible": ["brick", "wood"]},
        "color": {"feasible": ["red", "white"], "infeasible": ["lime", "purple"]},
    }
    levels = {"red": (200, 0, 0), "white": (250, 250, 250), "lime": (100, 250, 0), "purple": (120, 30, 190)}
    specs = {
        attribute: {
            feasibility: [AttributeSpec(name=name, phrase=name, rgb=levels.get(name)) for name in names]
            for feasibility, names in lists.items()
        }
        for attribute, lists in values.items()
    }
    attributes = {
        attribute: {feasibility: {name: found for name in CLASSES} for feasibility, found in lists.items()}  # noqa: C420
        for attribute, lists in specs.items()
    }
    return PromptTable(domain_word="aircraft", classes=CLASSES, attributes=attributes)


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what the stages before `edit` leave behind; method paste without a filter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["edit"] |= {"method": "paste", "edits_per_photo": 2}
    params["edit"]["prior"] |= {"source": "pictures", "pictures": None}
    params["edit"]["inpaint"] |= {"image_size": SIDE, "batch_size": 3}
    params["edit"]["recipes"] = {
        attribute: dict.fromkeys(("feasible", "infeasible"), RECIPE) for attribute in ("background", "color", "texture")
    }
    params["filter"] = {"name": "none"}
    params["compute"] |= {"device": "cpu", "num_threads": None, "workers": 1}
    paths.PARAMS.write_text(yaml.safe_dump(params))
    photos = [photo(index, number) for index in (0, 1) for number in range(3)] + [photo(0, 9, "test")]
    write_manifest(paths.MASKS_MANIFEST, photos)
    write_json(paths.PROMPTS, table().to_json())
    for attribute, names in (("background", ("runway", "desert", "lava", "library")), ("texture", ("brick", "wood"))):
        for number, name in enumerate(names):
            rng = np.random.default_rng(100 + number)
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            atomic_write_bytes(paths.PICTURES / attribute / name / "000.png", encode_png(pixels))
    return tmp_path


@pytest.fixture
def diffusion_cell(cell: Path, change_params, tiny_sdxl_inpaint: Path) -> Path:
    """The same with method diffusion and the tiny SDXL pipeline, without refinement."""
    change_params("edit.method", "diffusion")
    change_params("edit.inpaint.checkpoint", str(tiny_sdxl_inpaint))
    change_params("edit.refine.checkpoint", None)
    return cell


def run(attribute: str, feasibility: str) -> None:
    result = CliRunner().invoke(command, ["--attribute", attribute, "--feasibility", feasibility])
    if result.exception:
        raise result.exception


def arguments(attribute: str, feasibility: str) -> list[str]:
    return [sys.executable, "-m", "varireal", "edit", "--attribute", attribute, "--feasibility", feasibility]


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize(
    ("attribute", "feasibility"), [("background", "feasible"), ("color", "infeasible"), ("texture", "infeasible")]
)
def test_the_stage_writes_edits_a_manifest_and_figures(cell: Path, attribute: str, feasibility: str) -> None:
    run(attribute, feasibility)
    records = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
    assert len(records) == 12
    names = {spec.name for spec in table().specs(attribute, feasibility, "jet")}
    for first, second in zip(records[::2], records[1::2]):
        assert first.photo_id == second.photo_id
        assert {first.value, second.value} == names  # a photo's edits use different values
    for record in records:
        edit, original = (
            read_image(Path(record.path)),
            read_image(paths.PREPARED / "photos" / f"{record.photo_id}.png"),
        )
        mask = read_mask(Path(record.mask_path))
        core = mask[9:23, 5:27]
        assert core.all()
        if attribute == "background":
            assert np.array_equal(edit[mask], original[mask])
        else:
            outside = np.ones_like(mask)
            outside[7:25, 3:29] = False
            assert np.array_equal(edit[outside], original[outside])
        assert not np.array_equal(edit, original)
        assert sha256_file(Path(record.path)) == record.sha256
    figures = read_json(paths.METRICS / "edit" / f"{attribute}_{feasibility}.json")
    assert (figures["edits"], figures["accepted"], figures["failed"], figures["pass_rate"]) == (12, 12, 0, 1.0)


def test_pasting_needs_no_torch(cell: Path) -> None:
    code = (
        "import sys; from varireal.stages.edit import command; "
        "command(['--attribute', 'texture', '--feasibility', 'infeasible'], standalone_mode=False); "
        "assert not {'torch', 'diffusers', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=cell)
    assert (paths.edit_folder("texture", "infeasible") / "manifest.parquet").is_file()


def test_failed_masks_are_left_out_and_listed(cell: Path) -> None:
    records = read_manifest(paths.MASKS_MANIFEST)
    Path(str(records[0].mask_path)).write_bytes(encode_png(np.zeros((SIDE, SIDE), np.uint8)))
    records[1] = dataclasses.replace(records[1], status="failed", note="no object found")
    write_manifest(paths.MASKS_MANIFEST, records)
    run("color", "feasible")
    figures = read_json(paths.METRICS / "edit" / "color_feasible.json")
    assert figures["edits"] == 8 and figures["failed"] == 2
    assert figures["failed_photos"] == {
        records[0].image_id: "its mask is empty",
        records[1].image_id: "no object found",
    }
    edited = {record.photo_id for record in read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")}
    assert edited.isdisjoint(figures["failed_photos"])


def test_a_clip_that_never_agrees_exhausts_every_edit(cell: Path, change_params, tiny_clip: Path) -> None:
    change_params("filter", {"name": "clip", "model": f"local-dir:{tiny_clip}", "attribute_threshold": 1.0})
    change_params("mix.include_exhausted", True)
    run("color", "feasible")
    records = read_manifest(paths.edit_folder("color", "feasible") / "manifest.parquet")
    assert {record.status for record in records} == {"exhausted"}
    for record in records:
        attempts = json.loads(record.attempts)
        assert len(attempts) == 3 and len({attempt["seed"] for attempt in attempts}) == 3
        assert all(set(attempt["scores"]) == {"attribute", "class"} for attempt in attempts)
        best = max(attempts, key=lambda attempt: attempt["scores"]["attribute"])
        assert record.seed == best["seed"]
    figures = read_json(paths.METRICS / "edit" / "color_feasible.json")
    assert (figures["exhausted"], figures["pass_rate"], figures["mean_attempts"]) == (12, 0.0, 3.0)


def test_a_vision_language_model_judges_every_edit_by_three_questions(
    cell: Path, change_params, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = save_tiny_vlm("smolvlm", tmp_path_factory.mktemp("vlm"))
    change_params("filter", {"name": "vqa", "model": str(folder), "possibility_threshold": 1.0})
    change_params("mix.include_exhausted", True)
    run("background", "infeasible")
    records = read_manifest(paths.edit_folder("background", "infeasible") / "manifest.parquet")
    attempts = [attempt for record in records for attempt in json.loads(record.attempts)]
    assert len(records) == 12 and len(attempts) == 36
    assert all(set(attempt["scores"]) == {"attribute", "class", "possibility"} for attempt in attempts)
    assert all(0 < score < 1 for attempt in attempts for score in attempt["scores"].values())
    figures = read_json(paths.METRICS / "edit" / "background_infeasible.json")
    firsts = [json.loads(record.attempts)[0]["scores"] for record in records]
    seen = round(sum(first["attribute"] >= 0.5 for first in firsts) / 12, 4)
    assert figures["first_pass_rate_by_question"] == {"attribute": seen, "class": 1.0, "possibility": 0.0}
    assert figures["first_mean_score_by_question"]["class"] == pytest.approx(
        np.mean([first["class"] for first in firsts]), abs=1e-4
    )


def test_priors_may_come_from_a_text_to_image_pipeline(
    diffusion_cell: Path, change_params, tiny_sdxl_base: Path
) -> None:
    change_params("edit.prior.source", "text_to_image")
    change_params("edit.prior.checkpoint", str(tiny_sdxl_base))
    change_params("edit.prior.num_inference_steps", 2)
    change_params("edit.prior.image_size", SIDE)
    change_params("edit.prior.bank_size", 2)
    shutil.rmtree(paths.PICTURES)
    run("background", "infeasible")
    banks = sorted(Path(".work/priors").glob("*/*"))
    assert [len(list(bank.iterdir())) for bank in banks] == [2, 2]  # two places, each drawn twice for all photos
    assert len(read_manifest(paths.edit_folder("background", "infeasible") / "manifest.parquet")) == 12


def test_kill_9_in_the_middle_then_the_same_bytes_without_making_finished_edits_again(diffusion_cell: Path) -> None:
    run("background", "infeasible")
    folder, work = paths.edit_folder("background", "infeasible"), Path(".work/edit")
    expected = outputs(folder)
    assert len(expected) == 12 + 12 + 1
    for made in (folder, Path(".work")):
        shutil.rmtree(made)

    process = subprocess.Popen(arguments("background", "infeasible"), env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 240
    while process.poll() is None and len(list(work.glob("??/[0-9a-f]*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in work.glob("??/[0-9a-f]*")}
    assert 2 <= len(finished) < 4  # batches of three
    assert not folder.exists()

    run("background", "infeasible")
    assert outputs(folder) == expected
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_broken_classifier_ends_the_stage_before_the_editor_is_loaded(
    cell: Path, change_params, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full-size groups require an accelerator, and try their classifier before any edit."""
    shutil.copytree(tiny_clip, "clip")
    weights = next(Path("clip").glob("*.safetensors"))
    whole = load_file(weights)
    save_file({name: np.full_like(tensor, np.nan) for name, tensor in whole.items()}, weights)
    change_params("clip.model", "local-dir:clip")
    change_params("clip.pretrained", None)
    change_params("compute.require_accelerator", True)
    change_params("compute.device", "auto")
    monkeypatch.setattr("varireal.editing.run.EditRun.prepare", lambda *_: pytest.fail("the editor was asked for"))
    with pytest.raises(UserError, match=r"^nothing is edited yet.*clip\.model = 'local-dir:clip'"):
        run("color", "feasible")
    assert not Path(".work/tried").exists()


def test_a_classifier_is_tried_once_and_only_before_edits_on_an_accelerator(
    cell: Path, change_params, tiny_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[list[str]] = []

    def answers(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        tried.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("subprocess.run", answers)
    change_params("clip.model", f"local-dir:{tiny_clip}")
    try_classifier(load_params(paths.PARAMS))
    assert tried == []
    change_params("compute.require_accelerator", True)
    change_params("compute.device", "auto")
    for sentence in ("a photo of a {class}", "a {class}"):  # which sentence it reads is another matter
        change_params("clip.sentence", sentence)
        try_classifier(load_params(paths.PARAMS))
    assert len(tried) == 1 and json.loads(tried[0][-1])["model"] == f"local-dir:{tiny_clip}"
    change_params("clip.model", "ViT-B-32")
    try_classifier(load_params(paths.PARAMS))
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("edit.inpaint.checkpoint", "models/nowhere/x", "edit.inpaint.checkpoint = 'models/nowhere/x'"),
        ("edit.recipes.color.feasible.strenght", 0.5, "did you mean strength?"),
        ("edit.recipes.color.feasible.strength", 1.5, "edit.recipes.color.feasible.strength = 1.5"),
        ("filter", {"name": "clip", "model": "local-dir:models/nowhere"}, "models/nowhere"),
        ("filter", {"name": "vqa", "model": "models/nowhere/x"}, "filter.model = 'models/nowhere/x'"),
        ("filter", {"name": "vqa", "model": "local-dir:models/demo/clip"}, "are open_clip's"),
    ],
)
def test_wrong_settings_are_one_line_before_anything_is_made(
    diffusion_cell: Path, change_params, key: str, value: object, message: str
) -> None:
    change_params(key, value)
    with pytest.raises(UserError) as error:
        run("color", "feasible")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not Path(".work").exists() and not Path("data/edits").exists()


def test_a_place_without_a_picture_is_one_line_on_stderr_and_exit_code_1(diffusion_cell: Path) -> None:
    shutil.rmtree(paths.PICTURES / "background" / "lava")
    done = subprocess.run(arguments("background", "infeasible"), cwd=diffusion_cell, capture_output=True, text=True)
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("Error: there is no picture of 'lava' in data/prepared/pictures/background")
    assert not Path(".work").exists()


def test_a_failed_run_leaves_the_old_edits_alone(cell: Path) -> None:
    run("color", "feasible")
    before = outputs(paths.edit_folder("color", "feasible"))
    first = read_manifest(paths.MASKS_MANIFEST)[0]
    Path(first.path).write_bytes(b"no picture")
    shutil.rmtree(".work")
    with pytest.raises(UserError, match="cannot be read"):
        run("color", "feasible")
    assert outputs(paths.edit_folder("color", "feasible")) == before
