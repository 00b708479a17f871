"""Interrupted fine-tunings end with the bytes of uninterrupted ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varireal.config import AugmentationConfig, LoraSettings, TrainConfig
from varireal.networks.clip import load_clip
from varireal.training.data import LabelledImages
from varireal.training.loop import fine_tune
from varireal.training.lora import adapter_bytes, add_lora, remove_lora
from varireal.training.state import FILE, CheckpointFile, Look, State
from varireal.training.steps import pools

CONFIG = TrainConfig(
    lora=LoraSettings(r=2, lora_dropout=0.2), batch_size=4, max_steps=7, eval_every=3, learning_rate=0.02,
    augmentation=AugmentationConfig(color_jitter=0.5), accumulation_steps=2,
)  # fmt: skip


class Killed(BaseException):
    pass


def noise(count: int, seed: int) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 32, 32, 3), generator=generator, dtype=torch.uint8)
    return LabelledImages(pixels, torch.randint(0, 2, (count,), generator=generator))


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


def run(clip, checkpoint: CheckpointFile | None, dtype=torch.float32, kill_at: int | None = None):
    """Fine-tune; with ``kill_at`` stop in the middle of that step. Return the adapter, the looks and the steps done."""
    steps: list[int] = []

    def advance(count: int) -> None:
        steps.append(count)
        if sum(steps) == kill_at:
            raise Killed

    model = add_lora(clip.model, CONFIG.lora, 0)
    try:
        sources, tokens = pools(noise(5, 1), noise(6, 2), CONFIG), clip.tokenize(["a photo of a jet", "a glider"])
        state = fine_tune(
            clip, model, tokens, sources, noise(9, 3), CONFIG, (0, 1), advance, dtype=dtype, checkpoint=checkpoint
        )
        return adapter_bytes(model), state.looks, steps
    finally:
        remove_lora(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_fine_tuning_that_is_killed_twice_ends_with_the_same_bytes(clip, tmp_path, dtype):
    expected, looks, _ = run(clip, None, dtype)
    checkpoint = CheckpointFile(tmp_path / "item", every=2)
    for kill_at in (3, 6):  # the checkpoints of steps 2 and 4 are there: after a look at step 3, and before one
        with pytest.raises(Killed):
            run(clip, checkpoint, dtype, kill_at)
    found, found_looks, steps = run(clip, checkpoint, dtype)
    assert found == expected and found_looks == looks
    assert steps == [4, 1, 1, 1]


@pytest.mark.parametrize("size", [0, 1, 7, 300, -1])
def test_a_cut_checkpoint_costs_a_new_beginning_only(clip, tmp_path, size, caplog):
    expected, looks, _ = run(clip, None)
    checkpoint = CheckpointFile(tmp_path, every=5)
    with pytest.raises(Killed):
        run(clip, checkpoint, kill_at=6)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:size])
    found, found_looks, steps = run(clip, checkpoint)
    assert found == expected and found_looks == looks and sum(steps) == len(steps) == 7
    assert "damaged" in caplog.text


def test_a_checkpoint_is_written_on_the_beat_and_replaced(tmp_path):
    checkpoint = CheckpointFile(tmp_path / "ab" / "item", every=3)
    assert [step for step in range(1, 10) if checkpoint.due(step)] == [3, 6, 9]
    assert not any(CheckpointFile(tmp_path, None).due(step) for step in range(1, 10))
    assert checkpoint.read() is None
    checkpoint.write(b"one")
    checkpoint.write(b"two")
    assert checkpoint.read() == b"two" and [path.name for path in Path(tmp_path / "ab" / "item").iterdir()] == [FILE]


@given(st.lists(st.tuples(st.sampled_from([40.0, 50.0]), st.sampled_from([1.0, 2.0])), min_size=1, max_size=6))
def test_the_best_look_has_the_highest_top1_then_the_lowest_loss_then_the_earliest_step(found):
    state = State()
    for top1, loss in found:
        state.step += 1
        state.losses.append(float(state.step))
        state.add_look(loss, top1, [torch.tensor(float(state.step))])
    order = sorted(range(len(found)), key=lambda k: (-found[k][0], found[k][1], k))
    assert state.best.step == order[0] + 1
    assert state.best_weights == [torch.tensor(float(state.best.step))]
    assert dataclasses.astuple(state.looks[0]) == (1, 1.0, found[0][1], found[0][0]) and not state.losses
    assert isinstance(state.best, Look)
