"""`varireal evaluate`: open the test split, the only stage that does, and predict with every model of the grid."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options

if TYPE_CHECKING:
    import pyarrow as pa

    from varireal.config import Params
    from varireal.evaluation.anchors import Gate
    from varireal.evaluation.plan import EvaluationSet, Prediction
    from varireal.store.folders import WorkStore

logger = logging.getLogger(__name__)

CONFUSION_REAL = paths.METRICS / "plots" / "confusion.csv"
CONFUSION_ZERO_SHOT = paths.METRICS / "plots" / "confusion_zero_shot.csv"


@click.command()
@stage_options
def command(params: Params) -> None:
    """Predict the test photos with CLIP as it came, the real-only baselines and every cell of the grid.

    Predictions are kept per adapter, so that a changed cell is the only one predicted again.
    """
    import pyarrow as pa

    from varireal.base.files import atomic_write_bytes, read_json, write_json
    from varireal.evaluation.cells import cells, check_adapters
    from varireal.evaluation.plan import plan_predictions, read_test_split
    from varireal.evaluation.table import confusion_csv, figures, report, table_bytes, with_cell
    from varireal.store.folders import WorkStore

    info = read_json(paths.DATASET_INFO)
    classes = info["classes"]
    evaluated = cells(params.grid)
    check_adapters(evaluated)
    test = read_test_split(params, info)
    plan = plan_predictions(test, evaluated)
    store = WorkStore("evaluate")
    gate = _zero_shot_gate(params, test, classes, store)
    _predict_missing(test, plan, store)
    tables = [_read(store, item) for item in plan]
    results = [(cell, figures(table, classes)) for cell, table in zip(evaluated, tables)]
    everything = pa.concat_tables([with_cell(table, cell) for table, cell in zip(tables, evaluated)])
    atomic_write_bytes(paths.PREDICTIONS, table_bytes(everything))
    by_source = {
        source: [t for t, c in zip(tables, evaluated) if c.source == source] for source in ("real", "zero-shot")
    }
    atomic_write_bytes(CONFUSION_REAL, confusion_csv(by_source["real"], classes))
    atomic_write_bytes(CONFUSION_ZERO_SHOT, confusion_csv(by_source["zero-shot"], classes))
    found = report(results, len(test.photos))
    if gate is not None:
        found["zero_shot"]["anchor"] = gate.as_json()
    write_json(paths.METRICS / "evaluate.json", found)


def _zero_shot_gate(params: Params, test: EvaluationSet, classes: list[str], store: WorkStore) -> Gate | None:
    """Measure a known zero-shot accuracy again, before anything long; a miss is told now and on the page."""
    anchor = params.evaluate.anchor(params.clip.model, params.clip.pretrained, len(test.photos))
    if anchor is None:
        return None
    from varireal.evaluation.anchors import measure

    gate = measure(test, anchor, classes, store)
    if not gate.passed:
        logger.warning(
            "zero-shot CLIP reaches %.1f %% on the test split, but %s (%s) is known to reach %.1f %%: preprocessing "
            "or activation (QuickGELU) must be wrong, and so are all results; check clip.model and clip.pretrained",
            gate.found, params.clip.model, params.clip.pretrained, gate.expected,
        )  # fmt: skip
    return gate


def _predict_missing(test: EvaluationSet, plan: list[Prediction], store: WorkStore) -> None:
    """Predict what is not kept from an earlier run, in as many processes as the cores allow."""
    from varireal.compute.devices import resolve_device
    from varireal.compute.processes import run_side_by_side, warm_up, worker_plan
    from varireal.compute.progress import progress

    missing = list({item.key: item for item in plan if store.get(item.key) is None}.values())
    logger.info("%d of %d models to predict with", len(missing), len(plan))
    if not missing:
        return
    warm_up("varireal.evaluation.predict")
    workers, threads = worker_plan(resolve_device(test.compute).type == "cpu", test.compute.num_threads, len(missing))
    shares = [(test, missing[k::workers], store, threads) for k in range(workers)]
    with progress("evaluate", len(missing)) as advance:
        run_side_by_side("varireal.evaluation.predict:predict", shares, advance)


def _read(store: WorkStore, item: Prediction) -> pa.Table:
    import pyarrow.parquet as pq

    from varireal.evaluation.plan import PREDICTIONS

    folder = store.get(item.key)
    if folder is None:
        raise RuntimeError(f"the predictions of {item.adapter or 'zero-shot'} were not kept")
    return pq.read_table(folder / PREDICTIONS)
