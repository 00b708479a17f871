"""FGVC-Aircraft 2013b: 100 variants of aircraft, with published train, val and test splits."""

from __future__ import annotations

from typing import ClassVar

from varireal.base.manifest import SPLITS, Split
from varireal.datasets.download import Archive
from varireal.datasets.published import Listed, Listing, PublishedDataset
from varireal.datasets.published_files import known, locate, member, read_lines
from varireal.errors import UserError

ARCHIVE = Archive(
    "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
    "d4acdd33327262359767eeaa97a4f732",  # as several projects verify it; the authors' own page of sums is not at hand
    ("fgvc-aircraft-2013b",),
)
GET = f"{ARCHIVE.name} (MD5 {ARCHIVE.md5}) from {ARCHIVE.url}, or with dataset.download: true"


class FgvcAircraft(PublishedDataset):
    """``images/<number>.jpg``, ``variants.txt`` and ``images_variant_{train,val,test}.txt``, in ``data/`` or not.

    Class names are the variants as given, in the order of variants.txt. The banner with the photographer's name at the
    bottom of every photo is cut off, as the authors ask for. ``val_per_class`` chooses from the published val split.
    """

    title = "FGVC-Aircraft 2013b"
    class_count = 100
    photo_counts: ClassVar[dict[Split, int]] = {"train": 3334, "val": 3333, "test": 3333}
    archives = (ARCHIVE,)
    crop_bottom = 20  # pixels; the authors' page says so

    def read(self, root: str) -> Listing:
        """Read the lists of the three splits."""
        lists: dict[Split, str] = {split: f"images_variant_{split}.txt" for split in SPLITS}
        needed = ["images", "variants.txt", *lists.values()]
        folder = locate(root, ["data", "fgvc-aircraft-2013b/data"], needed, self.title, GET)
        variants = [line for _, line in read_lines(folder / "variants.txt")]
        photos, seen = [], {}
        for split, name in lists.items():
            for where, line in read_lines(folder / name):
                image, _, variant = line.partition(" ")
                if not variant:
                    raise UserError(f"{where}: expected '<image> <variant>', found {line[:80]!r}")
                if seen.setdefault(image, name) != name:
                    raise UserError(f"{where}: {image} stands in {seen[image]} too; get the lists again")
                relative = member(f"{image}.jpg", where)
                index = known(variant.strip(), variants, "variant", where)
                photos.append(Listed(folder / "images" / relative, relative, index, split))
        return Listing(folder, variants, photos)
