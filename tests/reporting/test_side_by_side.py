"""Two experiments side by side: from files, folders and DVC's cache to the command's table and JSON."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from scipy.stats import binomtest

from varireal import paths
from varireal.commands.compare import command
from varireal.errors import UserError
from varireal.evaluation.predictions import NO_SEED, REAL, ZERO_SHOT, Model, Predictions
from varireal.reporting.experiments import Experiment, parse_experiment, read_experiment
from varireal.reporting.side_by_side import as_json, compare, model_words, summary_lines

COLOR = Model("synthetic", "color", "feasible")
STEPS = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["train"]["max_steps"]


def experiment(
    name: str, right: dict[Model, dict[int, int]], photos: int = 1000, settings: dict[str, object] | None = None
) -> Experiment:
    """Models that get the first so many photos right, by model and seed; the class is 1, the wrong answer 2."""
    labels = np.ones(photos, dtype=int)
    predicted = {
        model: {seed: np.where(np.arange(photos) < count, 1, 2) for seed, count in seeds.items()}
        for model, seeds in right.items()
    }
    return Experiment(name, Predictions(tuple(f"x/{k:04}" for k in range(photos)), labels, predicted), settings)


def test_controls_are_left_out() -> None:
    harm = Model("synthetic", "color", "harm-20")
    a = experiment("a", {COLOR: {0: 500, 1: 510}, harm: {0: 300, 1: 310}})
    b = experiment("b", {COLOR: {0: 520, 1: 530}})
    compared = compare(a, b, 0.3)
    assert [row.model for row in compared.models] == [COLOR] and compared.only == ((), ())


def test_every_shared_model_is_compared_over_its_shared_seeds() -> None:
    texture = Model("synthetic", "texture", "mixed")
    first = experiment("one", {ZERO_SHOT: {NO_SEED: 300}, COLOR: {0: 500, 1: 520, 7: 999}, texture: {0: 1}})
    second = experiment("two", {ZERO_SHOT: {NO_SEED: 250}, COLOR: {0: 450, 1: 470}, REAL: {0: 2, 1: 2}})
    found = compare(first, second, margin=0.3)
    zero, color = found.models
    assert (zero.model, color.model, found.photos) == (ZERO_SHOT, COLOR, 1000)
    assert (zero.first.mean, zero.second.mean, zero.verdict.difference.mean) == (30.0, 25.0, 5.0)
    assert (color.first.mean, color.second.mean) == (51.0, 46.0)
    assert color.verdict.outcome == "different" and color.verdict.difference.seeds == 2
    assert model_words(color, 0.3) == "different: A is 5.0 points better than B"
    # 50 photos are right in A only and none in B only, with both seeds; the middle of two p-values counts twice
    assert color.verdict.mcnemar == pytest.approx(2 * binomtest(50, 50).pvalue)
    assert found.only == (("color feasible synthetic, seed 7", "texture mixed synthetic"), ("real",))
    lines = summary_lines(found)
    assert lines[0].startswith("Do the experiments differ? ") and "in the one comparison (95 %): different" in lines[0]
    assert "Only A has: color feasible synthetic, seed 7; texture mixed synthetic." in lines


def test_the_verdict_turns_with_the_experiments() -> None:
    first, second = experiment("one", {COLOR: {0: 500, 1: 500}}), experiment("two", {COLOR: {0: 400, 1: 400}})
    there, back = (compare(a, b, 0.3).models[0].verdict for a, b in ((first, second), (second, first)))
    assert there.difference.mean == -back.difference.mean == 10.0
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.mcnemar == back.mcnemar


def test_models_that_answer_alike_are_not_tested_and_correct_no_others() -> None:
    others = {Model("synthetic", "texture", c): {0: 10, 1: 10} for c in ("feasible", "infeasible", "mixed")}
    first = experiment("one", {COLOR: {0: 520, 1: 520}, **others})
    second = experiment("two", {COLOR: {0: 510, 1: 510}, **others})
    found = compare(first, second, 0.3)
    verdict = found.models[0].verdict
    assert verdict.p_difference_holm == verdict.p_difference
    assert [row.same for row in found.models] == [False, True, True, True]
    assert model_words(found.models[1], 0.3) == "the same answers to every photo"
    assert "3 of 4 models give the same answers to every photo." in summary_lines(found)
    two = {COLOR: {0: 510, 1: 510}, next(iter(others)): {0: 20, 1: 20}}
    corrected = compare(first, experiment("two", two), 0.3).models[0].verdict
    assert corrected.p_difference_holm > corrected.p_difference


def test_equal_accuracy_with_other_answers_is_not_the_same() -> None:
    first = experiment("one", {COLOR: {0: 500, 1: 500}})
    answers = np.where(np.arange(1000) >= 500, 1, 3)
    other = dataclasses.replace(first.predictions, by_model={COLOR: {0: answers, 1: answers}})
    second = Experiment("two", other, None)
    (row,) = compare(first, second, 0.3).models
    assert not row.same and row.verdict.difference.mean == 0.0 and row.verdict.outcome == "undecided"


@pytest.mark.parametrize(("other", "told"), [(250, "differ"), (299, "cannot be told apart")])
def test_zero_shot_has_no_seeds_and_speaks_through_mcnemar(other: int, told: str) -> None:
    pair = [experiment("x", {ZERO_SHOT: {NO_SEED: count}}) for count in (300, other)]
    assert model_words(compare(*pair, 0.3).models[0], 0.3) == f"without seeds: these two {told} (McNemar)"


def test_other_photos_and_other_classes_are_named() -> None:
    first = experiment("one", {COLOR: {0: 5}}, photos=10)
    with pytest.raises(UserError, match=r"one has the photo x/0008, two does not \(10 and 8 photos\)"):
        compare(first, experiment("two", {COLOR: {0: 5}}, photos=8), 0.3)
    labels = first.predictions.labels.copy()
    labels[[3, 6]] = 4
    second = Experiment("two", dataclasses.replace(first.predictions, labels=labels), None)
    with pytest.raises(UserError, match="x/0003 is of class 1 in one, of class 4 in two"):
        compare(first, second, 0.3)
    with pytest.raises(UserError, match="one and two have no model with a seed in common"):
        compare(first, experiment("two", {COLOR: {1: 5}, REAL: {0: 5}}, photos=10), 0.3)


def test_settings_that_differ_are_listed_and_unknown_ones_said() -> None:
    first = experiment("one", {COLOR: {0: 5}}, settings={"seed": 0, "mix.ratio": 0.5, "grid.seeds": [0, 1]})
    second = experiment("two", {COLOR: {0: 5}}, settings={"seed": 0, "mix.ratio": 0.25, "train.max_steps": 9})
    found = compare(first, second, 0.3)
    assert found.settings == {
        "grid.seeds": ([0, 1], "(not set)"), "mix.ratio": (0.5, 0.25), "train.max_steps": ("(not set)", 9),
    }  # fmt: skip
    unknown = compare(first, experiment("two", {COLOR: {0: 5}}), 0.3)
    assert unknown.settings is None and "params.yaml is not known of both" in summary_lines(unknown)[-1]
    assert "No setting of params.yaml differs." in summary_lines(compare(first, first, 0.3))


def rows(**changes: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {"attribute": None, "condition": None, "source": "real", "seed": [0, 0, 1, 1],
         "image_id": ["b", "a", "a", "b"], "class_index": [5, 4, 4, 5], "predicted": [1, 4, 2, 5]}
    )  # fmt: skip
    return table.assign(**changes)


def test_predictions_are_sorted_by_photo(tmp_path: Path) -> None:
    found = parse_experiment("x", rows().to_parquet(), b"a: {b: [1], c: 2020-01-02}\nd: null\n")
    predictions = found.predictions
    assert predictions.photos == ("a", "b") and predictions.labels.tolist() == [4, 5]
    assert {seed: answers.tolist() for seed, answers in predictions.by_model[REAL].items()} == {0: [4, 1], 1: [2, 5]}
    assert found.settings == {"a.b": [1], "a.c": "2020-01-02", "d": None}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no parquet", "the predictions of x cannot be read"),
        (rows().drop(columns="predicted").to_parquet(), "the predictions of x cannot be read"),
        (rows(seed=0).to_parquet(), "cannot be read"),
        (rows()[:3].to_parquet(), "x lacks predictions of real, seed 1 for b"),
        (rows(class_index=[5, 4, 3, 5]).to_parquet(), "give a two classes"),
        (rows()[:0].to_parquet(), "are of 0 photos"),
    ],
)
def test_spoilt_predictions_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_experiment("x", data, None)


def test_spoilt_settings_are_refused() -> None:
    for params in (b"a: [", b"- a"):
        with pytest.raises(UserError, match=r"params\.yaml of x"):
            parse_experiment("x", rows().to_parquet(), params)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def other_study(finished_study: Path) -> Path:
    """The finished study, and beside it one whose color edits are worse by 40 photos and whose ratio is another."""
    other = finished_study / "[red]other"
    (other / paths.PREDICTIONS).parent.mkdir(parents=True)
    table = pd.read_parquet(paths.PREDICTIONS)
    number = table["image_id"].str[-3:].astype(int)
    worse = (table["attribute"] == "color") & (number < 40)
    table.assign(predicted=np.where(worse, 1, table["predicted"])).to_parquet(other / paths.PREDICTIONS)
    params = yaml.safe_load(paths.PARAMS.read_text())
    params["train"]["max_steps"] = 21
    (other / paths.PARAMS).write_text(yaml.safe_dump(params))
    return other


def test_the_command_shows_tables_and_names_as_they_are(other_study: Path) -> None:
    output = run(".", str(other_study.name), "--margin", "0.5")
    text = " ".join(output.split())
    assert "B: [red]other" in text and "400 test photos" in text
    assert "different: A is 10.0 points" in text
    assert "8 of 14 models give the same answers to every photo." in text
    assert f"│ train.max_steps │ {STEPS} │ 21 │" in text


def test_the_command_writes_json_with_the_same_figures(other_study: Path) -> None:
    found = json.loads(run(".", str(other_study / paths.PREDICTIONS), "--json"))
    assert (found["A"], found["margin"], found["photos"], len(found["models"])) == (".", 0.3, 400, 14)
    color = next(m for m in found["models"] if (m["attribute"], m["condition"]) == ("color", "mixed"))
    assert color["top1"] == {"A": 71.0, "B": 61.0} and color["difference"]["points"] == 10.0
    assert color["difference"]["outcome"] == "different" and color["verdict"].startswith("different: A is 10.0")
    same = next(m for m in found["models"] if m["source"] == "real")
    assert same["difference"] is None and same["verdict"] == "the same answers to every photo"
    assert found["settings"] == {"train.max_steps": {"A": STEPS, "B": 21}}
    assert found["only"] == {"A": [], "B": []}
    assert found == as_json(compare(read_experiment("."), read_experiment(str(other_study)), found["margin"])) | {
        "B": found["B"]
    }


def test_a_folder_without_predictions_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no data/predictions/predictions\.parquet; run `dvc repro evaluate`"):
        read_experiment(str(tmp_path))


@pytest.fixture
def repository(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished study under DVC, with an experiment `fewer-steps` of other settings and predictions."""
    from dvc.repo import Repo

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], check=True, capture_output=True)

    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "n")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "n@example.org")
    monkeypatch.delenv("DVC_ROOT")
    git("init", "-q")
    with Repo.init() as repo:
        repo.add("data/predictions")
        git("add", ".dvc", "data/.gitignore", "data/predictions.dvc", "params.yaml")
        git("commit", "-qm", "one")
        git("tag", "first")
        table = pd.read_parquet(paths.PREDICTIONS)
        table.assign(predicted=np.where(table["attribute"] == "color", 1, table["predicted"])).to_parquet(
            paths.PREDICTIONS
        )
        paths.PARAMS.write_text(paths.PARAMS.read_text().replace(f"max_steps: {STEPS}", "max_steps: 10"))
        repo.add("data/predictions")
        repo.experiments.save(name="fewer-steps", force=True)
    return finished_study


