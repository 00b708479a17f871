from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from tests.tiny_study import REPOSITORY, change, make_study

from varireal import paths
from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.compute.engines.local import LocalEngine
from varireal.config import load_params
from varireal.datasets import DATASETS
from varireal.doctor.calibration import count_values
from varireal.doctor.clock import ClockedBatch, ClockedEngine, PoolTime, pool_time
from varireal.doctor.estimate import (
    Calibration,
    EditPace,
    Pace,
    PartEstimate,
    TrainingPace,
    estimate_disk,
    estimate_findings,
    estimate_parts,
    mean_attempts,
    readable_seconds,
)
from varireal.doctor.workload import Workload
from varireal.editing.jobs import JobPlan
from varireal.prompts import load_prompts

WORK = Workload(
    photos={"train": 10, "val": 20, "test": 30},
    edits_per_cell=50,
    denoising_steps={"color feasible": 6},
    refining_steps={},
    max_attempts=3,
    training_processes=2,
    fine_tunings=9,
    steps=100,
    looks=5,
    batch_size=8,
)
MEASURED = Calibration(
    photo=0.5,
    photo_bytes=1000,
    pictures=7.0,
    picture_bytes=400,
    masks=Pace(fixed=4.0, per_item=0.25, workers=2, batch=4),
    mask_bytes=10,
    edits={
        "color feasible": EditPace(
            edits=Pace(fixed=9.0, per_item=0.5, workers=2, batch=16),
            pictures=Pace(fixed=0.0, per_item=2.0, workers=2),
            passed=0.5,
            edit_bytes=100,
            value_bytes=60,
        )
    },
    training=TrainingPace(
        fixed=3.0, step=0.2, look=0.4, look_image=0.03, decode_image=0.01, workers=2, image_bytes=300, adapter_bytes=70
    ),
)
VALUES = {"color feasible": 5}


@pytest.fixture
def params():
    """The default settings with a grid of one cell: 2 sources and 3 seeds, as WORK has it with the baseline's 3."""
    params = load_params(REPOSITORY / "params.yaml")
    grid = params.grid.model_copy(
        update={"attributes": ["color"], "feasibilities": ["feasible"], "conditions": ["feasible"]}
    )
    assert (len(grid.sources), len(grid.seeds)) == (2, 3)
    return params.model_copy(update={"grid": grid})


def test_the_time_of_every_part_is_that_worked_out_by_hand(params):
    times = {part.name: part for part in estimate_parts(params, WORK, VALUES, MEASURED)}
    assert times["prepare"].likely == pytest.approx(60 * 0.5 + 7)
    # 10 photos are 3 batches of 4: two rounds of two workers
    assert times["segment"].likely == pytest.approx(4 + 2 * 4 * 0.25)
    # 5 values in 3 rounds of 2 s; 50 edits are 4 batches of 16: two rounds of 8 s at every attempt
    edits = times["edit color feasible"]
    assert edits.least == pytest.approx(9 + 6 + 16)
    assert edits.likely == pytest.approx(9 + 6 + 16 * (1 + 0.5 + 0.25))
    assert edits.most == pytest.approx(9 + 6 + 3 * 16)
    # a fine-tuning: 100 steps, 5 looks at 20 images; the cell's six in 3 rounds, the baseline's three in 2
    tuning = 100 * 0.2 + 5 * (0.4 + 20 * 0.03)
    assert times["train, all cells"].likely == pytest.approx(3 + 3 * tuning + 3 + 2 * tuning + (10 + 20 + 50) * 0.01)
    # ten models in 5 rounds
    assert times["evaluate"].likely == pytest.approx(3 + 5 * (0.4 + 30 * 0.03) + 30 * 0.01)
    assert list(times) == ["prepare", "segment", "edit color feasible", "train, all cells", "evaluate"]


