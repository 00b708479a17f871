"""params.yaml, conf/ and the commands that README and conf/ tell people to type."""

from __future__ import annotations

import re
import shlex
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import compose_and_dump
from omegaconf import OmegaConf

from varireal.cli import COMMANDS
from varireal.config import load_params

REPOSITORY = Path(__file__).parents[1]
CONF = REPOSITORY / "conf"
PLUGINS = REPOSITORY / ".dvc/plugins"
README = (REPOSITORY / "README.md").read_text()
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
TEXTS = [README, *(path.read_text() for path in (*DOCS, *sorted(CONF.rglob("*.yaml"))))]
DVC_COMMANDS = {
    "repro",
    "exp run",
    "exp show",
    "queue start",
    "metrics show",
    "metrics diff",
    "plots show",
    "plots diff",
}


def compose(target: Path, overrides: list[str]) -> dict[str, Any]:
    """Write params.yaml from conf/ as `dvc exp run -S ...` does."""
    compose_and_dump(target, str(CONF), None, "config.yaml", str(PLUGINS), overrides)
    return yaml.safe_load(target.read_text())


def typed_commands(text: str) -> list[list[str]]:
    """Return the command lines of a text: indented or fenced lines that begin with one of our programs."""
    joined = re.sub(r"\\\n[#\s]*", "", text)
    lines = [line.removeprefix("#").strip() for line in joined.splitlines() if "`" not in line]
    lines = [re.sub(r"^.*:  (dvc .*?)(   \(.*\))?$", r"\1", line) for line in lines]
    return [shlex.split(line, comments=True) for line in lines if re.match(r"(dvc|make|varireal) [a-z-]", line)]


COMMAND_LINES = [line for text in TEXTS for line in typed_commands(text)]


def overrides(line: list[str]) -> list[str]:
    return [value for flag, value in pairwise(line) if flag == "-S"]


def test_params_are_what_conf_composes(tmp_path: Path) -> None:
    assert yaml.safe_load((REPOSITORY / "params.yaml").read_text()) == compose(tmp_path / "params.yaml", [])


def test_one_override_sets_the_ratio_and_nothing_else(tmp_path: Path) -> None:
    before, after = compose(tmp_path / "a.yaml", []), compose(tmp_path / "b.yaml", ["mix.ratio=0.25"])
    before["mix"]["ratio"] = 0.25
    assert after == before


GROUPS = {name: sorted(path.stem for path in (CONF / name).glob("*.yaml")) for name in ("dataset", "models", "scale")}
TOGETHER = "models_scale"  # holds what is laid over a choice of models and scale alone


# models that change a few settings of others
PARENT = dict.fromkeys(("flux", "flux2", "qwen_image", "sd15", "sdxl_fast", "tiny", "z_image"), "sdxl")
SCALE = {"demo": "laptop", "sdxl": "full"}  # what is taken where no scale is asked for


def laid_over_each_other(dataset: str, models: str, scale: str) -> dict[str, Any]:
    """Merge the files that a choice is made of, each stronger than the one before, and no other file."""
    first = PARENT.get(models, models)
    own = [f"models/{models}"] if models in PARENT else []
    both = [path for path in [f"{TOGETHER}/{models}_{scale}"] if (CONF / f"{path}.yaml").is_file()]
    names = ["config", f"models/{first}", f"scale/{scale}", *own, *both, f"dataset/{dataset}"]
    merged = OmegaConf.merge(*(OmegaConf.load(CONF / f"{name}.yaml") for name in names))
    merged.pop("defaults")
    return OmegaConf.to_container(merged, resolve=True)


# every data set with all models and all scales, and all models with all scales: a Latin square, a quarter of all
PAIRED = [
    (dataset, models, GROUPS["scale"][(row + column) % len(GROUPS["scale"])])
    for row, dataset in enumerate(GROUPS["dataset"])
    for column, models in enumerate(GROUPS["models"])
]


def test_each_two_choices_of_groups_are_tried_together() -> None:
    for first, second in combinations(range(3), 2):
        asked = set(product(*(list(GROUPS.values())[place] for place in (first, second))))
        assert {(names[first], names[second]) for names in PAIRED} == asked


@pytest.mark.parametrize("names", PAIRED, ids=str)
def test_combined_groups_are_valid_and_hold_their_settings_only(names: tuple[str, ...], tmp_path: Path) -> None:
    chosen = dict(zip(GROUPS, names))
    found = compose(tmp_path / "params.yaml", [f"{group}={name}" for group, name in chosen.items()])
    load_params(tmp_path / "params.yaml")
    assert found == laid_over_each_other(**chosen)


