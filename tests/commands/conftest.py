"""The stages' working folder, for the commands around them."""

from tests.stages.conftest import change_params, clip_workspace, workspace, workspace_to_copy

__all__ = ["change_params", "clip_workspace", "workspace", "workspace_to_copy"]
