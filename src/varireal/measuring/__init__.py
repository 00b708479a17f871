"""Measures of the edited data: how minimal an edit is, and how an edited set lies to a real one."""
