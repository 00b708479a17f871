"""The report stage on a finished study."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from varireal.errors import UserError
from varireal.stages.report import command


class Page(HTMLParser):
    """What a browser would see: images, and everything that would make it ask another host or run code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.outside: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        self.outside += [
            v for k in ("src", "href", "srcset") if (v := values.get(k)) and not v.startswith(("data:", "#"))
        ]


@pytest.fixture
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that nobody answers for: port 9 of this machine."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


def run(*options: str) -> str:
    result = CliRunner().invoke(command, options, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_writes_results_first_and_warns_once_where_mlflow_is_away(
    finished_study: Path, without_mlflow: None, caplog: pytest.LogCaptureFixture
) -> None:
    output = run("--full")
    assert "feasible is better than infeasible: color, synthetic (+3.0);" in " ".join(output.split())
    assert "spread of" not in output  # verdicts speak of intervals, and nothing is said twice
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("varireal")]
    assert len(warnings) == 1 and warnings[0].startswith("MLflow was not used (")
    assert "\n" not in warnings[0]

    table = json.loads((finished_study / "metrics/table.json").read_text())
    assert table["zero_shot"]["top1_mean"] == 30.0
    assert table["real"] == {
        "seeds": 2, "top1_mean": 61.0, "top1_std": 1.4142, "top5_mean": 99.0, "val_top1_mean": 50.5,
        "minus_real": None, "minus_real_std": None, "minus_zero_shot": 31.0,
    }  # fmt: skip
    assert table["cells"]["texture"]["infeasible"]["real+synthetic"]["minus_real"] == 7.0
    verdicts = json.loads((finished_study / "metrics/verdicts.json").read_text())
    pair = verdicts["comparisons"]["feasibility"]["color"]["synthetic"]["feasible_minus_infeasible"]
    assert (verdicts["margin"], pair["points"], pair["outcome"]) == (0.3, 3.0, "different")
    assert "│ texture │ infeasible │ 5 │ yes │ 0.50 │ 12.0 │ – │ – │ 30.0 │ +10.0 │ 2.000 │" in " ".join(output.split())
    assert "Does feasibility matter? By less than 4.1 points in all 12 comparisons" in " ".join(output.split())
    rows = list(csv.DictReader((finished_study / "metrics/table.csv").open()))
    assert len(rows) == 2 + 2 * 3 * 2
    assert rows[0]["cell"] == "zero-shot" and rows[0]["top1_std"] == ""
    curves = list(csv.DictReader((finished_study / "metrics/plots/curves.csv").open()))
    assert curves[1] == {"step": "5", "real": "45.5000", "synthetic": "45.5000", "real+synthetic": "45.5000"}


def test_the_terminal_ends_with_at_most_fifteen_lines_and_the_tables_lie_in_a_file(
    finished_study: Path, without_mlflow: None
) -> None:
    params = yaml.safe_load((finished_study / "params.yaml").read_text())
    lines = run().splitlines()
    assert 8 <= len(lines) <= 15 - (3 - len(params["grid"]["attributes"]))  # a third attribute has a line too
    chance, feasibility, *_ = lines
    assert chance.startswith("At chance level (50.0 % for 2 classes): zero-shot (30.0 %), 6 of 12 trained on edits.")
    assert f"<b>{chance.partition(':')[0]}" in (finished_study / "reports/index.html").read_text()  # before the answers
    assert feasibility.startswith(
        "Does feasibility matter? By less than 4.1 points in all 12 comparisons (95 %): 8 diff"
    )
    for name in params["grid"]["attributes"]:
        (line,) = [line for line in lines if line.startswith(f"  {name}: less than 4.1 points; feasible − infeasible")]
        assert line.endswith(": different")
    assert sum(line.startswith("  baselines: real only − zero-shot +31.0") for line in lines) == 1
    assert not any("│" in line for line in lines)
    assert "Tables: varireal report --full, or reports/tables.txt. Page with pictures: reports/index.html" in lines
    tables = (finished_study / "reports/tables.txt").read_text()
    assert tables.splitlines()[1] == feasibility and "│" in tables and "\x1b" not in tables
    assert "mixed is better than infeasible: color, synthetic (+3.0)" in tables
    full = run("--full")
    assert [line for line in tables.splitlines() if "│" in line] == [
        line.rstrip() for line in full.splitlines() if "│" in line
    ]
    assert full.splitlines()[-1] == "Tables: reports/tables.txt. Page with pictures: reports/index.html"
    assert (finished_study / "reports/tables.txt").read_text() == tables


