"""Pictures of places and materials, from which priors are made: ready-made ones in a folder, or generated ones."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from varireal.base.file_kinds import is_rest, picture_suffixes, same_name
from varireal.base.files import encode_png, read_image, sha256_file
from varireal.base.manifest import Attribute, Feasibility
from varireal.base.seeding import derive_seed
from varireal.compute.engines import Engine, SetAside
from varireal.compute.progress import progress
from varireal.errors import UserError
from varireal.prompts.templates import Sentence, described, material_prompt, place_prompt
from varireal.store import FolderStore, content_key

if TYPE_CHECKING:
    from varireal.editing.inpaint import PictureMaker
    from varireal.prompts import AttributeSpec

REVISION = 1  # raised when the same sentence and maker give other pictures
_KEPT_DECODED = 64  # pictures kept in memory


class PictureSource(Protocol):
    """Offers several pictures of each value."""

    def check(self, specs: Iterable[AttributeSpec]) -> None:
        """Check, at no cost, that every value has or can be given pictures.

        Raises:
            UserError: a value has none.
        """
        ...

    def prepare(self, specs: Iterable[AttributeSpec], engine: Engine) -> None:
        """Make what is missing; call it once before the first ``pick``."""
        ...

    def pick(self, spec: AttributeSpec, rng: np.random.Generator) -> np.ndarray:
        """Return one of the value's pictures, uint8 (H, W, 3)."""
        ...

    def identity(self, spec: AttributeSpec) -> str:
        """Return what stands for the value's pictures in a content key."""
        ...

    def finished(self, specs: Iterable[AttributeSpec]) -> Iterator[Path]:
        """Yield where pictures that were made for the values lie in the folder of finished work."""
        ...


class FolderPictures:
    """Offers ready-made pictures below ``<root>/<attribute>/``.

    A value's pictures are all files of ``<name>/``, or the one file ``<name>.<suffix>``, there or in a folder of the
    feasibility's name; ``<name>`` is the value's ``picture``, or else its own name.
    """

    def __init__(self, root: Path, attribute: Attribute, feasibility: Feasibility) -> None:
        self._folder = root / attribute
        self._feasibility = feasibility
        self._files_of: dict[str, list[Path]] = {}
        self._identities: dict[str, str] = {}

    def check(self, specs: Iterable[AttributeSpec]) -> None:
        lacking = {spec.name: spec for spec in specs if not self.files(spec)}
        if len(lacking) == 1:
            self._files(*lacking.values())
        if lacking:
            names = ", ".join(spec.picture or name for name, spec in lacking.items())
            raise UserError(
                f"there are no pictures of {len(lacking)} values in {self._folder}: {names}; add <name>.jpg or "
                "<name>/*.jpg for each, or take them out of the bank"
            )

    def files(self, spec: AttributeSpec) -> list[Path]:
        """Return the value's pictures, none where it has none."""
        name = spec.picture or spec.name
        if name not in self._files_of:
            self._files_of[name] = self._find(name)
        return self._files_of[name]

    def prepare(self, specs: Iterable[AttributeSpec], engine: Engine) -> None:
        self.check(specs)

    def pick(self, spec: AttributeSpec, rng: np.random.Generator) -> np.ndarray:
        files = self._files(spec)
        return _decoded(files[int(rng.integers(len(files)))])

    def identity(self, spec: AttributeSpec) -> str:
        name = spec.picture or spec.name
        if name not in self._identities:
            self._identities[name] = content_key({"pictures": [sha256_file(file) for file in self._files(spec)]})
        return self._identities[name]

    def finished(self, specs: Iterable[AttributeSpec]) -> Iterator[Path]:
        yield from ()

    def _find(self, name: str) -> list[Path]:
        for folder in (self._folder / self._feasibility, self._folder):
            if not (folder / name).resolve().is_relative_to(self._folder.resolve()):
                raise UserError(f"the picture {name!r} lies outside {self._folder}; use a plain name in the bank")
            wanted = same_name(folder / name)
            if not (above := (folder / name).parent).is_dir():
                continue
            found = [path for path in sorted(above.iterdir()) if not is_rest(path.name)]
            for path in found:
                if path.is_dir() and same_name(path) == wanted and (files := _pictures_in(path)):
                    return files
            for path in found:
                if same_name(path.with_suffix("")) == wanted and _is_picture(path):
                    return [path]
        return []

    def _files(self, spec: AttributeSpec) -> list[Path]:
        name = spec.picture or spec.name
        if not (found := self.files(spec)):
            raise UserError(
                f"there is no picture of {spec.name!r} in {self._folder}; add {name}.jpg or {name}/*.jpg there, "
                "name another one with 'picture' in the bank, or set edit.prior.source to text_to_image"
            )
        return found


