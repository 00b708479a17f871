"""`varireal clean-work`: what lies in .work that no output needs any more, and to free it. No stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from varireal.cli import stage_options
from varireal.doctor.cleaning import StoredItems, look_through_work, remove_item
from varireal.store import work_root

if TYPE_CHECKING:
    from varireal.config import Params


@click.command("clean-work")
@stage_options
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Spare what is younger than so many days: another run may be using it.",
)
@click.option("--yes", "do_it", is_flag=True, help="Free it; without this nothing is removed.")
def command(params: Params, days: float, do_it: bool) -> None:
    """Show what finished work in .work is not needed any more, and free it with --yes.

    Needed is what the stages would look up with params.yaml and the data as they are now, so that they make nothing
    anew. Work of other experiments is not: their outputs stay in DVC's cache, but whoever continues them makes
    it again. Answers of language models and masks are always kept. Leftovers of killed runs go too.
    """
    stores = look_through_work(params, days)
    click.echo(f"{f'in {work_root()}':<28}{'kept':>20}{'not needed':>22}")
    for store in stores:
        line = f"{store.name:<28}{_counted(store.kept):>20}{_counted(store.free):>22}  {store.note}"
        click.echo(line.rstrip())
    items = [path for store in stores for path in store.free.paths]
    size = _readable(sum(store.free.size for store in stores))
    if not items:
        click.echo("Nothing is to be freed.")
    elif do_it:
        for path in items:
            remove_item(path)
        click.echo(f"Freed {size}.")
    else:
        click.echo(f"{size} can be freed: run the same command with --yes.")


def _counted(items: StoredItems) -> str:
    return f"{len(items.paths):,} / {_readable(items.size)}" if items.paths else "-"


def _readable(size: int) -> str:
    amount, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
