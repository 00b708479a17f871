import os

import pytest

from varireal.compute.parallel import SMALLEST_POOL, map_in_order
from varireal.errors import UserError


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise UserError("no sevens")
    return number


def test_results_come_in_order_from_other_processes():
    results = list(map_in_order(square, range(100), workers=2))
    assert [value for value, _ in results] == [number * number for number in range(100)]
    assert os.getpid() not in {process for _, process in results}


def test_few_items_or_one_worker_stay_in_this_process():
    few = list(map_in_order(square, range(SMALLEST_POOL - 1), workers=2))
    alone = list(map_in_order(square, range(100), workers=1))
    assert {process for _, process in few + alone} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_an_item_is_raised(workers):
    with pytest.raises(UserError, match="no sevens"):
        list(map_in_order(refuse_seven, range(40), workers))