def test_a_revision_whose_outputs_were_never_here_is_one_line(repository: Path) -> None:
    shutil.rmtree(".dvc/cache")
    with pytest.raises(UserError, match=r"DVC's cache lacks the predictions of first .*get them with `dvc pull`"):
        read_experiment("first")


def test_revisions_and_experiments_are_read_from_dvcs_cache(repository: Path) -> None:
    for path in ("data/predictions", "params.yaml"):
        (shutil.rmtree if Path(path).is_dir() else Path.unlink)(Path(path))
    found = compare(read_experiment("first"), read_experiment("fewer-steps"), 0.3)
    assert found.settings == {"train.max_steps": (STEPS, 10)}
    assert {row.model.attribute: row.second.mean for row in found.models}["color"] == 0.0
    assert sum(row.same for row in found.models) == 8

    with pytest.raises(UserError, match="nope is no folder, no file, no DVC experiment and no git revision"):
        read_experiment("nope")
    shutil.rmtree(".dvc/cache")
    with pytest.raises(UserError, match=r"DVC's cache lacks the predictions of first .*`dvc exp apply first`"):
        read_experiment("first")
    subprocess.run(["git", "rm", "-q", "--cached", "data/predictions.dvc"], check=True)
    subprocess.run(["git", "commit", "-qm", "none"], check=True)
    with pytest.raises(UserError, match=r"the revision HEAD has no data/predictions/predictions\.parquet"):
        read_experiment("HEAD")