def test_page_is_one_file_with_escaped_text_and_described_pictures(finished_study: Path, without_mlflow: None) -> None:
    run()
    text = (finished_study / "reports/index.html").read_text()
    page = Page(text)
    assert page.outside == []
    assert text.count("<script>") == 1 and page.tags.isdisjoint({"iframe", "b>jet"})
    assert "&lt;b&gt;jet&lt;/b&gt;" in text and "&lt;script&gt;" in text and "lava &amp; ash" in text
    # 2 attributes x 2 feasibilities x (2 accepted and 1 exhausted) x photo, mask, prior, edit
    assert len(page.images) == 2 * 2 * 3 * 4
    assert all(image["alt"] and (image["src"] or "").startswith("data:image/") for image in page.images)
    assert "infeasible color lava" in " ".join(str(image["alt"]) for image in page.images)
    places = [text.index(f"{heading}</h2>") for heading in (
        "The verdict", "The comparisons", "Top-1 on the test photos", "Training curves", "Classes that gain and lose",
        "The edits", "The data, measured", "Masks, filter and training sets", "How it was made",
    )]  # fmt: skip
    assert places == sorted(places)
    assert text.count("different: feasible is 3.0 points better than infeasible</td>") == 4
    first = text.index("By less than 4.1 points in all 12 comparisons (95 %): 8 different, 4 undecided (margin ±0.3).")
    lines = [text.index(f"<li>{name}: less than 4.1 points; feasible − infeasible") for name in ("color", "texture")]
    assert text.index("The verdict</h2>") < first < lines[0] < lines[1] < text.index("<table")


def test_lists_cells_from_the_grid_and_not_from_what_lies_there(finished_study: Path, without_mlflow: None) -> None:
    params = yaml.safe_load((finished_study / "params.yaml").read_text())
    params["grid"]["attributes"] = ["color"]
    (finished_study / "params.yaml").write_text(yaml.safe_dump(params))
    run()
    assert list(json.loads((finished_study / "metrics/table.json").read_text())["cells"]) == ["color"]


def test_metrics_of_cells_outside_the_grid_go_and_no_other_file_does(
    finished_study: Path, without_mlflow: None
) -> None:
    def files() -> set[str]:
        folder = finished_study / "metrics"
        return {path.relative_to(folder).as_posix() for name in ("edit", "mix", "train") for path in
                (folder / name).iterdir()}  # fmt: skip

    (finished_study / "metrics/train/notes.json").write_text("{}")  # somebody's own
    assert "Removed" not in run()
    assert len(files()) == 2 * 2 + 2 + 2 * 3 + 2
    params = yaml.safe_load((finished_study / "params.yaml").read_text())
    params["grid"] |= {"attributes": ["color"], "conditions": ["feasible", "infeasible"]}
    (finished_study / "params.yaml").write_text(yaml.safe_dump(params))
    assert "Removed 7 files of metrics of cells outside the grid" in run()
    pure = {f"{name}/color_{each}.json" for name in ("edit", "train") for each in ("feasible", "infeasible")}
    assert files() == pure | {"mix/color.json", "train/real.json", "train/notes.json"}


def test_names_the_cell_that_has_no_result_and_writes_nothing(finished_study: Path, without_mlflow: None) -> None:
    path = finished_study / "metrics/evaluate.json"
    tested = json.loads(path.read_text())
    tested["cells"] = [c for c in tested["cells"] if (c["attribute"], c["seed"]) != ("texture", 1)]
    path.write_text(json.dumps(tested))
    with pytest.raises(UserError, match=r"evaluate\.json holds no result of texture feasible synthetic, seed 1"):
        CliRunner().invoke(command, [], catch_exceptions=False)
    assert not (finished_study / "reports").exists() and not (finished_study / "metrics/table.json").exists()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from varireal.stages.report import command; command(['--help'], standalone_mode=False); "
        "print([m for m in ('torch', 'mlflow', 'pandas', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("passed", "words"), [(True, "Zero-shot check passed"), (False, "Do not trust these figures")])
def test_the_page_says_how_a_known_zero_shot_accuracy_was_met(finished_study, without_mlflow, passed, words):
    path = finished_study / "metrics/evaluate.json"
    tested = json.loads(path.read_text())
    tested["zero_shot"]["anchor"] = {"expected": 88.86, "found": 87.31, "tolerance": 2.0, "passed": passed}
    path.write_text(json.dumps(tested))
    run()
    text = (finished_study / "reports/index.html").read_text()
    assert words in text and "87.3 %" in text and "88.9 %" in text
