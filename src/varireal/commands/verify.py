"""`varireal verify`: whether the results on disk are those of a commit. No stage: it reads results and writes none."""

from __future__ import annotations

import click

from varireal.errors import UserError


@click.command("verify")
@click.argument("rev", metavar="[REV]", default="HEAD")
def command(rev: str) -> None:
    """Say whether the results on disk reproduce those of the commit REV (HEAD unless named).

    Every figure of metrics/ must lie within its tolerance of the committed one, every verdict must be the same: then
    the exit code is 0, else 1. Files that differ are listed, with what dvc.lock says of why: other settings, code or
    inputs, or the machine alone. Nothing is written.
    """
    from varireal.reporting.words import counted
    from varireal.verifying.judgement import judge_states, told
    from varireal.verifying.revision import committed, present

    before = committed(rev)
    judgement = judge_states(before, present())
    compared = f"{judgement.figures:,} figures and {judgement.verdicts} verdicts in {judgement.files} files"
    click.echo(f"Compared with {before.name}: {compared}, {judgement.same} of them the same to the byte")
    for line in told(judgement):
        click.echo(line)
    if not judgement.agrees:
        verdicts = sum(each.is_verdict for _, each in judgement.outside)
        figures, alone = len(judgement.outside) - verdicts, len(judgement.lacking)
        raise UserError(
            f"these are other results than those of {before.name}: {counted(figures, 'figure')} outside of tolerance, "
            f"{counted(verdicts, 'other verdict')}, {counted(alone, 'file')} on one side only; the lines above say "
            "which and why"
        )
    click.echo(f"The results of {before.name} are reproduced: all figures within tolerance, all verdicts the same")
