"""The hours that the doctor states for a user's own settings, and for the groups side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.test_conf import REPOSITORY
from tests.test_conf import compose as compose_settings

from varireal.cli import main
from varireal.config import Params, load_params
from varireal.doctor.examination import _published_hours
from varireal.doctor.groups import PARTS, groups_grid, state_groups
from varireal.doctor.stated import drawn_values, hours_finding, published_photos, state_run, uncounted

PETS = {"train": 48 * 37, "val": 552, "test": 3669}  # lean: 48 of each breed; val is 15 % of 3,680


@pytest.fixture(scope="module", autouse=True)
def _repository():
    """Work where conf/ and the banks lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        yield


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Params:
    target = tmp_path_factory.mktemp("lean") / "params.yaml"
    compose_settings(target, ["dataset=oxford_pets", "models=sdxl", "scale=lean"])
    return load_params(target)


def changed(params: Params, section: str, **values: object) -> Params:
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def test_photos_of_a_published_data_set_are_counted_as_prepare_divides_them(lean):
    assert published_photos(lean.dataset) == (37, PETS)
    whole = changed(lean, "dataset", train_per_class=None, val_per_class=2).dataset
    assert published_photos(whole) == (37, {"train": 3680 - 2 * 37, "val": 2 * 37, "test": 3669})
    aircraft = changed(lean, "dataset", name="fgvc_aircraft", train_per_class=None, val_split="published").dataset
    assert published_photos(aircraft) == (100, {"train": 3334, "val": 3333, "test": 3333})
    drawn = aircraft.model_copy(update={"val_split": "drawn", "val_share": 0.2})
    assert published_photos(drawn) == (100, {"train": 5334, "val": 1333, "test": 3333})
    assert published_photos(aircraft.model_copy(update={"name": "image_folder"})) is None


def test_the_row_of_ones_own_settings_has_the_hours_and_their_parts(lean):
    found = hours_finding(lean, PETS, 37)
    assert (found.part, found.name, found.status) == ("work", "hours", "ok")
    assert found.found.startswith("about 11.7 of one H100, where 70% of attempts pass (9.4 if all pass at once, 21.5 ")
    assert "inpainting 2.5, refining 4.4, autoencoder 0.5, judge 1.0, training 3.1" in found.found
    assert "masks" not in found.found  # pets have their own
    likely = found.values["likely"]
    # 1,776 photos, 4 cells, 25 steps of UNet and ControlNet, 1 + 0.3 + 0.09 attempts
    steps = 1776 * 4 * 25 * 1.39
    assert likely["refining"] == pytest.approx(steps * (7.28 + 3.26) / 13.52 * 2.496 / 30 / 3600, abs=0.001)
    assert sum(likely.values()) == pytest.approx(11.7, abs=0.05)
    fewer = hours_finding(lean, PETS, 37, unmasked=888)  # half of the photos get no edit
    assert fewer.values["likely"]["refining"] == pytest.approx(likely["refining"] / 2, abs=0.001)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"filter": {"model": "some/judge"}}, "filter.model = 'some/judge'"),
        ({"clip": {"model": "RN50"}}, "clip.model = 'RN50'"),
        ({"edit": {"method": "paste"}}, "edit.method paste"),
    ],
)
def test_what_nobody_counted_is_named_in_place_of_a_guess(lean, change, named):
    [(section, values)] = change.items()
    found = hours_finding(changed(lean, section, **values), PETS, 37)
    assert found.status == "note" and found.found == f"not by calculation: nobody counted the calls of {named}"
    assert "--calibrate" in str(found.remedy) and not found.values


def test_a_size_that_nobody_counted_is_named(lean):
    inpaint = lean.edit.inpaint.model_copy(update={"image_size": 640})
    found = hours_finding(changed(lean, "edit", inpaint=inpaint), PETS, 37)
    assert found.found.endswith("the calls of a VAE encoder for squares of 640 pixels")


