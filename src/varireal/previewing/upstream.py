"""The stages that a preview starts from, brought up to date by DVC: photos and prompts."""

from __future__ import annotations

import subprocess
import sys

from varireal import paths
from varireal.errors import UserError

STAGES = ("prepare", "prompt")


def bring_up_to_date() -> None:
    """Have DVC run the stages before masks, as far as they are out of date; what they say goes to standard error.

    Raises:
        UserError: there is no pipeline here, or a stage failed.
    """
    if not paths.PIPELINE.is_file():
        raise UserError(f"{paths.PIPELINE} is not here; run from the root of the repository")
    ended = subprocess.run([sys.executable, "-m", "dvc", "repro", *STAGES], stdout=sys.stderr, check=False)
    if ended.returncode:
        raise UserError(f"`dvc repro {' '.join(STAGES)}` failed; it says above why")
