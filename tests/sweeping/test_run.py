"""Experiments that went through the queue: one that failed ends the command with the end of its log."""

from __future__ import annotations

import pytest

from varireal.errors import UserError
from varireal.sweeping.queue import EndedRun
from varireal.sweeping.run import _check_success


def test_the_log_of_what_failed_is_shown() -> None:
    told: list[str] = []
    ended = [EndedRun("ratio-1", "a" * 40, "all is well"), EndedRun("ratio-0-2", None, "the network does not like 13")]
    with pytest.raises(UserError, match=r"1 of 2 experiments failed: ratio-0-2; `dvc queue logs ratio-0-2` shows"):
        _check_success(ended, told.append)
    assert any("the network does not like 13" in line for line in told) and "all is well" not in "".join(told)
    _check_success(ended[:1], told.append)
