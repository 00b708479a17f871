from __future__ import annotations

from varireal.sweeping.experiments import free_name


def test_a_taken_name_gets_the_next_number() -> None:
    assert free_name("ratio-0", []) == "ratio-0"
    assert free_name("ratio-0", ["ratio-0", "ratio-0-3"]) == "ratio-0-2"
    assert free_name("ratio-0", ["ratio-0", "ratio-0-2"]) == "ratio-0-3"
