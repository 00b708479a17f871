"""Minimal edits of photos: one attribute at a time, every other pixel as it was."""

from __future__ import annotations

from varireal.editing.editors import DiffusionEditor, Editor, PasteEditor

EDITORS: dict[str, type[Editor]] = {"diffusion": DiffusionEditor, "paste": PasteEditor}

__all__ = ["EDITORS", "Editor"]
