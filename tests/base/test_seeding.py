from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from varireal.base.seeding import derive_seed, forked_torch_rng, generator

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.lists(st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none(), FLOATS), max_size=5)


def test_a_known_seed_so_that_no_machine_and_no_release_changes_results():
    # the first eight bytes of sha256('["edit",0,"trijet/3"]'), halved
    assert derive_seed("edit", 0, "trijet/3") == 0x17A639D71939EEA3


@given(PARTS, PARTS)
def test_equal_parts_give_equal_seeds_and_different_ones_different_seeds(first, second):
    assert 0 <= derive_seed(*first) < 2**63
    assert derive_seed(*first) == derive_seed(*first)
    assert (derive_seed(*first) == derive_seed(*second)) == (repr(first) == repr(second))


@pytest.mark.parametrize(("one", "other"), [(("a", "bc"), ("ab", "c")), ((1,), ("1",)), ((1,), (True,)), ((), (None,))])
def test_type_and_position_of_the_parts_count(one, other):
    assert derive_seed(*one) != derive_seed(*other)


def test_not_a_number_is_no_seed():
    with pytest.raises(ValueError):
        derive_seed(float("nan"))


def test_generators_of_the_same_parts_draw_the_same():
    assert generator("x", 1).random() == generator("x", 1).random() != generator("x", 2).random()


def test_torchs_own_generator_is_seeded_inside_the_block_and_restored_after_it():
    before = torch.random.get_rng_state()
    with forked_torch_rng("a", 1):
        first = torch.rand(3)
    torch.rand(10)
    with forked_torch_rng("a", 1):
        second = torch.rand(3)
    with forked_torch_rng("a", 2):
        third = torch.rand(3)
    torch.random.set_rng_state(before)
    assert torch.equal(first, second) and not torch.equal(first, third)
    with pytest.raises(ZeroDivisionError), forked_torch_rng("a"):
        raise ZeroDivisionError
    assert torch.equal(torch.random.get_rng_state(), before)
