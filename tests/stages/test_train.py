from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load

from varireal import paths
from varireal.base.files import read_json
from varireal.base.manifest import read_manifest, write_manifest
from varireal.base.seeding import generator
from varireal.cli import main
from varireal.compute.processes import available_cores
from varireal.errors import UserError

CELL = ("--attribute", "color", "--condition", "mixed")
ADAPTER = paths.adapter_folder("color", "mixed")


def run(*arguments: str) -> None:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_cell_trains_every_source_and_seed_in_processes_and_in_one_alike(clip_workspace, change_params):
    run("mix", "--attribute", "color")
    change_params("compute.num_threads", None)  # as many processes as cores
    run("train", *CELL)
    first = files(ADAPTER)
    assert set(first) == {
        f"{source}/seed-{seed}/{name}"
        for source in ("synthetic", "real+synthetic")
        for seed in (0, 1)
        for name in ("adapter_model.safetensors", "adapter_config.json", "varireal.json")
    }
    weights = {name: data for name, data in first.items() if name.endswith(".safetensors")}
    assert len(set(weights.values())) == 4
    about = json.loads(first["real+synthetic/seed-1/varireal.json"])
    assert about["images"] == {"real": 12, "synthetic": 12, "val": 9}
    assert (about["attribute"], about["condition"], about["source"], about["seed"]) == (
        "color",
        "mixed",
        "real+synthetic",
        1,
    )
    assert about["train"]["max_steps"] == 4 and about["sentences"][0] == "a photo of a trijet aircraft"
    metrics = read_json(paths.METRICS / "train" / "color_mixed.json")
    assert [look["step"] for look in metrics["runs"][0]["curve"]] == [2, 4]
    top1 = [entry["val_top1"] for entry in metrics["runs"] if entry["source"] == "synthetic"]
    assert metrics["val"]["synthetic"]["val_top1_mean"] == pytest.approx(sum(top1) / 2)

    shutil.rmtree(".work")
    change_params("compute.num_threads", 1)
    run("train", *CELL)
    assert files(ADAPTER) == first


