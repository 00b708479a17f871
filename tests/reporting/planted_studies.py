"""Studies whose verdicts are made up, in the shape that `report` writes them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from varireal.reporting.studies import Study, parse_study

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "dataset": {"name": "oxford_pets"},
    "clip": {"sentence": "a photo of {an object}", "model": "ViT-B-16-quickgelu", "pretrained": "openai"},
    "edit": {"method": "diffusion", "inpaint": {"checkpoint": "diffusers/sdxl-inpainting"}, "edits_per_photo": 5},
    "train": {"max_steps": 60},
    "tracking": {"experiment": None},
}


def pair(
    points: float, half: float, outcome: str = "undecided", p_difference: float = 1.0, p_equivalence: float = 1.0
) -> dict[str, Any]:
    """Return feasible minus infeasible with an interval of so many points to both sides."""
    return {
        "feasible_minus_infeasible": {
            "outcome": outcome, "points": points, "low": points - half, "high": points + half, "seeds": 3,
            "photos": 400, "p_difference_holm": p_difference, "p_equivalence_holm": p_equivalence,
        }
    }  # fmt: skip


def controls(**able: bool) -> dict[str, Any]:
    """Return what controls on the background show, by training source."""
    cells = {"background": {name.replace("_", "+"): {"able": seen} for name, seen in able.items()}}
    return {"answer": "", "able": all(able.values()), "cells": cells}


def told(**changes: Any) -> dict[str, Any]:
    """Return the verdicts of a study: background and color, trained alone and with the real photos."""
    return {
        "margin": 0.3,
        "alpha": 0.05,
        "questions": {"feasibility": {"bound": 4.2, "comparisons": 12}},
        "comparisons": {
            "feasibility": {
                "background": {
                    "synthetic": pair(2.5, 1.0, "different", p_difference=0.012),
                    "real+synthetic": pair(-0.4, 2.0),
                },
                "color": {
                    "synthetic": pair(0.05, 0.2, "equivalent", p_equivalence=0.03),
                    "real+synthetic": pair(-1.25, 10.0),
                },
            }
        },
        "top1": {"real": {"mean": 54.6, "low": 50, "high": 60}, "zero-shot": {"mean": 38.7, "low": 30, "high": 50}},
        **changes,
    }


def lock_of(verdicts: bytes, settings: dict[str, Any], photos: str = "the photos") -> bytes:
    """Return the dvc.lock of a run that wrote these verdicts with these settings."""
    written = hashlib.md5(verdicts, usedforsecurity=False).hexdigest()
    report = {
        "params": {"params.yaml": settings},
        "deps": [{"path": "data/prepared/manifest.parquet", "md5": photos}, {"path": "data/edits"}],
        "outs": [{"path": "metrics/verdicts.json", "md5": written}],
    }
    return yaml.safe_dump({"schema": "2.0", "stages": {"report": report}}).encode()


def study(
    name: str, found: dict[str, Any] | None = None, photos: str = "the photos", **settings: dict[str, Any]
) -> Study:
    """Return a study, with sections of its settings replaced."""
    verdicts = json.dumps(told() if found is None else found).encode()
    return parse_study(name, verdicts, lock_of(verdicts, {**SETTINGS, **settings}, photos))


def siglip(name: str = "siglip", found: dict[str, Any] | None = None, **settings: dict[str, Any]) -> Study:
    """Return a study of another classifier, on the same edits."""
    clip = {"clip": {**SETTINGS["clip"], "model": "hf-hub:timm/ViT-B-16-SigLIP2", "pretrained": None}}
    return study(name, found, **{**clip, **settings})


def flux(name: str = "flux", found: dict[str, Any] | None = None, **settings: dict[str, Any]) -> Study:
    """Return a study of another editor with the first one's classifier."""
    edit = {"edit": {"method": "diffusion", "inpaint": {"checkpoint": "black-forest-labs/FLUX.2-klein"}}}
    return study(name, found, **{**edit, **settings})