def test_a_folder_with_a_counted_networks_own_name_counts_like_its_id(lean):
    inpaint = lean.edit.inpaint.model_copy(update={"checkpoint": "/weights/stable-diffusion-xl-1.0-inpainting-0.1"})
    assert uncounted(changed(lean, "edit", inpaint=inpaint)) is None
    assert uncounted(changed(lean, "filter", name="clip", model="any")) is None  # no judge reads pictures


def test_a_bank_that_is_not_there_is_named_and_stops_nothing(lean):
    found = hours_finding(changed(lean, "prompt", bank="nowhere.yaml"), PETS, 37)
    assert found.status == "note" and found.found.startswith("not calculated: the bank nowhere.yaml cannot be read")


def test_pictures_are_drawn_for_the_banks_values_alone(lean):
    both = drawn_values(lean)
    textures = drawn_values(changed(lean, "grid", attributes=["texture"]))
    backgrounds = drawn_values(changed(lean, "grid", attributes=["background", "color"]))
    assert both == textures + backgrounds and min(textures, backgrounds) > 10
    assert drawn_values(changed(lean, "prompt", source="openai")) == 0
    prior = lean.edit.prior.model_copy(update={"source": "pictures"})
    assert drawn_values(changed(lean, "edit", prior=prior)) == 0


def test_the_hours_of_a_published_data_set_are_told_before_its_photos_are_here(lean):
    [found] = _published_hours(lean)
    assert found.found.startswith("about 11.7 of one H100")
    assert _published_hours(changed(lean, "compute", require_accelerator=False)) == []
    assert _published_hours(changed(lean, "dataset", name="image_folder")) == []


def test_the_table_of_the_documentation_is_what_is_calculated(lean):
    run = state_run(lean, PETS, 37)
    once, likely, never = (f"{sum(course.values()):.1f}" for course in (run.once, run.likely, run.never))
    row = f"| | `models=sdxl scale=lean` | {run.work.edits:,} | 135 × {run.work.steps:,} | **{once}** | **{likely}** | "
    assert row + f"**{never}** |" in (REPOSITORY / "docs/full_size.md").read_text(encoding="utf-8")
    assert {part for added in PARTS.values() for part in added} == set(run.once)


def test_groups_stand_side_by_side_with_hours_that_add_up(monkeypatch):
    stated = state_groups(["oxford_pets"], [("models=sdxl", "scale=lean")])
    monkeypatch.setattr("varireal.commands.doctor.state_groups", lambda: stated)
    shown = CliRunner().invoke(main, ["doctor", "--hours", "--json"], catch_exceptions=False)
    [(name, entry)] = json.loads(shown.stdout).items()
    assert name == "dataset=oxford_pets models=sdxl scale=lean" and entry["edits"] == 10656
    assert sum(entry["h100_hours"]["likely"].values()) == pytest.approx(11.7, abs=0.05)
    [data, line] = groups_grid(stated).lines
    cells = [str(cell) for cell in line.cells]
    assert str(data.cells[0]) == "dataset=oxford_pets" and len(data.cells) == len(cells)
    assert cells[:2] == ["  models=sdxl scale=lean", "10,656"] and cells[-3:] == ["11.7", "9.4", "21.5"]
    assert sum(map(float, cells[2:-3])) == pytest.approx(11.7, abs=0.4)


def test_hours_are_calculated_or_measured_but_not_both(tmp_path: Path, monkeypatch):
    result = CliRunner().invoke(main, ["doctor", "--hours", "--calibrate"])
    assert result.exit_code == 1 and "give one of them" in str(result.exception)


def test_hours_outside_of_the_repository_name_what_is_missing(tmp_path: Path, monkeypatch):
    params = (REPOSITORY / "params.yaml").read_bytes()
    (tmp_path / "params.yaml").write_bytes(params)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["doctor", "--hours"])
    assert "conf/config.yaml does not exist; run from the repository's root" in str(result.exception)
