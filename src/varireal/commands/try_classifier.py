"""The classifier's answer to a blank input, in a process of its own, before edits are made. Not for use by hand."""

from __future__ import annotations

import click

from varireal.config import ClipConfig
from varireal.training.classifiers import load_classifier


@click.command("try-classifier")
@click.argument("settings")
def command(settings: str) -> None:
    """Load the classifier with these settings, as JSON, on the CPU; it answers a blank input as it is loaded."""
    load_classifier(ClipConfig.model_validate_json(settings), classes=2)
