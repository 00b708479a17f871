"""Minimal edits of photos: one attribute at a time, every other pixel as it was."""

from __future__ import annotations

from varireal.editing.editors import DiffusionEditor, Editor, InstructEditor, PasteEditor

EDITORS: dict[str, type[Editor]] = {"diffusion": DiffusionEditor, "instruct": InstructEditor, "paste": PasteEditor}

__all__ = ["EDITORS", "Editor"]
