"""The groups of full-size models edit here: composed as `dvc exp run -S dataset=oxford_pets -S models=...` composes
them, with every id replaced by the folder of a tiny network of the same architecture (tests/tiny_hub.py).

Beside the ids only this is changed: pictures are squares of 16 pixels in place of 1024 or 512, the photos are a
miniature (`dataset.complete`) with one edit each in place of five and one picture of a place or material in place of
four, all runs in one process on the CPU, and in bfloat16 where sd15 says float16, which takes a CPU 16 times as long
(test_networks.py has a step in float16).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.datasets import published_layouts
from tests.test_conf import compose
from tests.tiny_hub import moved, save_hub
from tests.tiny_study import run_stages

from varireal import paths
from varireal.base.files import read_image, read_json, read_mask
from varireal.base.manifest import ImageRecord, read_manifest, write_manifest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SIDE = 16
GROUPS = ("sdxl", "sdxl_fast", "sd15")
CELLS = (("background", "infeasible"), ("color", "feasible"), ("texture", "infeasible"))
CLIP = ("ViT-B-16-quickgelu", "openai")  # open_clip's names, no id of the hub
NETWORKS = (".checkpoint", ".model")
# the study's steps and strengths for pets; LCM's 8 steps and guidance in their place
INPAINT = {
    "background": {"strength": 0.99, "guidance_scale": 40.0, "num_inference_steps": 30},
    "color": {"strength": 0.30, "guidance_scale": 12.0, "num_inference_steps": 20},
    "texture": {"strength": 0.30, "guidance_scale": 12.0, "num_inference_steps": 20},
}
REFINE = {"color": {"refine_guidance_scale": 7.5, "refine_steps": 25, "ip_adapter_scale": 0.7},
          "texture": {"refine_guidance_scale": 7.5, "refine_steps": 25, "ip_adapter_scale": 0.5}}  # fmt: skip
FAST = {"guidance_scale": 1.5, "num_inference_steps": 8, "refine_guidance_scale": 1.5, "refine_steps": 8}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return save_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def settings(hub: dict[str, str], tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that composes a group, with the changes that the head of this file names."""
    target = tmp_path_factory.mktemp("composed") / "params.yaml"

    def made(models: str, *overrides: str) -> dict[str, Any]:
        composed = compose(target, ["dataset=oxford_pets", f"models={models}", *overrides])
        tiny = moved(composed, hub)
        for section in (tiny["clip"], tiny["filter"]):
            if (section["model"], section["pretrained"]) == CLIP:
                section |= {"model": f"local-dir:{tiny_clip}", "pretrained": None}
        before, after = leaves(composed), leaves(tiny)
        assert {key for key in after if after[key] != before[key]} <= {
            key for key in after if key.endswith((*NETWORKS, ".pretrained"))
        }
        ids = [value for key, value in after.items() if key.endswith(NETWORKS) and value]
        assert len(ids) > 8 and all(Path(value.removeprefix("local-dir:")).is_dir() for value in ids)
        tiny["dataset"]["complete"] = False
        assert tiny["edit"]["edits_per_photo"] == 5
        tiny["edit"]["edits_per_photo"] = 1
        tiny["edit"]["prior"]["bank_size"] = 1
        for part in ("prior", "inpaint", "refine"):
            tiny["edit"][part]["image_size"] = SIDE
        tiny["compute"] |= {"device": "cpu", "workers": 1, "dtype": "bfloat16"}
        return tiny

    return made


