"""Draws the training losses of all demo models; ``python -m varireal_pretraining.curves``."""

from __future__ import annotations

from pathlib import Path

import click

from varireal.base.files import read_json
from varireal.errors import UserError


@click.command()
@click.option("--metrics", type=click.Path(path_type=Path), default=Path("models/demo/metrics"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("models/demo/curves.png"), show_default=True)
def main(metrics: Path, out: Path) -> None:
    """Draw the loss over the training minutes of every file of figures that holds a history."""
    from matplotlib.figure import Figure

    records = {path.stem: read_json(path) for path in sorted(metrics.glob("*.json"))}
    histories = {name: record["history"] for name, record in records.items() if record.get("history")}
    if not histories:
        raise UserError(f"no file in {metrics} holds a training history; train a demo model first")
    figure = Figure(figsize=(3.2 * len(histories), 2.6), layout="constrained")
    row_of_axes = figure.subplots(1, len(histories), squeeze=False)[0]
    for axes, (name, history) in zip(row_of_axes, histories.items(), strict=True):
        axes.plot([row["minutes"] for row in history], [row["loss"] for row in history], marker=".")
        axes.set(title=name, xlabel="minutes", ylabel="loss")
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main()
