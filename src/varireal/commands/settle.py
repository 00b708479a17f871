"""`varireal settle`: more seeds until the question is decided. No stage: it runs experiments and reads them."""

from __future__ import annotations

import click

from varireal import paths
from varireal.reporting.settling import end_line, settled_grid
from varireal.settling.plan import plan_looks
from varireal.settling.settle import Budget, settle
from varireal.tables import results_console, rich_table


@click.command()
@click.option(
    "--max-seeds",
    type=click.IntRange(min=2),
    help="Take no look with more seeds.  [default: the last of settle.looks]",
)
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Begin no look that would end later than so many hours from now.  [default: as long as it takes]",
)
@click.option(
    "-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUE",
    help="Change a setting of conf/ for all looks, as in `dvc exp run -S`; may be repeated.",
)  # fmt: skip
def command(max_seeds: int | None, max_hours: float | None, settings: tuple[str, ...]) -> None:
    """Add seeds, look by look, until every comparison of feasible, infeasible and mixed images is decided.

    Looks are planned by settle.looks of conf/, and the 5 % of false claims are spent over them, so that looking often
    claims no more than looking once. Each look is an experiment of DVC with more seeds: edits, mixes and finished
    fine-tunings stay. After each it says what is decided, what the next costs and what that would bring. The results go
    to metrics/settle.json.

    The command may be stopped and given again: it goes on where it was.
    """
    looks = plan_looks(settings, paths.CONF)
    console = results_console()
    settled = settle(
        looks,
        Budget(looks[-1].seeds if max_seeds is None else max_seeds, max_hours),
        tell=lambda line: click.echo(line, err=True),
        show=lambda line: console.print(line, highlight=False, markup=False),
    )
    console.print(rich_table(settled_grid(settled)))
    console.print(f"{end_line(settled)}. Figures: {paths.SETTLED}", highlight=False, markup=False)
