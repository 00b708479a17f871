"""Finishes the fine-tunings of a stage: spread over workers, or one after the other by a team."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from varireal.compute.devices import resolve_device
from varireal.compute.missing import finish, missing_pieces
from varireal.compute.processes import is_first, launched_processes, run_as_team, warm_up, worker_plan
from varireal.compute.progress import progress
from varireal.store import FolderStore
from varireal.training.plan import FineTuning, TrainingSet
from varireal.training.worker import NETWORK_MODULES, FineTuningWorker, fine_tune_in_team


def finish_fine_tunings(training_set: TrainingSet, plan: Sequence[FineTuning], store: FolderStore, name: str) -> None:
    """Do what is not kept from an earlier run; with ``compute.processes`` or a launcher's processes as a team.

    Raises:
        UserError: CLIP or an image cannot be loaded, the disk is full, or a fine-tuning cannot be done.
        Interrupted: a signal asked to end; finished fine-tunings and checkpoints are kept.
    """
    missing = missing_pieces(plan, store, f"{name}: %d of %d fine-tunings to do")
    compute, description = training_set.compute, f"train {name}"
    steps = sum(item.units for item in missing)
    if launched_processes() > 1:  # by accelerate or torchrun: all meet there, though nothing be missing
        with progress(description, steps) if is_first() else contextlib.nullcontext(int) as advance:
            fine_tune_in_team(training_set, missing, store, compute.num_threads, report=advance)
    elif missing and compute.processes > 1:
        on_cpu = resolve_device(compute).type == "cpu"
        if on_cpu:
            warm_up(*NETWORK_MODULES)
        _, threads = worker_plan(on_cpu, compute.num_threads, len(missing))
        arguments = (training_set, missing, store, threads)
        with progress(description, steps) as advance:
            work = "varireal.training.worker:fine_tune_in_team"
            run_as_team(work, compute.processes, arguments, advance, fork=on_cpu)
    else:
        finish(
            missing,
            store,
            lambda compute: FineTuningWorker(dataclasses.replace(training_set, compute=compute), missing, store),
            compute,
            NETWORK_MODULES,
            description,
        )
