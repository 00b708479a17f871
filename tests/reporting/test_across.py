"""Studies of several classifiers and editors side by side, with made-up verdicts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from tests.reporting.planted_studies import SETTINGS, controls, flux, pair, siglip, study, told

from varireal import paths
from varireal.errors import UserError
from varireal.reporting.across import Across, as_json, lines, side_by_side
from varireal.reporting.across_drawing import across_figure, across_page, differences_grid, studies_grid
from varireal.tables import Grid, rich_table

REPOSITORY = Path(__file__).parents[2]


def without_zero_shot(bound: float | None = 11.7) -> dict:
    """Verdicts of a classifier without text, with controls that see with the real photos alone."""
    return told(
        questions={"feasibility": {"bound": bound, "comparisons": 18}},
        controls=controls(synthetic=False, real_synthetic=True),
        top1={"real": {"mean": 61.0, "low": 55, "high": 66}},
    )


@pytest.fixture
def three() -> Across:
    """Two classifiers on one editor's pictures, and the first classifier on another's."""
    return side_by_side([study("workspace"), siglip(found=without_zero_shot()), flux()], one_each=True)


def shown(grid: Grid, width: int = 120) -> str:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(rich_table(grid))
    return text.getvalue()


def test_classifier_and_editor_name_a_study(three: Across) -> None:
    assert [side.label for side in three.sides] == [
        "ViT-B-16-quickgelu (openai) × sdxl-inpainting",
        "ViT-B-16-SigLIP2 × sdxl-inpainting",
        "ViT-B-16-quickgelu (openai) × FLUX.2-klein",
    ]
    probe = {"kind": "probe", "model": "facebook/dinov3", "pretrained": None}
    probes = [study("probe", clip={**probe, "frozen": frozen}) for frozen in (False, True)]
    assert [side.classifier for side in side_by_side(probes, one_each=True).sides] == [
        "probe on dinov3", "probe on dinov3, frozen",
    ]  # fmt: skip
    paste = study("paste", edit={"method": "paste", "inpaint": {"checkpoint": "a/b"}})
    told_in_words = study("words", edit={"method": "instruct", "inpaint": {"checkpoint": "a/b"}})
    assert [side.editor for side in side_by_side([paste, told_in_words], one_each=True).sides] == [
        "paste", "b (instruct)",
    ]  # fmt: skip


def test_the_bound_of_all_is_the_largest_of_the_studies(three: Across) -> None:
    assert three.bound == 11.7  # of 4.2, 11.7 and 4.2
    assert lines(three)[0] == (
        "Does feasibility matter? By less than 11.7 points in all 42 comparisons of all 3 studies (95 %)."
    )
    one_seed = side_by_side([study("a"), siglip(found=without_zero_shot(None))], one_each=True)
    assert one_seed.bound is None and "Nothing is bounded in all 30 comparisons" in lines(one_seed)[0]
    assert lines(one_seed)[0].endswith("one seed alone says nothing of others (siglip).")
    small = side_by_side([study("a"), siglip(found=without_zero_shot(100.0))], one_each=True)
    assert "these studies are too small" in lines(small)[0]


def test_verdicts_are_corrected_for_the_number_of_studies_too(three: Across) -> None:
    different, equivalent = (three.sides[0].pairs[key, "synthetic"] for key in ("background", "color"))
    assert three.holds(different)  # 3 · 0.012 = 0.036
    assert not three.holds(equivalent)  # 3 · 0.03 = 0.09
    assert not three.holds(three.sides[0].pairs["color", "real+synthetic"])
    assert lines(three)[1] == (
        "Feasible − infeasible: 3 different, 3 equivalent, 6 undecided (margin ±0.3). Verdicts are each study's own, "
        "corrected within it (Holm); corrected for 3 studies too (Bonferroni), 3 of the 6 found hold."
    )
    four = side_by_side([study("a"), siglip(), flux(), siglip("b"), siglip("c")], one_each=False)
    assert not four.holds(different)  # 5 · 0.012 = 0.06
    # 0.05 / 2 stands in verdicts.json for up to 0.02505, which does not hold for two
    at_the_edge = pair(2.5, 1, "different", p_difference=0.025)["feasible_minus_infeasible"]
    assert not side_by_side([study("a"), siglip()], one_each=True).holds(at_the_edge)


def test_other_data_other_photos_another_margin_and_another_question_are_set_apart() -> None:
    question = told(questions={"gain": {"bound": 1.0, "comparisons": 2}})
    across = side_by_side(
        [
            study("workspace"),
            siglip("cars", dataset={"name": "stanford_cars"}),
            study("fewer", photos="others", train={"max_steps": 9}),
            siglip("wide", told(margin=1.0)),
            siglip("mixed-only", question),
            flux(),
        ],
        one_each=True,
        apart={"broken": "unreadable"},
    )
    assert [side.study.name for side in across.sides] == ["workspace", "flux"]
    assert across.apart == {
        "broken": "unreadable",
        "cars": "of another data set, stanford_cars",
        "fewer": "of other photos (data/prepared/manifest.parquet in its dvc.lock)",
        "wide": "judged by another margin, ±1 (report.margin)",
        "mixed-only": "without a comparison of feasible with infeasible (grid.conditions)",
    }
    assert "Set apart: wide, judged by another margin, ±1 (report.margin)." in lines(across)


def test_of_several_studies_of_one_pair_the_nearest_to_the_first_is_shown() -> None:
    far = siglip("far", train={"max_steps": 9}, seed=1)
    near = siglip("near", report={"examples": 3}, train={"max_steps": 9})
    again = study("ratio-0p25", mix={"ratio": 0.25})
    across = side_by_side([study("workspace"), far, near, again], one_each=True)
    assert [side.study.name for side in across.sides] == ["workspace", "near"]
    assert across.left == {"ratio-0p25": "workspace", "far": "near"}
    said = lines(across)
    assert "near differs from the first study also in train.max_steps 60 → 9." in said
    assert "Left out, of the classifier and editor of near: far; name them to see them." in said


def test_named_studies_are_all_shown_and_told_apart_by_name() -> None:
    across = side_by_side([study("a"), study("b", train={"max_steps": 9})], one_each=False)
    assert [side.editor for side in across.sides] == ["sdxl-inpainting (a)", "sdxl-inpainting (b)"]


def test_settings_of_another_editor_are_not_listed_and_those_of_the_same_are() -> None:
    more = {**SETTINGS["edit"], "edits_per_photo": 1}
    across = side_by_side([study("a"), siglip("b", edit=more), flux("c")], one_each=True)
    assert [list(side.beside) for side in across.sides] == [[], ["edit.edits_per_photo"], []]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([], r"^1 study to show; two are the least: run another"),
        ([study("again")], r"\(again has the classifier and editor of workspace\)"),
        ([siglip("wide", told(margin=1.0))], r"\(wide is set apart: judged by another margin, ±1"),
    ],
)
def test_fewer_than_two_studies_are_one_line(others: list, said: str) -> None:
    with pytest.raises(UserError, match=said):
        side_by_side([study("workspace"), *others], one_each=True)


@pytest.mark.parametrize("spoilt", [{"comparisons": 3}, {"questions": {"feasibility": {}}}, {"top1": None}])
def test_verdicts_of_another_shape_are_one_line(spoilt: dict) -> None:
    with pytest.raises(UserError, match="x has verdicts of another version"):
        side_by_side([study("a"), siglip("x", told(**spoilt))], one_each=True)


def test_the_tables_fit_120_columns_with_every_figure(three: Across) -> None:
    long = {"edit": {"method": "diffusion", "inpaint": {"checkpoint": "stable-diffusion-xl-1.0-inpainting-0.1"}}}
    wide = side_by_side([*(s.study for s in three.sides), study("a-rather-long-name-of-mine", **long)], one_each=True)
    first, second = shown(studies_grid(wide)), shown(differences_grid(wide))
    assert "…" not in first + second
    assert {line[-1] for line in (first + second).splitlines()[1:] if line[0] in "│┃"} == {"│", "┃"}  # nothing is cut
    line = next(line for line in first.splitlines() if "siglip" in line)
    cells = [cell.strip() for cell in line.split("│")[1:-1]]
    assert cells[:1] + cells[2:5] + cells[6:] == ["siglip", "3", "11.7", "18", "61.0", "–"]
    assert "none made" in first and "38.7" in first
    assert second.count("+2.5 (+1.5 to +3.5) different") == 4


def test_controls_that_see_nowhere_and_everywhere_are_told() -> None:
    blind = told(controls=controls(synthetic=False, real_synthetic=False))
    seeing = told(controls=controls(synthetic=True, real_synthetic=True))
    across = side_by_side([study("a", blind), siglip("b", seeing)], one_each=True)
    assert [line.cells[5] for line in studies_grid(across).lines] == ["not shown to see", "shown to see"]
    assert any(
        line == "Not shown to be able to see: ViT-B-16-quickgelu (openai) × sdxl-inpainting (with real photos, alone)."
        for line in lines(across)
    )


def test_the_picture_shows_every_outcome(three: Across) -> None:
    with Image.open(io.BytesIO(across_figure(three))) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(0xC4, 0x47, 0x1D), (0x1A, 0x7F, 0x37), (0x6E, 0x77, 0x81)} <= colours  # different, equivalent, undecided


def test_the_page_holds_picture_and_tables_and_escapes_names(three: Across) -> None:
    across = side_by_side([study("<b>a"), siglip("b")], one_each=False)
    page = across_page(across, b"picture")
    assert "data:image/png;base64,cGljdHVyZQ==" in page
    assert "&lt;b&gt;a" in page and "<b>a" not in page
    assert page.count("<table") == 2 and "+2.5 (+1.5 to +3.5) different" in page


def test_json_has_every_figure_and_which_verdicts_hold(three: Across) -> None:
    found = as_json(three)
    assert (found["bound"], found["margin"], found["dataset"]) == (11.7, 0.3, "oxford_pets")
    second = found["studies"][1]
    assert second["top1"] == {"real": 61.0, "zero-shot": None} and second["bound"] == 11.7
    background = second["feasible_minus_infeasible"]["background"]["synthetic"]
    assert (background["points"], background["holds_for_all_studies"]) == (2.5, True)


def test_verdicts_as_report_writes_them_are_understood() -> None:
    written = json.loads((REPOSITORY / paths.VERDICTS).read_text())
    across = side_by_side([study("a", written), siglip("b", written)], one_each=True)
    assert across.bound == written["questions"]["feasibility"]["bound"]
    assert len(across.sides[0].pairs) == 6 and across.sides[0].top1("zero-shot") is not None
    assert across.sides[0].pairs["color", "synthetic"]["seeds"] == 3
