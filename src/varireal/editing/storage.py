"""How a cell's pictures are stored: each as a file, or many to a tar shard; `STORAGES` maps `edit.storage` to both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from varireal.base.files import named_os_errors
from varireal.base.shards import ShardWriter, sample_name
from varireal.config import EditConfig

MEGABYTE = 10**6


class PictureWriter(Protocol):
    """Takes the pictures of one edit after the other."""

    def __call__(self, name: str, pictures: Mapping[str, bytes]) -> dict[str, str]:
        """Store the pictures of the edit ``name`` (with slashes, without suffix); return their paths in the folder.

        Both are by kind: ``image``, ``prior``, and ``attempt-0`` and so on for the attempts that were rejected.
        """
        ...


@contextlib.contextmanager
def files(folder: Path, config: EditConfig) -> Iterator[PictureWriter]:
    """Store pictures as ``images/<name>.png``, ``priors/<name>.png`` and ``attempts/<name>.0.png``."""
    made: set[Path] = set()

    def write(path: str, data: bytes) -> str:
        target = folder / path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.write_bytes(data)
        return path

    def store(name: str, pictures: Mapping[str, bytes]) -> dict[str, str]:
        parts = {kind: kind.partition("-") for kind in pictures}
        return {
            kind: write(f"{what}s/{name}{'.' + number if number else ''}.png", pictures[kind])
            for kind, (what, _, number) in parts.items()
        }

    with named_os_errors(folder):
        yield store


@contextlib.contextmanager
def shards(folder: Path, config: EditConfig) -> Iterator[PictureWriter]:
    """Store pictures in ``shards/<number>.tar``: an edit is a sample of ``<name>.png``, ``<name>.prior.png``, and
    ``<name>.attempt-0.png`` and so on."""
    with named_os_errors(folder), ShardWriter(folder / "shards", config.shard_mb * MEGABYTE) as writer:

        def store(name: str, pictures: Mapping[str, bytes]) -> dict[str, str]:
            sample = sample_name(name)
            names = {kind: f"{sample}.png" if kind == "image" else f"{sample}.{kind}.png" for kind in pictures}
            written = writer.add({names[kind]: data for kind, data in pictures.items()})
            return {kind: f"shards/{written[each]}" for kind, each in names.items()}

        yield store


STORAGES = {"files": files, "shards": shards}
