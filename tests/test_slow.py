"""The list of slow tests names tests that exist."""

from __future__ import annotations

from tests.conftest import REPOSITORY, SLOW


def test_every_name_in_the_list_is_that_of_a_test() -> None:
    for name in SLOW:
        path, function = name.split("::")
        assert f"def {function}(" in (REPOSITORY / path).read_text(encoding="utf-8"), name