def test_the_disk_is_that_worked_out_by_hand():
    needed = estimate_disk(WORK, VALUES, MEASURED, save_rejected=False)
    assert needed["results"] == 60 * 1000 + 400 + 10 * 10 + 50 * 100 + 9 * 70
    assert needed["work"] == 50 * 100 * 1.75 + 5 * 60 + (60 + 50) * 300 + 9 * 70
    more = estimate_disk(WORK, VALUES, MEASURED, save_rejected=True)
    assert more == needed | {"results": needed["results"] + 50 * 100 * 0.75}


@pytest.mark.parametrize(("passed", "mean"), [(1.0, 1), (0.0, 3), (0.5, 1.75)])
def test_the_mean_number_of_attempts_follows_from_the_rate_that_passes(passed, mean):
    assert mean_attempts(passed, 3) == mean


@pytest.mark.parametrize(("free", "status"), [(25, "ok"), (24, "note"), (15, "note"), (14, "missing")])
def test_too_little_disk_is_told(free, status):
    """15 bytes without, 25 with copies in DVC's cache."""
    rows = estimate_findings(
        [PartEstimate("a", 1, 2, 3), PartEstimate("b", 4, 4, 4)], {"results": 10.0, "work": 5.0}, {}, free
    )
    assert rows[-1].name == "disk" and rows[-1].status == status
    assert rows[-3].values == {"least_s": 5, "likely_s": 6, "most_s": 7}
    assert rows[0].found == "2 s (1 s to 3 s)" and rows[1].found == "4 s"


def test_times_are_readable():
    assert [readable_seconds(s) for s in (4.4, 119, 150, 5400, 9000)] == [
        "4 s",
        "119 s",
        "2.5 min",
        "90.0 min",
        "2.5 h",
    ]


def test_busy_counts_a_first_batch_like_its_repetition():
    times = [("a", 9.0, False), ("a", 2.0, True), ("a", 3.0, True), ("b", 7.0, False), ("b", 4.0, True)]
    batches = [ClockedBatch(worker, 4, seconds, steady) for worker, seconds, steady in times]
    assert pool_time(batches, 12) == PoolTime(per_item=9 / 12, seconds=8.0, workers=2)
    assert pool_time([], 3) == PoolTime()


class Sleeper:
    """Sleeps a second at its first batch, and a hundredth for every item."""

    def __init__(self) -> None:
        self.loaded = False

    def __call__(self, items):
        time.sleep(0.01 * len(items) + (0.0 if self.loaded else 1.0))
        self.loaded = True
        return [item * 2 for item in items]


def test_a_clocked_engine_gives_the_same_results_and_times_without_loading(params):
    engine = ClockedEngine(LocalEngine(params.compute.model_copy(update={"workers": 1}), ()))
    with engine.open(Sleeper(), 2) as pool:
        assert list(pool.run([[1, 2], [3]])) == [(0, [2, 4]), (1, [6])]
    batches = engine.take()
    assert [(batch.items, batch.steady) for batch in batches] == [(2, False), (2, True), (1, True)]
    assert batches[0].seconds >= 1.02 > batches[1].seconds >= 0.02 and batches[2].seconds >= 0.01
    assert engine.take() == []


def test_a_failing_batch_is_tried_again_by_the_engine_and_set_aside(params):
    class Fails(Sleeper):
        def __call__(self, items):
            raise ValueError("never")

    engine = ClockedEngine(LocalEngine(params.compute.model_copy(update={"workers": 1}), ()))
    with engine.open(Fails(), 1) as pool:
        [(_, [aside])] = list(pool.run([[1]]))
    assert "never" in aside.note and engine.take() == []


@pytest.fixture
def tiny(tmp_path, monkeypatch, tiny_clip):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    make_study(tiny_clip)
    return tmp_path


def doctor(*arguments: str):
    return CliRunner().invoke(main, ["doctor", "--calibrate", *arguments])


