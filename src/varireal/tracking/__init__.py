"""MLflow: one run for every cell of the grid, grouped under one parent; a run with the curves of a sweep.

The only part that knows MLflow.
"""

from varireal.tracking.register import register_best
from varireal.tracking.store import TrackingError
from varireal.tracking.study import Study, log_study
from varireal.tracking.sweep import log_sweep

__all__ = ["Study", "TrackingError", "log_study", "log_sweep", "register_best"]
