"""What DVC watches: derived from the settings that name networks and pictures of one's own (.dvc/plugins)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from tests.test_conf import CONF, compose
from tests.tiny_repository import run

from varireal.config import Params, load_params

REPOSITORY = Path(__file__).parents[1]
ANYWAY = "src/varireal/base"
PIPELINE = """
stages:
  edit:
    cmd: python -c "open('done', 'w')"
    params: [edit.inpaint]
    deps: ["${watch.inpaint}", "${watch.vae}", "${watch.masks}"]
    outs: [done]
"""


@pytest.mark.parametrize(
    ("overrides", "watched"),
    [
        (["edit.inpaint.checkpoint=models/mine"], {"inpaint": "models/mine"}),
        (["edit.inpaint.checkpoint=/weights/mine"], {"inpaint": "/weights/mine"}),
        (["edit.inpaint.checkpoint=owner/name"], {"inpaint": ANYWAY}),
        (["edit.inpaint.checkpoint=models"], {"inpaint": "models"}),
        (["+edit.inpaint.lora={checkpoint:models/a/b/c,weight_name:w.safetensors}"], {"inpaint_lora": "models/a/b/c"}),
        (["edit.refine.checkpoint=null"], {"refine": ANYWAY}),
        (["edit.prior.pictures=pictures"], {"pictures": "pictures"}),
        (["clip.model=ViT-B-16", "clip.pretrained=openai"], {"classifier": ANYWAY}),
        (["clip.model=ViT-B-16", "clip.pretrained=models/my.safetensors"], {"classifier": "models/my.safetensors"}),
        (["clip.model=hf-hub:owner/name"], {"classifier": ANYWAY}),
        (["measure.model=local-dir:weights/clip"], {"measurer": "weights/clip"}),
        (["filter.name=vqa", "filter.model=owner/name"], {"filter": ANYWAY}),
        (["+prompt.llm.model=models/llm"], {"writer": "models/llm"}),
        (["+prompt.llm.model=gpt-4o"], {"writer": ANYWAY}),
    ],
    ids=str,
)
def test_a_folder_that_a_setting_names_is_watched_and_nothing_else_changes(
    overrides: list[str], watched: dict[str, str], tmp_path: Path
) -> None:
    before, after = (compose(tmp_path / "params.yaml", chosen)["watch"] for chosen in ([], overrides))
    assert after == before | watched


def test_real_photos_are_watched_with_masks_or_without(tmp_path: Path) -> None:
    def watched(*overrides: str) -> list[str]:
        own = compose(tmp_path / "params.yaml", ["dataset=image_folder", *overrides])["watch"]
        return [own["photos"], own["masks"], own["pictures"]]

    assert watched() == ["photos", "masks", "pictures"]
    assert watched("dataset.root=a/b", "dataset.masks_root=null", "segment.source=model") == ["a/b", ANYWAY, "pictures"]


def test_the_home_folder_is_the_same_for_dvc_and_for_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    own = ["dataset=image_folder", "dataset.root='~/my photos (1)/'", "dataset.masks_root='~/masks'",
           "dataset.domain_word=pet", "measure.model='local-dir:~/clip'",
           "edit.inpaint.checkpoint='~/sdxl'"]  # fmt: skip
    watch = compose(tmp_path / "params.yaml", own)["watch"]
    params = load_params(tmp_path / "params.yaml")
    assert watch["photos"] == params.dataset.root == "/home/somebody/my photos (1)"
    assert watch["masks"] == params.dataset.masks_root == "/home/somebody/masks"
    assert watch["inpaint"] == params.edit.inpaint.checkpoint == "/home/somebody/sdxl"
    assert watch["measurer"] == "/home/somebody/clip"
    assert params.measure.model == "local-dir:/home/somebody/clip"


def test_a_home_of_nobody_is_a_path_that_is_not_there(tmp_path: Path) -> None:
    own = ["dataset=image_folder", "dataset.root='~nobody-here/photos'", "dataset.domain_word=pet"]
    assert compose(tmp_path / "params.yaml", own)["watch"]["photos"] == "~nobody-here/photos"
    assert load_params(tmp_path / "params.yaml").dataset.root == "~nobody-here/photos"


def test_published_photos_are_not_watched_and_need_not_be_there(tmp_path: Path) -> None:
    watch = compose(tmp_path / "params.yaml", ["dataset=oxford_pets", "models=sdxl"])["watch"]
    assert set(watch.values()) == {ANYWAY}


def network_keys(section: type[BaseModel], name: str = "") -> set[str]:
    """Return the settings of a section, and of those in it, that name a network."""
    keys = set()
    for key, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys |= network_keys(field.annotation, f"{name}{key}.")
        elif key in ("checkpoint", "model"):
            keys.add(f"{name}{key}")
    return keys


def test_every_setting_that_names_a_network_is_watched_by_some_stage() -> None:
    watch = yaml.safe_load((CONF / "config.yaml").read_text())["watch"]
    named = {key for written in watch.values() for key in written[len("${watched:") : -1].split(",")}
    assert network_keys(Params) <= named
    pipeline = (REPOSITORY / "dvc.yaml").read_text()
    assert all(f"${{watch.{name}}}" in pipeline for name in watch)


@pytest.mark.parametrize("where", [[], ["--temp"]], ids=["here", "in a folder of its own"])
def test_dvc_runs_a_stage_again_when_weights_change_that_are_named_on_its_command_line(
    where: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "-q")
    run("dvc", "init", "-q")
    for name in ("conf", ".dvc/plugins"):
        shutil.copytree(REPOSITORY / name, name, ignore=shutil.ignore_patterns("__pycache__"))
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".gitignore").write_text("__pycache__/\n/done\n")
    for folder in (ANYWAY, "models/mine", "models/demo/sdxl-inpaint"):
        Path(folder).mkdir(parents=True)
        Path(folder, "weights").write_text("1")
    shutil.copy(REPOSITORY / ".dvc/config", ".dvc/config")
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "start")
    run("dvc", "exp", "run", "-n", "mine", *where, "-S", "edit.inpaint.checkpoint=models/mine")
    refs = run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (made,) = [ref for ref in refs if ref.endswith("/mine")]
    lock = yaml.safe_load(run("git", "show", f"{made}:dvc.lock"))
    assert {dep["path"] for dep in lock["stages"]["edit"]["deps"]} == {"models/mine", ANYWAY}
    if not where:
        assert "up to date" in run("dvc", "status")
        Path("models/mine/weights").write_text("2")
        assert "models/mine" in run("dvc", "status")
