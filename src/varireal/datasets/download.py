"""Archives of published data sets: fetched piece by piece, checked against their sums, unpacked as a whole."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.files import named_os_errors
from varireal.compute.progress import progress
from varireal.errors import UserError, require_extra

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

ATTEMPTS = 5  # for one archive; what has come so far is kept between them
WAIT = 2.0  # seconds before the second attempt; doubles each time
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
PIECE = 2**16  # bytes; what is lost at most when a connection breaks


@dataclasses.dataclass(frozen=True)
class Archive:
    """A tar archive, and what it leaves in the root."""

    url: str
    md5: str  # as published; it tells a broken download, and no more
    provides: tuple[str, ...]  # names at its top, without which it is fetched

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


def fetch(archives: Sequence[Archive], root: Path) -> None:
    """Download and unpack the archives whose contents the root lacks.

    A download that was cut off is taken up where it was, also by a later run. An archive is unpacked beside its place
    and appears at once; then its file is removed.

    Raises:
        UserError: the network or the server fails, the sum is wrong, the archive would write outside of the root, or
            the disk is full.
    """
    for archive in archives:
        if all((root / name).exists() for name in archive.provides):
            continue
        require_extra("download", "tenacity", "dataset.download")
        with named_os_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            file = root / f"{archive.name}.part"
            _download(archive, file)
            _check(archive, file)
            _unpack(archive, file, root)
            file.unlink()


def _download(archive: Archive, file: Path) -> None:
    import requests
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

    attempts = Retrying(
        retry=retry_if_exception_type(
            (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _Busy)
        ),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(WAIT),
        reraise=True,
    )
    try:
        attempts(_download_rest, archive, file)
    except (requests.RequestException, _Busy) as error:
        have = file.stat().st_size if file.exists() else 0
        raise UserError(
            f"{archive.url} cannot be downloaded ({' '.join(str(error).split())[:200]}); run the stage again, which "
            f"goes on after the {have:,} bytes that are here, or get it by hand"
        ) from error


class _Busy(Exception):
    """The server asks to come again later."""


def _download_rest(archive: Archive, file: Path) -> None:
    import requests

    have = file.stat().st_size if file.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(archive.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # it is all here; the sum tells whether that is true
        if response.status_code >= 500 or response.status_code == requests.codes.too_many_requests:
            raise _Busy(f"the server answers {response.status_code}")
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            have = 0  # the server does not know ranges: from the beginning
        _write(response, file, have)


def _write(response: requests.Response, file: Path, have: int) -> None:
    total = have + int(response.headers.get("Content-Length", 0))
    with file.open("r+b" if have else "wb") as out, progress(f"Download {file.stem}", total) as advance:
        out.seek(have)
        out.truncate()
        advance(have)
        for piece in response.iter_content(PIECE):
            out.write(piece)
            advance(len(piece))


def _check(archive: Archive, file: Path) -> None:
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "md5").hexdigest()
    if found != archive.md5:
        file.unlink()
        raise UserError(
            f"what {archive.url} sent is not the published archive (MD5 {found} instead of {archive.md5}); it was "
            "removed, run the stage again or get the archive elsewhere"
        )


def _unpack(archive: Archive, file: Path, root: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=root))
    try:
        with tarfile.open(file) as tar:
            tar.extractall(folder, filter="data")  # refuses names, links and devices that lead out of the folder
        if missing := [name for name in archive.provides if not (folder / name).exists()]:
            raise UserError(f"the archive {archive.url} holds no {', '.join(missing)}; get the data set by hand")
        for path in sorted(folder.iterdir()):
            if (root / path.name).exists():
                logger.warning("%s was there already and is left as it is", root / path.name)
            else:
                path.replace(root / path.name)
    except tarfile.TarError as error:
        raise UserError(f"the archive {archive.url} cannot be unpacked ({error}); get the data set by hand") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
