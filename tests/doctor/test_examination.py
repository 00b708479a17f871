from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from tests.doctor.conftest import endpoint

from varireal import paths
from varireal.cli import main
from varireal.config import load_params
from varireal.doctor.checkpoints import used_checkpoints
from varireal.doctor.doubts import expected_power
from varireal.doctor.hub import Hub
from varireal.doctor.inputs import _without_lora
from varireal.doctor.workload import count_workload

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Return a function that writes the default params.yaml with changes; the current folder has the repository's."""
    for name in ("models", "data", "src"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)

    def write(**changes: object) -> Path:
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        for key, value in changes.items():
            section = params
            *path, last = key.split("__")
            for name in path:
                section = section.setdefault(name, {})
            section[last] = value
        paths.PARAMS.write_text(yaml.safe_dump(params))
        return paths.PARAMS

    return write


def doctor(*arguments: str):
    return CliRunner().invoke(main, ["doctor", *arguments], catch_exceptions=False)


def findings(result) -> dict[tuple[str, str], dict]:
    return {(entry["part"], entry["name"]): entry for entry in json.loads(result.stdout)["findings"]}


def test_the_default_study_lacks_nothing_and_its_work_is_counted(settings):
    settings(edit__refine={"checkpoint": None})
    result = doctor("--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["ready"] is True
    seen = findings(result)
    assert seen["data", "rendered_aircraft"]["values"] == {"classes": 10, "train": 160, "val": 50, "test": 700}
    assert seen["work", "edits"]["values"] == {"edits": 960, "cells": 6, "max_attempts": 3}
    recipes = yaml.safe_load(paths.PARAMS.read_text())["edit"]["recipes"]
    steps = sum(
        int(recipe["num_inference_steps"] * recipe["strength"])
        for kinds in recipes.values()
        for recipe in kinds.values()
    )
    assert seen["work", "denoising"]["values"]["denoising_steps"] == 160 * steps
    # 9 cells and 5 controls of 2 sources, and real only; 3 seeds
    assert seen["work", "fine-tunings"]["values"] == {"fine_tunings": 87, "optimisation_steps": 87 * 48}
    assert seen["work", "predictions"]["values"] == {"models": 88, "images": 88 * 700}
    assert seen["work", "looks at val"]["values"] == {"images": 87 * 2 * 50}
    local = {name for part, name in seen if part == "checkpoints"}
    assert {"edit.inpaint.checkpoint", "segment.checkpoint", "filter.model", "clip.model"} <= local


def test_the_table_names_what_is_missing_with_its_remedy_and_ends_with_exit_code_1(settings):
    settings(dataset__name="oxford_pets", dataset__root="nowhere", segment__checkpoint="models/demo/gone")
    result = doctor()
    assert result.exit_code == 1 and "Traceback" not in result.output
    text = " ".join(result.output.split())
    assert "Missing: segment.checkpoint, oxford_pets" in text
    assert "images.tar.gz" in text and "→" in text


def test_a_bank_without_a_list_is_named_before_any_stage_runs(settings):
    bank = yaml.safe_load((REPOSITORY / "data/banks/rendered_aircraft.yaml").read_text())
    del bank["texture"]
    Path("bank.yaml").write_text(yaml.safe_dump(bank))
    settings(prompt__bank="bank.yaml")
    seen = findings(doctor("--json"))["prompts", "bank.yaml"]
    assert seen["status"] == "missing" and "texture" in seen["found"]


def test_only_checkpoints_that_the_settings_use_are_looked_for(settings):
    names = {"detector": {"checkpoint": "a/b"}, "sam2": {"checkpoint": "a/c"}, "clipseg": {"checkpoint": "a/d"}}
    keys = lambda: [named.key for named in used_checkpoints(load_params(paths.PARAMS))]  # noqa: E731
    settings(segment__detector=names["detector"], segment__sam2=names["sam2"], segment__clipseg=names["clipseg"])
    assert [key for key in keys() if key.startswith("segment")] == ["segment.checkpoint"]
    settings(segment={"source": "grounded_sam2", "fallback": "clipseg", **names})
    assert [key for key in keys() if key.startswith("segment")] == [
        "segment.detector.checkpoint", "segment.sam2.checkpoint", "segment.clipseg.checkpoint",
    ]  # fmt: skip
    settings(edit__method="paste", filter__name="none")
    assert [key for key in keys() if not key.startswith("segment")] == ["clip.model"]
    settings(edit__prior__source="text_to_image")
    assert "edit.prior.checkpoint" in keys()
    settings(edit__prior__source="text_to_image", grid__attributes=["color"], grid__controls=[])
    assert "edit.prior.checkpoint" not in keys()


def test_the_refining_networks_are_looked_for_and_their_steps_counted(settings):
    refine = {
        "checkpoint": "a/base",
        "controlnet": {"checkpoint": "a/control"},
        "vae": {"checkpoint": "a/vae"},
        "ip_adapter": {"checkpoint": "a/ip", "subfolder": "sdxl_models", "weight_name": "ip.safetensors"},
    }
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    settings(edit__refine=refine)
    named = {named.key: named for named in used_checkpoints(load_params(paths.PARAMS))}
    parts = {key.removeprefix("edit.refine."): named[key] for key in named if key.startswith("edit.refine.")}
    assert {key: (part.name, part.kind) for key, part in parts.items()} == {
        "checkpoint": ("a/base", "pipeline"),
        "vae.checkpoint": ("a/vae", "part"),
        "controlnet.checkpoint": ("a/control", "part"),
        "ip_adapter.checkpoint": ("a/ip", "ip_adapter"),
    }
    assert parts["ip_adapter.checkpoint"].encoder == "sdxl_models/image_encoder"
    recipe = params["edit"]["recipes"]["color"]["feasible"]
    inpainting = int(recipe["num_inference_steps"] * recipe["strength"])
    refining = int(recipe.get("refine_steps", 20) * recipe.get("refine_strength", 1.0))
    work = count_workload(load_params(paths.PARAMS), {"train": 3, "val": 2, "test": 4})
    assert work.denoising_steps["color feasible"] == inpainting + refining
    rounds = {"max_steps": None, "rounds": 7, "batch_size": 4, "eval_every": 3, "accumulation_steps": 1}
    settings(edit__edits_per_photo=2, train=params["train"] | rounds)
    work = count_workload(load_params(paths.PARAMS), {"train": 3, "val": 2, "test": 4})
    assert (work.steps, work.looks) == (11, 4)  # 7 * 3 * 2 / 4 = 10.5
    settings(edit__refine=refine, grid__attributes=["background"])
    assert not [n for n in used_checkpoints(load_params(paths.PARAMS)) if n.key.startswith("edit.refine")]


def test_checkpoints_of_the_hub_are_told_apart(settings, hub_server, hub_cache, monkeypatch):
    """One in the cache, one to download, one unknown to the hub; the disk is too small for the download."""
    snapshot = hub_cache / "models--someone--clipseg/snapshots/main"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"0" * 5000)
    settings(
        edit__inpaint__checkpoint="someone/pipeline",
        segment={"source": "clipseg", "clipseg": {"checkpoint": "someone/clipseg"}},
        filter={"name": "vqa", "model": "someone/nothing"},
    )
    monkeypatch.setattr("varireal.doctor.examination.Hub", lambda: Hub(endpoint(hub_server)))
    seen = findings(doctor("--json"))
    assert seen["checkpoints", "segment.clipseg.checkpoint"]["found"] == "someone/clipseg: in the local cache, 5.0 kB"
    download = seen["checkpoints", "edit.inpaint.checkpoint"]
    assert download["status"] == "note" and download["values"] == {"download_bytes": 10_300_502_300}
    assert seen["checkpoints", "filter.model"]["status"] == "missing"
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9, total=10**10, used=0))
    room = findings(doctor("--json"))["checkpoints", "room"]
    assert room["status"] == "missing" and room["remedy"].startswith("free some")


