"""Which files are pictures, and what systems leave behind."""

import unicodedata
from pathlib import Path

import pytest

from varireal.base.file_kinds import HEIF, at_home, is_rest, is_utf8, picture_suffixes, register_heif, same_name, shown

RESTS = [
    "@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".thumbnails", "Thumbnails",
    "__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER",
    ".Trash-1000", "lost+found", ".AppleDouble", "._cat.jpg", ".DS_Store", "System Volume Information", "FOUND.000",
    ".ipynb_checkpoints", "SYNOPHOTO_THUMB_M.jpg", "SYNOFILE_THUMB_M.png", "Icon\r", "~snapshot", "photo.jpg~",
    "Network Trash Folder", ".picasa.ini", "Picasa.ini", "LOST.DIR", "AlbumArtSmall.jpg",
    "Holidays.photoslibrary", "iPhoto.photolibrary", "[Originals]", "DfsrPrivate", "_gsdata_",
    "cat.sync-conflict-20230101-123456-ABCDEFG.jpg", "cat (Ann's conflicted copy 2024-05-01).jpg",
    "cat (conflicted copy 2019-01-01 101010).jpg",
]  # fmt: skip
PHOTOS = ["recycle", "thumb", "thumb_up", "eaDir", "cat.jpg", "#1.jpg", "@home", "$5.png", "lost", "trash", "founder",
          "desktop.png", "synagogue", "macosx", "icon", "Folder.jpg",
          "originals", "photoslibrary", "conflicted copy.jpg", "cat (copy).jpg", "sync-conflict.jpg"]  # fmt: skip


@pytest.mark.parametrize("name", RESTS)
def test_what_systems_leave_behind_is_a_rest(name):
    assert is_rest(name)


@pytest.mark.parametrize("name", PHOTOS)
def test_what_people_name_is_no_rest(name):
    assert not is_rest(name)


def test_pictures_are_what_pillow_opens_without_icons_documents_and_films():
    suffixes = picture_suffixes()
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".tif", ".jp2", ".ppm", ".tga",
            ".bmp", ".gif"} <= suffixes  # fmt: skip
    assert not suffixes & {".pdf", ".eps", ".ico", ".mpg", ".h5", ".txt", ".db", ".ini"}
    assert (".heic" in suffixes) == register_heif() == bool(suffixes & HEIF)


def test_names_are_the_same_however_their_letters_are_composed():
    composed, decomposed = (Path(unicodedata.normalize(form, "Épagneul/höhle.jpg")) for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert same_name(composed) == same_name(decomposed) == composed


def test_a_name_that_is_no_utf8_can_be_told_and_shown():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert not is_utf8(name)
    assert is_utf8("café.jpg")
    assert shown(Path(name)).encode("ascii") == rb"caf\udce9.jpg"


@pytest.mark.parametrize(
    ("name", "said"),
    [("a\nb.jpg", r"a\nb.jpg"), ("a\x1b[31m.jpg", r"a\x1b[31m.jpg"), ("a\u202egpj.exe", r"a\u202egpj.exe"),
     ("a\u2028b", r"a\u2028b"), ("👩\u200d👧 é.jpg", "👩\u200d👧 é.jpg"), (r"a\b.jpg", r"a\b.jpg")],
)  # fmt: skip
def test_nothing_in_a_name_disguises_what_a_log_shows(name, said):
    assert shown(Path(name)) == said


def test_homes_of_people_are_found_and_nobodys_stays_a_name(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert at_home("~/photos") == Path("/home/ann/photos")
    assert at_home("~nobody-here/photos") == Path("~nobody-here/photos")
    assert at_home("a/~") == Path("a/~")
