"""Attribute lists from a language model: proposed, checked, judged a second time, with every raw answer kept."""

from __future__ import annotations