@dataclasses.dataclass(frozen=True)
class PictureItem:
    """Asks for pictures of one value, to choose from."""

    sentence: Sentence
    seeds: tuple[int, ...]


class PictureWorker:
    """Makes the pictures of values in a worker of an engine, which holds the text-to-image pipeline."""

    def __init__(self, maker: PictureMaker) -> None:
        self._maker = maker

    def load(self) -> None:
        """Load the pipeline, unless it is loaded.

        Raises:
            UserError: it cannot be loaded.
        """
        self._maker.load()

    def __call__(self, items: Sequence[PictureItem]) -> list[dict[str, bytes]]:
        """Return the files of each value's pictures."""
        made = [self._maker.make([item.sentence] * len(item.seeds), item.seeds) for item in items]
        return [{f"{number:03d}.png": encode_png(one) for number, one in enumerate(pictures)} for pictures in made]


class GeneratedPictures:
    """Draws a bank of pictures per sentence, once: all photos and cells choose from it."""

    def __init__(self, maker: PictureMaker, attribute: Attribute, bank_size: int, seed: int) -> None:
        self._maker = maker
        self._prompt = place_prompt if attribute == "background" else material_prompt
        self._bank_size = bank_size
        self._seed = seed
        self._store = FolderStore("priors")

    def check(self, specs: Iterable[AttributeSpec]) -> None:
        """Check nothing: every sentence can be drawn, and the checkpoint was looked at when the maker was built."""

    def prepare(self, specs: Iterable[AttributeSpec], engine: Engine) -> None:
        missing = [spec for spec in dict.fromkeys(specs) if self._store.get(self.identity(spec)) is None]
        if not missing:
            return
        batches = ([self._item(spec)] for spec in missing)
        worker = PictureWorker(self._maker)
        with (
            progress("making pictures for priors", len(missing)) as advance,
            engine.open(worker, len(missing)) as pool,
        ):
            for place, [made] in pool.run(batches):
                if isinstance(made, SetAside):
                    raise UserError(f"the pictures of {missing[place].name!r} could not be made ({made.note})")
                self._store.put({self.identity(missing[place]): made})
                advance(1)
        self._maker.release()

    def _sentence(self, spec: AttributeSpec) -> Sentence:
        return Sentence(described(self._prompt(spec.phrase), spec.description), spec.phrase, spec.weight)

    def _item(self, spec: AttributeSpec) -> PictureItem:
        sentence = self._sentence(spec)
        seeds = (derive_seed("picture", self._seed, sentence.text, number) for number in range(self._bank_size))
        return PictureItem(sentence, tuple(seeds))

    def pick(self, spec: AttributeSpec, rng: np.random.Generator) -> np.ndarray:
        kept = self._store.get(self.identity(spec))
        if kept is None:
            raise UserError(f"the pictures of {spec.name!r} vanished from the folder of finished work; run again")
        return _decoded(kept.path / f"{int(rng.integers(self._bank_size)):03d}.png")

    def identity(self, spec: AttributeSpec) -> str:
        return content_key(
            {
                "revision": REVISION,
                "sentence": dataclasses.asdict(self._sentence(spec)),
                "seed": self._seed,
                "bank_size": self._bank_size,
                "maker": self._maker.identity,
            }
        )

    def finished(self, specs: Iterable[AttributeSpec]) -> Iterator[Path]:
        yield from (kept.path for spec in specs if (kept := self._store.get(self.identity(spec))) is not None)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_picture(path))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in picture_suffixes() and not is_rest(path.name) and path.is_file()


@functools.lru_cache(maxsize=_KEPT_DECODED)
def _decoded(path: Path) -> np.ndarray:
    return read_image(path)
