"""Edits that a preview made ahead of their cell: a record of which they are, kept beside the finished work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from varireal.base.files import read_json, write_json
from varireal.base.manifest import Attribute, Feasibility
from varireal.store import content_key, work_root

FOLDER = "preview"  # below .work


class AheadEdits:
    """Records the edits of one cell and editor that previews made, in the groups that were made together.

    The filter is not in the key: what is judged anew need not be painted anew.
    """

    def __init__(
        self, editor: Mapping[str, object], attribute: Attribute, feasibility: Feasibility, run_seed: int
    ) -> None:
        """Take the editor's identity, and the cell with the seed of its run."""
        cell = {"attribute": attribute, "feasibility": feasibility, "seed": run_seed}
        key = content_key({"editor": dict(editor), **cell})
        self._path = work_root() / FOLDER / key[:2] / f"{key}.json"

    def groups(self) -> list[list[str]]:
        """Return the names of the edits, group by group, the oldest group first."""
        return read_json(self._path)["groups"] if self._path.is_file() else []

    def add(self, names: Iterable[str]) -> None:
        """Record a group before it is made; edits of earlier groups stay in those."""
        groups = self.groups()
        known = {name for group in groups for name in group}
        if fresh := [name for name in names if name not in known]:
            write_json(self._path, {"groups": [*groups, fresh]})
