"""MLflow: one run for every cell of the grid, grouped under one parent; a run with the curves of a sweep.

The only part that knows MLflow.
"""

from varireal.tracking.log import log_results, log_sweep
from varireal.tracking.store import TrackingError

__all__ = ["TrackingError", "log_results", "log_sweep"]
