"""What a worker of an engine does: make a batch of edits and judge it.

Its networks are loaded at the first call, so that it can be sent to another process before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from varireal.base.files import decode_png, encode_png

if TYPE_CHECKING:
    from varireal.editing.editors import Editor
    from varireal.editing.jobs import EditFilter, EditJob, Verdict

IMAGE, PRIOR = "image.png", "prior.png"


@dataclasses.dataclass(frozen=True)
class EditItem:
    """An attempt at a job."""

    job: EditJob
    seed: int
    kept: bytes | None  # the picture, if it was made before and only its verdict or a neighbour is missing


@dataclasses.dataclass(frozen=True)
class MadeEdit:
    """The files of an attempt, none of them if it was there before, and the filter's verdict."""

    files: dict[str, bytes]
    verdict: Verdict


class EditWorker:
    """Holds the editor and the filter."""

    def __init__(self, editor: Editor, edit_filter: EditFilter, keep_priors: bool) -> None:
        self._editor, self._filter, self._keep_priors = editor, edit_filter, keep_priors

    def __call__(self, items: Sequence[EditItem]) -> list[MadeEdit]:
        """Return every attempt; if one picture is missing, the batch is made anew, and pictures that exist stay.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, or the device's memory does not hold the batch.
        """
        jobs = [item.job for item in items]
        pictures = [None if item.kept is None else decode_png(item.kept) for item in items]
        files: list[dict[str, bytes]] = [{} for _ in items]
        if any(item.kept is None for item in items):
            drafts = self._editor.edit(jobs, [item.seed for item in items])
            for place, (item, draft) in enumerate(zip(items, drafts)):
                if item.kept is None:
                    pictures[place] = draft.picture
                    files[place] = {IMAGE: encode_png(draft.picture)}
                    if self._keep_priors:
                        files[place][PRIOR] = encode_png(draft.prior)
        verdicts = self._filter.check(pictures, jobs)
        return [MadeEdit(made, verdict) for made, verdict in zip(files, verdicts)]