@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
def test_a_fine_tuning_whose_worker_is_killed_goes_on_elsewhere_and_ends_with_the_same_bytes(
    clip_workspace, change_params, caplog
):
    change_params("train.max_steps", 30)
    change_params("train.checkpoint_every", 1)
    change_params("compute.num_threads", 1)
    run("train", "--real-only")
    expected = files(paths.REAL_ADAPTERS)
    shutil.rmtree(".work")
    killed = []

    def kill() -> None:
        end = time.monotonic() + 120
        while not killed and time.monotonic() < end:
            if list(Path(".work").glob("train-unfinished/*/*/checkpoint.*")):
                # the forkserver and the tracker of its resources are children too, and younger are the workers
                workers = [child for child in psutil.Process().children(recursive=True) if child.cpu_percent(0.05) > 20]
                for worker in workers[:1]:
                    worker.kill()
                    killed.append(worker.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    run("train", "--real-only")
    thread.join()
    assert killed and "its worker process was killed (signal 9)" in caplog.text
    assert files(paths.REAL_ADAPTERS) == expected
    assert not list(Path(".work").glob("train-unfinished/*/*"))


def test_a_fine_tuning_with_a_defect_is_tried_again_and_then_ends_the_stage(clip_workspace, monkeypatch, caplog):
    expected = []
    for defects in (0, 2, 100):
        step, calls = torch.optim.AdamW.step, []

        def broken(self, *arguments, defects=defects, step=step, calls=calls):
            calls.append(1)
            if 3 <= len(calls) < 3 + defects:
                raise RuntimeError("a defect of the optimiser")
            return step(self, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", broken)
            if defects < 3:
                run("train", "--real-only")
                expected.append(files(paths.REAL_ADAPTERS))
            else:
                with pytest.raises(UserError, match=r"2 of 2 pieces .*real seed 0: set aside after 3 tries"):
                    run("train", "--real-only")
        shutil.rmtree(".work")
    assert expected[0] == expected[1]


def test_only_what_is_not_kept_is_trained_again_and_gives_the_same_bytes(clip_workspace):
    run("mix", "--attribute", "color")
    run("train", *CELL)
    before = files(ADAPTER)
    kept = {path: path.stat().st_ino for path in Path(".work/train").glob("*/*")}
    assert len(kept) == 4
    lost = sorted(kept)[1]
    shutil.rmtree(lost)
    shutil.rmtree(ADAPTER)
    run("train", *CELL)
    assert files(ADAPTER) == before
    assert lost.is_dir() and all(path.stat().st_ino == kept[path] for path in kept if path != lost)


def test_the_real_only_baseline_needs_no_edits(clip_workspace):
    shutil.rmtree("data/edits")
    run("train", "--real-only")
    about = read_json(paths.REAL_ADAPTERS / "seed-1" / "varireal.json")
    assert about["source"] == "real" and about["attribute"] is None and about["images"]["synthetic"] == 0


def test_the_test_split_is_not_needed_for_training(clip_workspace):
    for path in (paths.PREPARED / "photos").glob("*/test-*"):
        path.unlink()
    run("train", "--real-only")


def test_a_change_of_seed_images_or_settings_changes_the_keys(clip_workspace, change_params):
    from varireal.config import load_params
    from varireal.training.plan import fine_tunings, read_training_set

    def key(source: str = "real", seed: int = 0) -> str:
        return fine_tunings(read_training_set(load_params(paths.PARAMS), None), [source], [seed])[0].key

    first = key()
    assert key() == first and key(seed=1) != first
    change_params("train.gradient_checkpointing", True)
    assert key() == first  # it changes no bit of an adapter
    batch = load_params(paths.PARAMS).train.batch_size
    photos = sum(photo.split == "train" for photo in read_manifest(paths.PHOTOS_MANIFEST))
    change_params("edit.edits_per_photo", batch)
    change_params("train.rounds", 4)  # of photos * batch edits: more than max_steps, so that nothing changes
    assert key() == first
    change_params("train.max_steps", None)
    assert key() != first
    change_params("train.rounds", 1)
    assert read_training_set(load_params(paths.PARAMS), None).train.steps == photos
    change_params("train.rounds", None)
    change_params("train.max_steps", 4)
    assert key() == first  # as the module's settings have it
    change_params("train.lambda_real", 0.4)
    second = key()
    assert second != first
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    changed = [dataclasses.replace(p, sha256="1") if p.image_id == "glider/train-0" else p for p in photos]
    write_manifest(paths.PHOTOS_MANIFEST, changed)
    assert key() != second


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("clip.model", "local-dir:models/none", r"clip\.model names the folder models/none"),
        ("train.batch_size", 1, r"train\.batch_size = 1 cannot hold"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_loaded(clip_workspace, change_params, key, value, message):
    run("mix", "--attribute", "color")
    change_params(key, value)
    with pytest.raises(UserError, match=message):
        run("train", *CELL)
    assert not ADAPTER.exists()


def test_a_data_set_without_val_photos_is_refused(clip_workspace):
    write_manifest(paths.PHOTOS_MANIFEST, [p for p in read_manifest(paths.PHOTOS_MANIFEST) if p.split != "val"])
    with pytest.raises(UserError, match="no photo in the split val"):
        run("train", "--real-only")


def test_a_lost_photo_ends_the_stage_and_leaves_no_output(clip_workspace):
    path = paths.PREPARED / "photos" / "glider" / "train-2.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r"glider/train-2\.png cannot be read"):
        run("train", "--real-only")
    assert not paths.REAL_ADAPTERS.exists() and not (paths.METRICS / "train").exists()


@pytest.mark.parametrize("arguments", [(), ("--attribute", "color"), ("--real-only", *CELL), ("--condition", "mixed")])
def test_a_cell_or_the_baseline_must_be_named(clip_workspace, arguments):
    result = CliRunner().invoke(main, ["train", *arguments])
    assert result.exit_code == 2 and "give --attribute and --condition, or --real-only" in result.output


def curves(name: str) -> list[float]:
    runs = read_json(paths.METRICS / "train" / f"{name}.json")["runs"]
    return [look[key] for run in runs for look in run["curve"] for key in ("train_loss", "val_loss")]


def test_two_processes_train_the_adapter_that_one_does(clip_workspace, change_params):
    run("mix", "--attribute", "color")
    change_params("grid.sources", ["real+synthetic"])
    change_params("grid.seeds", [0])
    change_params("train.accumulation_steps", 2)
    run("train", *CELL)
    alone, expected = load(files(ADAPTER)["real+synthetic/seed-0/adapter_model.safetensors"]), curves("color_mixed")
    shutil.rmtree(".work")
    change_params("compute.processes", 2)
    run("train", *CELL)
    together = load(files(ADAPTER)["real+synthetic/seed-0/adapter_model.safetensors"])
    assert curves("color_mixed") == pytest.approx(expected, abs=1e-4)
    for name, weights in alone.items():
        torch.testing.assert_close(together[name], weights, atol=1e-4, rtol=0)


def test_processes_that_find_no_part_of_a_batch_are_refused(clip_workspace, change_params):
    change_params("compute.processes", 4)
    change_params("train.accumulation_steps", 2)
    with pytest.raises(UserError, match=r"4 processes cannot share 2 parts of a batch; set train\.accumulation"):
        run("train", "--real-only")


def test_a_killed_training_goes_on_where_it_was_and_ends_with_the_same_bytes(clip_workspace, change_params):
    """Killed for good, by a signal that no program sees, at a moment that a seed draws."""
    change_params("grid.seeds", [0])
    change_params("train.max_steps", 30)
    change_params("train.eval_every", 7)
    change_params("train.checkpoint_every", 3)
    run("train", "--real-only")
    expected = files(paths.REAL_ADAPTERS)
    shutil.rmtree(".work")
    shutil.rmtree(paths.REAL_ADAPTERS)
    command = [sys.executable, "-m", "varireal", "train", "--real-only"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        wait_for = generator("kill").integers(1, 6)  # checkpoints
        seen: set[int] = set()
        while len(seen) < wait_for and process.poll() is None:
            seen |= {path.stat().st_mtime_ns for path in Path(".work").glob("train-unfinished/*/*/checkpoint.*")}
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL and not list(Path(".work").glob("train/*/*"))
    assert not paths.REAL_ADAPTERS.exists()
    (left,) = Path(".work").glob("train-unfinished/*/*/checkpoint.safetensors")
    run("train", "--real-only")
    assert files(paths.REAL_ADAPTERS) == expected
    assert not left.exists()