def test_offline_an_uncached_checkpoint_is_missing_and_its_size_unknown(settings, monkeypatch):
    settings(edit__inpaint__checkpoint="someone/pipeline")
    monkeypatch.setattr("varireal.doctor.examination.Hub", lambda: Hub("http://127.0.0.1:9"))
    seen = findings(doctor("--json"))["checkpoints", "edit.inpaint.checkpoint"]
    assert seen["status"] == "missing" and "size unknown: offline (" in seen["found"]
    assert seen["remedy"] == "connect, or copy the checkpoint here and name its folder"


def test_a_tag_of_open_clip_is_looked_for_at_the_hub(settings, hub_server, monkeypatch):
    settings(clip={"model": "ViT-B-16-quickgelu", "pretrained": "openai"})
    monkeypatch.setattr("varireal.doctor.examination.Hub", lambda: Hub(endpoint(hub_server)))
    doctor("--json")
    assert hub_server.asked == ["timm/vit_base_patch16_clip_224.openai"]


def test_a_device_that_is_not_there_is_missing(settings):
    settings(compute__device="cuda:7")
    seen = findings(doctor("--json"))["machine", "device"]
    assert seen["status"] == "missing" and "compute.device = 'cuda:7'" in seen["found"]


def test_work_of_paste_has_no_denoising(settings):
    settings(edit__method="paste")
    work = count_workload(load_params(paths.PARAMS), {"train": 3, "val": 2, "test": 4})
    assert set(work.denoising_steps.values()) == {0} and work.edits == 18


