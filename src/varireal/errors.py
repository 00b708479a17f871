"""The one error class of the project that a user is meant to read, and what to say of a package that is missing."""

from __future__ import annotations

import importlib.util


class UserError(Exception):
    """Something the user can mend; its message is one line that says what, where, what is allowed and how."""


def require_extra(extra: str, package: str, purpose: str) -> None:
    """Check that a package of one of the optional extras in pyproject.toml is installed.

    Raises:
        UserError: it is missing; the message says what needs it and how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"{purpose} needs the package {package}, which is not installed; run pip install 'varireal[{extra}]'"
        )
