"""The code that runs is the working folder's own: a checkout never runs another one's under its own name.

An editable installation leads to one checkout, whichever folder a command is called in; but DVC hashes the code of the
working folder: that of a git worktree, of a copied project, or of an experiment in the queue.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import varireal
from varireal import paths
from varireal.errors import UserError

SOURCES = Path("src")
ASKED = "VARIREAL_SOURCES"  # environment: the folder that this process was started anew for


def own_sources() -> str | None:
    """Return the absolute folder of the working folder's own code, or None where that is no checkout."""
    package = SOURCES / "varireal" / "__init__.py"
    return str(SOURCES.resolve()) if paths.PIPELINE.is_file() and package.is_file() else None


def _runs(sources: str) -> bool:
    return Path(sources, "varireal", "__init__.py").samefile(varireal.__file__)


def run_own_code() -> None:
    """Start this process anew with the working folder's own ``src`` first, if another one's code runs.

    Worker processes inherit ``PYTHONPATH``, and so the code. Outside of a checkout nothing is done.

    Raises:
        UserError: the other code runs all the same, as under ``python -E``.
    """
    if (own := own_sources()) is None or _runs(own):
        return
    if os.environ.get(ASKED) == own or os.name != "posix":
        raise UserError(
            f"this folder has its own code in {own}, but {Path(varireal.__file__).parent} would run, so that results "
            f"of the one were recorded under the other's name; set PYTHONPATH={own} and run the same command again"
        )
    search = [own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search), ASKED: own}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # same process, to DVC as to signals
