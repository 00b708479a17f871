"""The rating page on this machine: a loopback server behind a secret address.

Other pages in the same browser must neither read the pictures nor give answers: every address begins with a random
token; the Host header must name this machine (else a foreign name could be bound to it); an answer must be JSON and,
where the browser says which page sent it, come from this one. Pictures are asked for by number, never by path.
"""

from __future__ import annotations

import hmac
import http.server
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from varireal.errors import UserError
from varireal.rating.items import Item, check_picture, picture_bytes
from varireal.rating.store import ANSWERS, Rating, RatingsFile, latest

HOST = "127.0.0.1"
LOCAL_NAMES = {"127.0.0.1", "localhost"}
LONGEST_BODY = 1_000  # bytes; an answer takes about 40
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STATIC = {"rate.js": "text/javascript; charset=utf-8", "rate.css": "text/css; charset=utf-8"}

logger = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is not answered; the message is for whoever sent it."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class Session:
    """One rater's pictures in their order, with the answers so far."""

    def __init__(self, rater: str, items: Sequence[Item], paths: Mapping[Item, Path], ratings: RatingsFile) -> None:
        """Check that every picture is there.

        Raises:
            UserError: one is missing or is not the one that its manifest names.
        """
        self.rater = rater
        self._items = list(items)
        self._paths = paths
        self._ratings = ratings
        for item in self._items:
            check_picture(item, paths[item])

    def state(self) -> dict[str, Any]:
        """Return what the page knows: the answer to every picture, or None, in the order in which they are shown."""
        answers = latest(self._ratings.ratings)
        return {"rater": self.rater, "answers": [answers.get(item) for item in self._items]}

    @property
    def answered(self) -> int:
        """Return how many pictures have an answer."""
        return sum(answer is not None for answer in self.state()["answers"])

    def picture(self, number: str) -> bytes:
        """Return a picture as PNG; a request for one that there is not is refused."""
        if not (number.isascii() and number.isdigit() and int(number[:9]) < len(self._items)):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such picture")
        item = self._items[int(number[:9])]
        return picture_bytes(item, self._paths[item])

    def answer(self, body: bytes) -> None:
        """Store ``{"item": number, "answer": answer}``; anything else is refused."""
        try:
            row = json.loads(body)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "the answer is no JSON") from error
        if not isinstance(row, dict) or row.keys() != {"item", "answer"} or row["answer"] not in ANSWERS:
            raise Refused(HTTPStatus.BAD_REQUEST, f"an answer has item and answer, one of {', '.join(ANSWERS)}")
        number = row["item"]
        if type(number) is not int or not 0 <= number < len(self._items):
            raise Refused(HTTPStatus.BAD_REQUEST, "there is no such picture")
        self._ratings.append(Rating(self._items[number], row["answer"]))


class RatingServer(http.server.ThreadingHTTPServer):
    """Serves one session on the loopback interface; ``url`` is its secret address."""

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        """Bind the port (0: any that is free).

        Raises:
            UserError: the port is taken or not allowed.
        """
        self.session = session
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another with --port, 0 for any"
            ) from error

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: RatingServer
    timeout = 30  # seconds for a request to arrive
    server_version = "varireal"
    sys_version = ""

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def _get(self) -> tuple[str, bytes]:
        session, path = self.server.session, self._path()
        if path == "":
            return "text/html; charset=utf-8", _page(session.rater)
        if path == "state":
            return "application/json", json.dumps(session.state()).encode()
        if path in STATIC:
            return STATIC[path], (files("varireal.rating") / "page" / path).read_bytes()
        if path.startswith("picture/"):
            return "image/png", session.picture(path.removeprefix("picture/"))
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _post(self) -> tuple[str, bytes]:
        if self._path() != "answer":
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "same-origin")
        if (origin is not None and origin != f"http://{self.headers.get('Host')}") or site != "same-origin":
            raise Refused(HTTPStatus.FORBIDDEN, "answers are taken from this page only")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an answer is JSON")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length[:9]) <= LONGEST_BODY):
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "an answer is short and says how long it is")
        self.server.session.answer(self.rfile.read(int(length)))
        return "application/json", b"{}"

    def _path(self) -> str:
        """Return the path below the token, after a check of the token and of the name that was asked for."""
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in LOCAL_NAMES:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this page is for this machine only")
        _, token, path = [*self.path.partition("?")[0].split("/", 2), "", ""][:3]
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(
                HTTPStatus.FORBIDDEN, "this address is old or wrong; use the one that `varireal rate` printed"
            )
        return path

    def _respond(self, answer: Callable[[], tuple[str, bytes]]) -> None:
        status, kind = HTTPStatus.OK, "text/plain; charset=utf-8"
        try:
            kind, body = answer()
        except Refused as error:
            status, body = error.status, str(error).encode()
        except UserError as error:
            logger.error("%s", error)  # it may name the picture's folder, and so its label
            status, body = HTTPStatus.INTERNAL_SERVER_ERROR, b"this failed; the terminal of `varireal rate` says why"
        self.send_response(status)
        cache = "private, max-age=3600" if kind == "image/png" else "no-store"
        headers = {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": cache}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep requests, and with them the token, out of the log."""


def _page(rater: str) -> bytes:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("varireal.rating", "page"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("index.html.j2").render(rater=rater).encode()
