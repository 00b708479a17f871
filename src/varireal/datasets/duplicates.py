"""Files with the same content: in two splits they would leak, in two classes their label would contradict itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from varireal.base.files import sha256_file
from varireal.compute.processes import available_cores
from varireal.errors import UserError


def content_hashes(paths: Sequence[Path]) -> list[str | None]:
    """Return each file's SHA-256; None for one that is empty or unreadable (loading it tells why)."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(_content_hash, paths))


def refuse_pairs(pairs: Sequence[tuple[str, str]], mend: str) -> None:
    """Raise a UserError that names the first of the pairs, if there is one.

    Args:
        pairs: two descriptions each, such as ``"a/1.jpg (a, train)"``.
    """
    if pairs:
        one, other = pairs[0]
        more = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
        raise UserError(
            f"one photo stands twice in the data set, in different splits or classes: {one} is the same file as "
            f"{other}{more}; {mend}"
        )


def _content_hash(path: Path) -> str | None:
    try:
        return sha256_file(path) if path.stat().st_size else None
    except OSError:
        return None