@pytest.mark.slow
def test_a_tiny_study_is_calibrated_and_nothing_is_left_behind(tiny):
    change(grid__seeds=[0, 1], filter={"name": "none", "max_attempts": 2})
    before = sorted(tiny.rglob("*"))
    result = doctor("--json")
    assert result.exit_code == 0, result.output
    assert sorted(tiny.rglob("*")) == before
    rows = {row["name"]: row["values"] for row in json.loads(result.stdout)["findings"] if row["part"] == "estimate"}
    cells = ["edit color feasible", "edit color infeasible"]
    assert list(rows) == [
        "prepare", "segment", *cells, "train, all cells", "evaluate", "all of these", "edits that pass", "disk",
    ]  # fmt: skip
    assert rows["edits that pass"] == {"color feasible": 1.0}  # one is timed for both: equally many steps
    for cell in cells:  # no filter: every edit passes
        assert 0 < rows[cell]["least_s"] == rows[cell]["likely_s"] == rows[cell]["most_s"]
    assert rows["train, all cells"]["likely_s"] > 0 and rows["evaluate"]["likely_s"] > 0
    total = sum(
        values["likely_s"] for name, values in rows.items() if name not in ("all of these", "edits that pass", "disk")
    )
    assert rows["all of these"]["likely_s"] == pytest.approx(total, abs=0.01)
    # 14 fine-tunings: rank 16 of two projections 32 wide, in two blocks of two towers, in float32, and a header
    assert rows["disk"]["results"] > 14 * (16 * 2 * 32) * 2 * 2 * 2 * 4


@pytest.mark.parametrize("edits_per_photo", [1, 2, 7])
def test_the_values_are_those_that_the_edits_will_have(tiny, edits_per_photo):
    change(edit__edits_per_photo=edits_per_photo)
    params = load_params(tiny / "params.yaml")
    for stage in (["prepare"], ["prompt"], ["segment"]):
        assert CliRunner().invoke(main, stage).exit_code == 0
    dataset = DATASETS[params.dataset.name](params.dataset, params.seed)
    table = load_prompts(paths.PROMPTS)
    training = [photo for photo in dataset.photos() if photo.split == "train"]
    named = [(photo.image_id, table.classes[photo.class_index]) for photo in training]
    for cell in ("color feasible", "color infeasible"):
        plan = JobPlan(
            lambda: read_manifest(paths.MASKS_MANIFEST), table, attribute="color", feasibility=cell.split()[1],
            edits_per_photo=edits_per_photo, seed=params.seed,
        )  # fmt: skip
        assert count_values(params, table, *cell.split(), named) == len(plan.survey()[1])


@pytest.mark.slow
def test_an_interrupted_calibration_ends_quietly_and_leaves_nothing(tiny, tmp_path_factory):
    temporary = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-m", "varireal", "doctor", "--calibrate"]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(temporary.glob("varireal-calibration-*/masks.parquet")):  # the first part has ended
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and output == ""
    assert "Traceback" not in errors
    assert list(temporary.glob("varireal-*")) == []


def test_what_is_missing_stops_the_calibration_in_one_line(tiny):
    change(segment__source="model", segment__checkpoint="models/gone", segment__object_labels=["thing"])
    result = doctor()
    assert result.exit_code == 1
    message = str(result.exception)
    assert "segment.checkpoint is missing" in message and "models/gone" in message and "\n" not in message


@pytest.mark.slow
def test_a_part_that_fails_says_why_in_its_own_words(tiny):
    change(segment__min_area=0.9, segment__max_area=0.95)
    result = doctor()
    message = str(result.exception)
    assert result.exit_code == 1 and "\n" not in message
    assert message.startswith("the calibration of masks failed: not one of") and "min_area" in message


def test_prompts_of_a_language_model_must_be_there(tiny):
    change(prompt__source="openai", prompt__llm={"model": "m", "base_url": "http://127.0.0.1:9/v1"})
    result = doctor()
    assert "run `varireal prompt` first" in str(result.exception)