def test_a_rate_for_the_small_models_few_steps_is_not_given_to_others(tmp_path: Path) -> None:
    def rate(*choice: str) -> float:
        return compose(tmp_path / "params.yaml", list(choice))["train"]["learning_rate"]

    assert {path.name for path in CONF.iterdir() if path.is_dir()} == {
        *GROUPS,
        TOGETHER,
        "study",
        "study_dataset",
        "classifier",
    }
    assert sorted(path.stem for path in (CONF / TOGETHER).iterdir()) == ["demo_full_laptop", "demo_laptop"]
    assert [rate(), rate("scale=full_laptop")] == [0.0015, 0.0015]
    assert rate("models=sdxl", "scale=laptop") == rate("models=sdxl") == 1e-4


def setting(params: dict[str, Any], key: str) -> Any:
    """Return what a stage's entry in dvc.yaml reads of the settings; of a cell's recipe all recipes."""
    for name in key.partition(".$")[0].split("."):
        params = params.get(name, {})
    return params


@pytest.mark.parametrize("classifier", sorted(path.stem for path in (CONF / "classifier").glob("*.yaml")))
def test_another_classifier_makes_no_edit_anew(classifier: str, tmp_path: Path) -> None:
    """Neither a setting nor a watched folder of the stages up to mix differs, so that DVC finds them done."""
    before, after = compose(tmp_path / "a.yaml", []), compose(tmp_path / "b.yaml", [f"classifier={classifier}"])
    load_params(tmp_path / "b.yaml")
    assert {key for key in before if before[key] != after[key]} <= {"clip", "train", "measure", "watch"}
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    for name in ("prepare", "prompt", "segment", "edit", "mix"):
        keys = stages[name]["params"]
        keys += [dep.strip("${}") for dep in stages[name]["deps"] if dep.startswith("${watch.")]
        assert keys and all(setting(before, key) == setting(after, key) for key in keys), name
    assert setting(before, "clip") != setting(after, "clip") and "clip" in stages["train"]["params"]


@pytest.mark.parametrize("models", GROUPS["models"])
def test_models_bring_the_scale_that_suits_them(models: str, tmp_path: Path) -> None:
    found = compose(tmp_path / "params.yaml", ["dataset=oxford_pets", f"models={models}"])
    assert found == laid_over_each_other("oxford_pets", models, SCALE[PARENT.get(models, models)])


def test_texts_show_commands() -> None:
    assert len(COMMAND_LINES) > 15
    assert {line[0] for line in COMMAND_LINES} == {"dvc", "make", "varireal"}


@pytest.mark.parametrize("line", COMMAND_LINES, ids=" ".join)
def test_a_command_that_people_are_told_to_type_exists(line: list[str], tmp_path: Path) -> None:
    program, *rest = line
    if program == "make":
        assert re.search(rf"^{rest[0]}:", (REPOSITORY / "Makefile").read_text(), re.M)
    elif program == "varireal":
        assert rest[0] in {*COMMANDS, "--help"}
    else:
        assert any(" ".join(rest).startswith(command) for command in DVC_COMMANDS)
        variants = [[]]
        for override in overrides(line):
            key, _, values = override.partition("=")
            several = values.split(",") if not values.startswith("[") else [values]
            variants = [[*variant, f"{key}={value}"] for variant in variants for value in several]
        for variant in variants:
            compose(tmp_path / "params.yaml", variant)
            load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("page", [REPOSITORY / "README.md", *DOCS], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"(?<!!)\[[^\]]*\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


JUDGED = ("name", "rule", "mean_threshold", "attribute_threshold", "class_threshold", "possibility_threshold")


@pytest.mark.parametrize("models", ["demo", "sd15"])  # whose filter is a CLIP
def test_another_judge_changes_the_filters_network_alone(models: str, tmp_path: Path) -> None:
    """It is pinned, and judges by the study's thresholds and rule."""
    before = compose(tmp_path / "a.yaml", [f"models={models}"])
    study = compose(tmp_path / "c.yaml", ["models=sdxl", "dataset=oxford_pets"])["filter"]
    for judge in sorted(path.stem for path in (CONF / "models/judge").glob("*.yaml")):
        after = compose(tmp_path / "b.yaml", [f"models={models}", f"models/judge={judge}"])
        load_params(tmp_path / "b.yaml")
        assert {key for key in after if after[key] != before[key]} <= {"filter", "watch"}
        assert {key: after["filter"][key] for key in JUDGED} == {key: study[key] for key in JUDGED}
        assert after["filter"]["pretrained"] is None and re.fullmatch("[0-9a-f]{40}", after["filter"]["revision"])


@pytest.mark.parametrize("dataset", ["rendered_aircraft", "oxford_pets"])  # the latter has masks
def test_masks_of_sam_3_are_taken_whatever_the_data_set_has(dataset: str, tmp_path: Path) -> None:
    after = compose(tmp_path / "b.yaml", [f"dataset={dataset}", "models=sdxl", "models/masks=sam3"])
    found = load_params(tmp_path / "b.yaml").segment
    assert (found.source, found.sam3.checkpoint) == ("sam3", "facebook/sam3")
    before = compose(tmp_path / "a.yaml", [f"dataset={dataset}", "models=sdxl"])
    assert {key for key in after if after[key] != before[key]} == {"segment"}
