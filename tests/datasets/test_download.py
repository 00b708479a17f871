"""Archives from a server on loopback that behaves, and that does not."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.datasets import published_layouts as layouts

from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.config import load_params
from varireal.datasets import download, oxford_pets
from varireal.datasets.download import Archive, fetch
from varireal.errors import UserError


class _Server(BaseHTTPRequestHandler):
    """Sends ``server.content``; each request takes one of ``server.faults``: where to stop, or a status."""

    def do_GET(self) -> None:
        data, server = self.server.content[self.path], self.server
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        server.asked.append((self.path, start))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, str):
            self.send_response(int(fault))
            self.end_headers()
            return
        if not server.ranges:
            start = 0
        if start >= len(data):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start : fault or None])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(download, "WAIT", 0.01)
    monkeypatch.setattr(download, "PIECE", 50)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    server.content, server.asked, server.faults, server.ranges = {}, [], [], True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def packed(members: dict[str, bytes | Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            if isinstance(content, Path):
                tar.add(content, name)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def offered(server, name: str, data: bytes, *provides: str, md5: str | None = None) -> Archive:
    server.content[f"/{name}"] = data
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    return Archive(url, md5 or hashlib.md5(data).hexdigest(), provides)


PHOTOS = packed({"images/a.jpg": b"a" * 5000, "images/b.jpg": bytes(range(256)) * 40})


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_an_archive_is_unpacked_into_the_root_and_fetched_once(server, tmp_path):
    archive = offered(server, "images.tar.gz", PHOTOS, "images")
    fetch([archive], tmp_path / "root")
    assert names(tmp_path / "root") == {"images/a.jpg", "images/b.jpg"}
    fetch([archive], tmp_path / "root")
    assert server.asked == [("/images.tar.gz", 0)]


def test_a_download_that_was_cut_off_goes_on_where_it_was(server, tmp_path):
    archive = offered(server, "images.tar.gz", PHOTOS, "images")
    server.faults = [100, "503", 150]
    fetch([archive], tmp_path)
    assert server.asked == [("/images.tar.gz", start) for start in (0, 100, 100, 150)]
    assert names(tmp_path) == {"images/a.jpg", "images/b.jpg"}


def test_a_later_run_goes_on_too_even_where_the_server_knows_no_ranges(server, tmp_path, monkeypatch):
    archive = offered(server, "images.tar.gz", PHOTOS, "images")
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.faults = [100]
    with pytest.raises(UserError, match=r"cannot be downloaded .*, which goes on after the 100 bytes"):
        fetch([archive], tmp_path)
    assert names(tmp_path) == {"images.tar.gz.part"}
    server.ranges = False
    fetch([archive], tmp_path)
    assert names(tmp_path) == {"images/a.jpg", "images/b.jpg"}


def test_a_whole_file_that_was_left_is_not_fetched_again(server, tmp_path):
    archive = offered(server, "images.tar.gz", PHOTOS, "images")
    (tmp_path / "images.tar.gz.part").write_bytes(PHOTOS)
    fetch([archive], tmp_path)
    assert names(tmp_path) == {"images/a.jpg", "images/b.jpg"}


def test_what_is_not_the_published_archive_is_removed(server, tmp_path):
    archive = offered(server, "images.tar.gz", PHOTOS[:-1] + b"!", "images", md5="5c4f3ee8e5d25df40f4fd59a7f44e54c")
    with pytest.raises(UserError, match=r"is not the published archive \(MD5 [0-9a-f]{32} instead of 5c4f3ee8"):
        fetch([archive], tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["../outside.jpg", "/tmp/outside.jpg", "images/../../outside.jpg"])
def test_an_archive_cannot_write_outside_of_the_root(server, tmp_path, name):
    data = packed({"images/a.jpg": b"a", name: b"evil"})
    archive = offered(server, "images.tar.gz", data, "images")
    root = tmp_path / "root"
    try:
        fetch([archive], root)
    except UserError as error:
        assert "cannot be unpacked" in str(error)
    assert not (tmp_path / "outside.jpg").exists() and not Path("/tmp/outside.jpg").exists()


def test_an_address_that_is_gone_ends_in_one_line(server, tmp_path):
    archive = offered(server, "images.tar.gz", PHOTOS, "images")
    server.faults = ["404"]
    with pytest.raises(UserError, match=r"cannot be downloaded \(404 Client Error"):
        fetch([archive], tmp_path)
    with pytest.raises(UserError, match="cannot be downloaded"):
        fetch([Archive("http://127.0.0.1:9/a.tar.gz", "0", ("images",))], tmp_path)


def test_a_part_that_is_there_is_left_as_it_is(server, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/mine.jpg").write_bytes(b"mine")
    archive = offered(
        server, "both.tar.gz", packed({"images/a.jpg": b"a", "annotations/list.txt": b"l"}), "annotations"
    )
    fetch([archive], tmp_path)
    assert names(tmp_path) == {"images/mine.jpg", "annotations/list.txt"}


def test_prepare_downloads_pets_and_reads_them(server, tmp_path, monkeypatch):
    """The official archives' layout, in miniature."""
    made = layouts.oxford_pets(tmp_path / "made")
    parts = ("images", "annotations")
    archives = [offered(server, f"{part}.tar.gz", packed({part: made / part}), part) for part in parts]
    monkeypatch.setattr(oxford_pets.OxfordPets, "archives", tuple(archives))
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    params["dataset"] |= {"name": "oxford_pets", "root": "raw", "download": True, "complete": False, "min_side": 8}
    params["dataset"] |= {"train_per_class": None, "val_per_class": 2}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    result = CliRunner().invoke(main, ["prepare"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    splits = [record.split for record in read_manifest(Path("data/prepared/manifest.parquet"))]
    assert {split: splits.count(split) for split in set(splits)} == {"train": 18, "val": 6, "test": 9}
    assert len(server.asked) == 2


def test_download_is_refused_for_data_sets_without_a_source(tmp_path):
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    params["dataset"] |= {"name": "stanford_cars", "root": "raw", "download": True}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match="download is for oxford_pets and fgvc_aircraft; stanford_cars has no archive"):
        load_params(tmp_path / "params.yaml")
