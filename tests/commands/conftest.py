"""The stages' working folder, for the commands around them; an empty store of MLflow."""

from tests.stages.conftest import change_params, clip_workspace, workspace, workspace_to_copy
from tests.tracking.conftest import empty_store

__all__ = ["change_params", "clip_workspace", "empty_store", "workspace", "workspace_to_copy"]
