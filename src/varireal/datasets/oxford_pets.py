"""Oxford-IIIT Pet: 37 breeds of cats and dogs, with a trimap for every photo."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from varireal.base.manifest import Split
from varireal.datasets.download import Archive
from varireal.datasets.published import Listed, Listing, PublishedDataset
from varireal.datasets.published_files import locate, member, number, read_lines
from varireal.errors import UserError

LISTS: dict[Split, str] = {"train": "trainval", "test": "test"}
MAX_CLASSES = 1000  # a larger class number can only be a slip
SITE = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
# addresses and sums are those of torchvision
IMAGES = Archive(f"{SITE}data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c", ("images",))
ANNOTATIONS = Archive(f"{SITE}data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f", ("annotations",))
GET = (
    f"images.tar.gz (MD5 {IMAGES.md5}) and annotations.tar.gz (MD5 {ANNOTATIONS.md5}) from {SITE}, or with "
    "dataset.download: true"
)


class OxfordPets(PublishedDataset):
    """``images/<breed>_<n>.jpg``, ``annotations/{list,trainval,test}.txt`` and ``annotations/trimaps/<breed>_<n>.png``.

    Class names are the breeds with underscores as spaces, in the published order of class numbers. Masks are the
    trimaps with the border counted as object.
    """

    title = "the Oxford-IIIT Pet data set"
    class_count = 37
    photo_counts: ClassVar[dict[Split, int]] = {"train": 3680, "test": 3669}
    trimaps = True
    archives = (IMAGES, ANNOTATIONS)

    def read(self, root: str) -> Listing:
        """Read the lists of trainval and test, and compare them with the list of all photos."""
        lists = [f"annotations/{name}.txt" for name in ("list", *LISTS.values())]
        needed = ["images", "annotations/trimaps", *lists]
        folder = locate(root, ["oxford-iiit-pet"], needed, self.title, GET)
        numbers = dict(self._lines(folder, "list").values())
        listed: dict[str, tuple[int, Split]] = {}
        for split, name in LISTS.items():
            for where, (image, class_number) in self._lines(folder, name).items():
                if image in listed:
                    raise UserError(f"{where}: {image} stands in two lists; get them again")
                if numbers.get(image) != class_number:
                    said = f"class {numbers[image]}" if image in numbers else "no such photo"
                    raise UserError(f"{where}: {image} is of class {class_number}, but list.txt has {said}")
                listed[image] = (class_number, split)
        if unlisted := sorted(set(numbers) - set(listed)):
            raise UserError(
                f"{folder / 'annotations'}: {len(unlisted)} photos of list.txt stand neither in trainval.txt nor in "
                f"test.txt (the first: {unlisted[0]}); get the lists again"
            )
        classes = _classes(folder, numbers)
        photos = [
            self._listed(folder, image, class_number - 1, split) for image, (class_number, split) in listed.items()
        ]
        return Listing(folder, classes, photos)

    def _lines(self, folder: Path, name: str) -> dict[str, tuple[str, int]]:
        """Return the photos' names and class numbers of a list, by where they stand."""
        path = folder / "annotations" / f"{name}.txt"
        rows, seen = {}, set()
        for where, line in read_lines(path):
            fields = line.split()
            if len(fields) != 4:
                raise UserError(f"{where}: expected 'Image CLASS-ID SPECIES BREED-ID', found {line[:80]!r}")
            if fields[0] in seen:
                raise UserError(f"{where}: {fields[0]} stands twice in {path}; remove one line")
            seen.add(fields[0])
            rows[where] = (fields[0], number(fields[1], range(1, MAX_CLASSES + 1), "CLASS-ID", where))
        return rows

    def _listed(self, folder: Path, image: str, class_index: int, split: Split) -> Listed:
        relative = member(f"{image}.jpg", f"{folder / 'annotations'}, {split}")
        mask = folder / "annotations" / "trimaps" / relative.with_suffix(".png")
        return Listed(folder / "images" / relative, relative, class_index, split, mask_path=mask)


def _classes(folder: Path, numbers: dict[str, int]) -> list[str]:
    """Return the breeds by class number, which the names of the photos give.

    Raises:
        UserError: a number has two breeds or none, or a breed two numbers.
    """
    path = folder / "annotations" / "list.txt"
    breeds: dict[int, str] = {}
    for image, class_number in numbers.items():
        breed = image.rpartition("_")[0].replace("_", " ")
        if breeds.setdefault(class_number, breed) != breed:
            raise UserError(f"{path}: class {class_number} is both {breeds[class_number]!r} and {breed!r}")
    for class_number in range(1, max(breeds) + 1):
        if class_number not in breeds:
            raise UserError(f"{path}: class {class_number} of {max(breeds)} has no photo; get the lists again")
    return [breeds[class_number] for class_number in sorted(breeds)]
