"""How a cell's pictures are stored: each as a file, or many to a tar shard; `STORAGES` maps `edit.storage` to both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from varireal.archives import ShardWriter, sample_name
from varireal.config import EditConfig
from varireal.io import named_os_errors

MEGABYTE = 10**6


class Store(Protocol):
    """Takes the pictures of one edit after the other."""

    def __call__(self, name: str, image: bytes, prior: bytes | None) -> tuple[str, str | None]:
        """Store the files of the edit ``name`` (with slashes, without suffix); return their paths in the folder."""


@contextlib.contextmanager
def files(folder: Path, config: EditConfig) -> Iterator[Store]:
    """Store pictures as ``images/<name>.png`` and ``priors/<name>.png``."""
    made: set[Path] = set()

    def write(path: str, data: bytes) -> str:
        target = folder / path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        target.write_bytes(data)
        return path

    def store(name: str, image: bytes, prior: bytes | None) -> tuple[str, str | None]:
        kept = None if prior is None else write(f"priors/{name}.png", prior)
        return write(f"images/{name}.png", image), kept

    with named_os_errors(folder):
        yield store


@contextlib.contextmanager
def shards(folder: Path, config: EditConfig) -> Iterator[Store]:
    """Store pictures in ``shards/<number>.tar``, as the samples ``<name>.png`` and ``<name>.prior.png``."""
    with named_os_errors(folder), ShardWriter(folder / "shards", config.shard_mb * MEGABYTE) as writer:

        def store(name: str, image: bytes, prior: bytes | None) -> tuple[str, str | None]:
            sample = sample_name(name)
            image_name, prior_name = f"{sample}.png", f"{sample}.prior.png"
            written = writer.add({image_name: image, **({} if prior is None else {prior_name: prior})})
            paths = {each: f"shards/{path}" for each, path in written.items()}
            return paths[image_name], paths.get(prior_name)

        yield store


STORAGES = {"files": files, "shards": shards}
