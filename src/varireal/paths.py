"""Where each stage reads and writes, relative to the repository: the one place that knows the paths of dvc.yaml."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
CONF = Path("conf")  # what params.yaml is composed from
PIPELINE = Path("dvc.yaml")

PREPARED = Path("data/prepared")  # photos/, masks/ (if the data set has them), pictures/, manifest, info
PHOTOS_MANIFEST = PREPARED / "manifest.parquet"
DATASET_INFO = PREPARED / "dataset.json"  # name, domain word, class names in order
PICTURES = PREPARED / "pictures"  # background/<name>/*.png and texture/<name>/*.png, where the data set renders them

PROMPTS = Path("data/prompts/prompts.json")

SEGMENTED = Path("data/segmented")  # masks/ and a manifest of the photos with mask_path and status
MASKS_MANIFEST = SEGMENTED / "manifest.parquet"

MIXES = Path("data/mixes")
PREDICTIONS = Path("data/predictions/predictions.parquet")

METRICS = Path("metrics")
STUDY = METRICS / "study.yaml"  # the only metrics that DVC is told of: what fits a screen
MEASURED = METRICS / "measure.json"  # what `measure` found of every cell's edits
SWEEP = METRICS / "sweep.json"  # what `varireal sweep` found, {} before the first
RATINGS = METRICS / "ratings.json"  # what `varireal ratings` found, {} before the first
SETTLED = METRICS / "settle.json"  # what `varireal settle` found; not there before its first look
SWEEP_FIGURE = METRICS / "plots" / "sweep.png"
VERDICTS = METRICS / "verdicts.json"
REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
SUMMARY = REPORTS / "summary.md"
TABLES = REPORTS / "tables.txt"  # every table that the terminal shows when asked for all
PROVENANCE = REPORTS / "provenance.json"
ADAPTERS = Path("models/adapters")
PREVIEW = Path("preview")  # no output of a stage: the page of `varireal preview`, and its figures
ACROSS = Path("across")  # no output of a stage: page, picture and figures of `varireal across`


def edit_folder(attribute: str, feasibility: str) -> Path:
    """Return the folder of one cell of edits: ``images/``, ``priors/`` and ``manifest.parquet``."""
    return Path("data/edits") / attribute / feasibility


def mixes_folder(attribute: str) -> Path:
    """Return the folder of one attribute's training sets: a folder for each condition and control."""
    return MIXES / attribute


def mix_folder(attribute: str, condition: str) -> Path:
    """Return the folder of one synthetic training set: ``manifest.parquet``."""
    return mixes_folder(attribute) / condition


def mixes_figures(attribute: str, metrics: Path = METRICS) -> Path:
    """Return the file that describes one attribute's training sets, by condition and control."""
    return metrics / "mix" / f"{attribute}.json"


def adapter_folder(attribute: str, condition: str) -> Path:
    """Return the folder of one cell's adapters: ``<source>/seed-<n>/`` below it."""
    return ADAPTERS / f"{attribute}_{condition}"


REAL_ADAPTERS = ADAPTERS / "real"  # the real-only baseline: ``seed-<n>/`` below it