def leaves(settings: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {path: settings}
    return {key: leaf for name, part in settings.items() for key, leaf in leaves(part, f"{path}.{name}").items()}


@pytest.fixture(scope="module")
def study(settings: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with miniature pets, their prompts and their masks; only one photo is to be edited."""
    root = tmp_path_factory.mktemp("study")
    published_layouts.oxford_pets(root / "data/raw/oxford_pets", train=2, test=1)
    (root / "data/banks").symlink_to(REPOSITORY / "data/banks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        paths.PARAMS.write_text(yaml.safe_dump(settings("sdxl")))
        run_stages([["prepare"], ["prompt"], ["segment"]])
        write_manifest(paths.MASKS_MANIFEST, read_manifest(paths.MASKS_MANIFEST)[:1])
    return root


@pytest.mark.parametrize("models", GROUPS)
def test_a_group_edits_every_attribute_as_the_study_does(models, settings, study, hub, monkeypatch) -> None:
    monkeypatch.chdir(study)
    monkeypatch.setenv("DVC_ROOT", str(study))
    params = settings(models)
    paths.PARAMS.write_text(yaml.safe_dump(params))
    run_stages([["edit", "--attribute", attribute, "--feasibility", feasibility] for attribute, feasibility in CELLS])
    for attribute, feasibility in CELLS:
        records = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
        assert len(records) == 1
        for record in records:
            check_pixels(record, attribute)
            check_settings(json.loads(record.settings), attribute, models, hub)
            scores = [attempt["scores"] for attempt in json.loads(record.attempts)]
            questions = {"attribute", "class"} if models == "sd15" else {"attribute", "class", "possibility"}
            assert all(set(each) == questions and all(0 <= score <= 1 for score in each.values()) for each in scores)
        assert read_json(paths.METRICS / "edit" / f"{attribute}_{feasibility}.json")["failed_edits"] == {}


def check_pixels(record: ImageRecord, attribute: str) -> None:
    """A background leaves the object alone, and a colour or texture what is around it."""
    edited, photo, mask = read_image(Path(record.path)), photo_of(record), read_mask(Path(str(record.mask_path)))
    changed = (edited != photo).any(axis=-1)
    may = ~mask if attribute == "background" else mask
    assert not changed[~may].any()
    assert changed[may].mean() > 0.9


def photo_of(record: ImageRecord) -> np.ndarray:
    [photo] = [each for each in read_manifest(paths.MASKS_MANIFEST) if each.image_id == record.photo_id]
    return read_image(Path(photo.path))


def check_settings(made_with: dict[str, Any], attribute: str, models: str, hub: dict[str, str]) -> None:
    """What the edit itself says that it was made with."""
    refined = attribute != "background"
    recipe = {**INPAINT[attribute], **(REFINE[attribute] if refined else {})}
    if models == "sdxl_fast":
        recipe |= {key: value for key, value in FAST.items() if key in recipe}
    assert {key: made_with["recipe"][key] for key in recipe} == recipe
    names = {hub[name]: name for name in hub}
    inpaint = made_with["inpaint"]
    fast = {"scheduler": "LCMScheduler", "lora": "latent-consistency/lcm-lora-sdxl"} if models == "sdxl_fast" else {}
    inpainter = "stable-diffusion-inpainting" if models == "sd15" else "stable-diffusion-xl-1.0-inpainting-0.1"
    assert names[inpaint["checkpoint"]].endswith(inpainter)
    assert (inpaint["variant"], inpaint["dtype"], inpaint["image_size"]) == ("fp16", "bfloat16", SIDE)
    assert ("refine" in made_with) is refined
    for part in (inpaint, made_with["refine"]) if refined else (inpaint,):
        assert part["scheduler"] == fast.get("scheduler")
        assert (part["lora"] and names[part["lora"]["checkpoint"]]) == fast.get("lora")
    if refined:
        parts = ("controlnet", "ip_adapter") if models == "sd15" else ("controlnet", "ip_adapter", "vae")
        assert [part for part in ("controlnet", "ip_adapter", "vae") if made_with["refine"][part]] == list(parts)


def test_masks_are_found_from_words_as_the_study_does(settings, study, monkeypatch, tmp_path) -> None:
    """Pets bring masks with them; the other data sets of the study do not."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/prepared").symlink_to(study / "data/prepared")
    paths.PARAMS.write_text(
        yaml.safe_dump(settings("sdxl", "segment.source=grounded_sam2", "+segment.max_border=1", "segment.max_area=1"))
    )
    run_stages([["segment"]])
    sources = read_json(paths.METRICS / "segment.json")["sources"]
    assert sources["grounded_sam2"]["photos"] == 3
    assert set(sources) <= {"grounded_sam2", "clipseg"}


@pytest.mark.parametrize("models", GROUPS)
def test_revisions_are_commits(models, settings) -> None:
    sections = [settings(models)["edit"], settings(models)["segment"], {"filter": settings(models)["filter"]}]
    found = {key: value for section in sections for key, value in leaves(section).items()}
    for key, value in found.items():
        if key.endswith(NETWORKS) and value and not value.startswith("local-dir:"):
            revision = found[f"{key.rpartition('.')[0]}.revision"]
            assert len(revision) == 40 and int(revision, 16)
