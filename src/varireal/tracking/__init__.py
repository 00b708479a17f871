"""MLflow: one run for every cell of the grid, grouped under one parent; a run with the curves of a sweep,
and one with studies side by side.

The only part that knows MLflow.
"""

from varireal.tracking.log import log_across, log_results, log_sweep
from varireal.tracking.store import TrackingError

__all__ = ["TrackingError", "log_across", "log_results", "log_sweep"]
