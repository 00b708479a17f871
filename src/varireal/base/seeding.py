"""Derive seeds from names: no global random state, no dependence on order, worker count or interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SeedPart = str | int | float | bool | None

# made once: seeds are many
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def derive_seed(*parts: SeedPart) -> int:
    """Derive a seed in [0, 2**63) that depends on every part, on its type and on its position.

    The parts are written as canonical JSON and hashed with SHA-256, so that ``("a", "bc")`` and ``("ab", "c")``,
    or ``1`` and ``"1"``, give different seeds and the result is the same on every machine.
    """
    return int.from_bytes(hashlib.sha256(_encode(parts).encode("ascii")).digest()[:8], "big") >> 1


def generator(*parts: SeedPart) -> np.random.Generator:
    """Make a NumPy generator, seeded with :func:`derive_seed` of the parts."""
    import numpy as np

    return np.random.default_rng(derive_seed(*parts))


@contextlib.contextmanager
def forked_torch_rng(*parts: SeedPart) -> Generator[None]:
    """Seed torch's own generators with :func:`derive_seed` of the parts, and restore them after the block.

    Only for library code that takes no generator: the initial weights of a network, and dropout.
    """
    import torch

    # torch's own types are partial here
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):  # pyright: ignore[reportUnknownMemberType]
        torch.random.manual_seed(derive_seed(*parts))  # pyright: ignore[reportUnknownMemberType]
        yield