@pytest.fixture
def own_photos(settings):
    """Photos of two classes, one without masks, pictures of which one is spoilt, and the settings for them."""
    pixels = np.full((40, 48, 3), 90, np.uint8)
    for name in ("photos/dog", "photos/cat", "masks/dog", "pictures/background"):
        Path(name).mkdir(parents=True)
    for k in range(8):
        for name in ("dog", "cat"):
            Image.fromarray(pixels + k + (name == "cat") * 100).save(f"photos/{name}/{k}.png")
        Image.fromarray(np.full((40, 48), 255, np.uint8)).save(f"masks/dog/{k}.png")
    Image.fromarray(pixels).save("pictures/background/barn.png")
    Path("pictures/background/lava.jpg").write_bytes(b"no picture")
    kinds = {"feasible": ["barn", "hay", "pier"], "infeasible": ["lava"]}
    bank = {kind: {"all": [{"name": n, "phrase": f"at the {n}"} for n in names]} for kind, names in kinds.items()}
    Path("bank.yaml").write_text(yaml.safe_dump({"background": bank}))

    def write(**changes: object) -> None:
        base = {
            "dataset": {"name": "image_folder", "domain_word": "pet", "root": "photos", "masks_root": "masks"},
            "segment": {"source": "dataset"},
            "edit__method": "paste",
            "edit__prior__pictures": "pictures",
            "prompt__bank": "bank.yaml",
            "grid__attributes": ["background"],
            "filter": {"name": "none"},
        }
        settings(**{**base, **changes})

    return write


def test_everything_that_own_photos_lack_is_told_at_once(own_photos):
    own_photos()
    result = doctor("--json")
    seen = findings(result)
    assert result.exit_code == 1
    assert seen["data", "pictures"]["values"]["missing"] == ["background/feasible/hay", "background/feasible/pier"]
    assert "lava.jpg cannot be read" in seen["data", "pictures' files"]["found"]
    # 8 photos a class: 2 for test and 1 for val, so 5 to train on
    assert seen["data", "masks"]["values"] == {"without_masks": 5, "classes": ["cat"]}
    assert seen["work", "edits"]["values"]["edits"] == 5 * 1 * 2  # a photo with a mask has one edit in two cells


def test_networks_that_cannot_do_their_part_are_missing(own_photos):
    segmenter = {"source": "model", "checkpoint": "models/demo/segmenter"}
    own_photos(clip={"model": "RN50", "pretrained": "openai"}, segment=segmenter)
    seen = findings(doctor("--json"))
    assert "ResNet" in seen["checkpoints", "LoRA"]["found"]
    assert seen["checkpoints", "segment.object_labels"]["found"].startswith(
        "segment.object_labels ['aircraft'] name no"
    )
    own_photos(segment={**segmenter, "object_labels": ["pet"]})
    said = findings(doctor("--json"))["checkpoints", "segment.object_labels"]["found"]
    assert "does not know pet; its labels: " in said and "aircraft" in said


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ViT-B-16-quickgelu", None),
        ("ViT-B-32", None),
        ("RN50", "ResNet"),
        ("convnext_base", "image tower convnext_base has no blocks of a transformer throughout"),
        ("ViT-B-16-SigLIP2", None),
        ("MobileCLIP2-B", None),
        ("MobileCLIP2-S4", "image tower fastvit_mci4 has no blocks of a transformer throughout"),
        ("PE-Core-B-16", None),
        ("roberta-ViT-B-32", "text tower is roberta-base of another library"),
        ("local-dir:models/demo/clip", None),
        ("hf-hub:someone/clip", None),
    ],
)
def test_classifiers_that_lora_cannot_take_are_known_by_their_configuration(settings, model, said):
    found = _without_lora(model)
    assert found is None if said is None else said in str(found)


def test_doubts_name_networks_off_their_world_and_settings_without_effect(own_photos):
    own_photos(measure__model="ViT-B-32", edit__inpaint__checkpoint="someone/pipeline")
    seen = findings(doctor("--json"))
    doubts = {name: entry["found"] for (part, name), entry in seen.items() if part == "doubts"}
    assert set(doubts) == {"clip.model", "measure.model", "edit.method", "dataset"}
    assert "knows the rendered aircraft only" in doubts["clip.model"]
    assert doubts["measure.model"].startswith("ViT-B-32 starts from random weights")
    assert "train_per_class and dataset.val_per_class are not read" in doubts["dataset"]
    assert "Worth a look: 4 doubts" in doctor().output


def test_the_default_study_has_no_doubts_and_says_what_it_would_find(settings):
    settings()
    seen = findings(doctor("--json"))
    assert not [name for part, name in seen if part == "doubts"]
    # by hand: sqrt(2000 / 600) = 1.83 points of the photos, sqrt(4.5 / 3) = 1.22 of the seeds, at 5 % / 18
    assert 8 < seen["work", "power"]["values"]["points"] < 30


def test_more_photos_find_smaller_differences(settings):
    settings(grid__seeds=[0, 1, 2, 3, 4])
    params = load_params(paths.PARAMS)
    small, large = (expected_power(params, {"test": count}).values["points"] for count in (60, 6000))
    assert large < small / 2
    settings(grid__seeds=[0])
    assert "one seed" in expected_power(load_params(paths.PARAMS), {"test": 60}).found


def test_a_single_class_is_missing(own_photos):
    own_photos()
    shutil.rmtree("photos/cat")
    assert "one class only, 'dog'" in findings(doctor("--json"))["data", "image_folder"]["found"]
