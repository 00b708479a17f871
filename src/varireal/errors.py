"""The one error class of the project that a user is meant to read."""


class UserError(Exception):
    """Something the user can mend; its message is one line that says what, where, what is allowed and how."""
