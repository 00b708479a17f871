"""The rating page on this machine: a loopback server behind a secret address.

Other pages in the same browser must neither read the pictures nor give answers: every address begins with a random
token; the Host header must name this machine (else a foreign name could be bound to it); an answer must be JSON and,
where the browser says which page sent it, come from this one. Pictures are asked for by number, never by path.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.config import Params
from varireal.errors import UserError, require_extra
from varireal.rating.edits import RatedEdit, check_picture, choose, in_order_for, picture_bytes, read_edits
from varireal.rating.store import ANSWERS, Rating, RatingsFile, latest, ratings_path

if TYPE_CHECKING:
    from flask import Flask, Request, Response

HOST = "127.0.0.1"
LOCAL_NAMES = {"127.0.0.1", "localhost"}
LONGEST_BODY = 1_000  # bytes; an answer takes about 40
REQUEST_SECONDS = 30  # for a request to arrive
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

    def __init__(
        self, rater: str, edits: Sequence[RatedEdit], paths: Mapping[RatedEdit, Path], ratings: RatingsFile
    ) -> None:
        """Check that every picture is there.

        Raises:
            UserError: one is missing or is not the one that its manifest names.
        """
        self.rater = rater
        self._edits = list(edits)
        self._paths = paths
        self._ratings = ratings
        for edit in self._edits:
            check_picture(edit, paths[edit])

    def state(self) -> dict[str, Any]:
        """Return what the page knows: the answer to every picture, or None, in the order in which they are shown."""
        answers = latest(self._ratings.ratings)
        return {"rater": self.rater, "answers": [answers.get(edit) for edit in self._edits]}

    @property
    def progress(self) -> str:
        """Return how many pictures have an answer, such as ``12 of 60 answered``."""
        answers = self.state()["answers"]
        return f"{len(answers) - answers.count(None)} of {len(answers)} answered"

    def picture(self, number: str) -> bytes:
        """Return a picture as PNG.

        Raises:
            Refused: there is none of this number.
        """
        if not (number.isascii() and number.isdigit() and int(number[:9]) < len(self._edits)):
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such picture")
        edit = self._edits[int(number[:9])]
        return picture_bytes(edit, self._paths[edit])

    def answer(self, body: bytes) -> None:
        """Store ``{"item": number, "answer": answer}``.

        Raises:
            Refused: the body is anything else.
        """
        try:
            row = json.loads(body)
        except ValueError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "the answer is no JSON") from error
        if not isinstance(row, dict) or row.keys() != {"item", "answer"} or row["answer"] not in ANSWERS:
            raise Refused(HTTPStatus.BAD_REQUEST, f"an answer has item and answer, one of {', '.join(ANSWERS)}")
        number = row["item"]
        if type(number) is not int or not 0 <= number < len(self._edits):
            raise Refused(HTTPStatus.BAD_REQUEST, "there is no such picture")
        self._ratings.append(Rating(self._edits[number], row["answer"]))


@contextmanager
def open_session(params: Params, rater: str, count: int, attributes: Sequence[str]) -> Iterator[Session]:
    """Choose ``count`` edits for a rater and open the file of the rater's answers.

    Args:
        attributes: only edits of these; empty: of all in the grid.

    Raises:
        UserError: the rater's name cannot be used or is in use, there is no edit to rate, or the extra ``rate`` is
            not installed.
    """
    require_extra("rate", "flask", "varireal rate")
    ratings_path(rater)
    cells = read_edits(
        attributes or params.grid.attributes, params.grid.feasibilities, exhausted=params.mix.include_exhausted
    )
    paths = {edit: path for edits in cells.values() for edit, path in edits.items()}
    chosen = in_order_for(rater, choose(cells, count, params.seed), params.seed)
    if not chosen:
        raise UserError("the manifests below data/edits hold no accepted edit to rate; see metrics/edit for why")
    with RatingsFile(rater) as ratings:
        yield Session(rater, chosen, paths, ratings)


class RatingServer:
    """Serves one session on the loopback interface; ``url`` is its secret address."""

    def __init__(self, session: Session, port: int = 0) -> None:
        """Bind the port (0: any that is free).

        Raises:
            UserError: the port is taken or not allowed.
        """
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Handler(WSGIRequestHandler):
            timeout = REQUEST_SECONDS

            def version_string(self) -> str:
                return "varireal"

            def log(self, type: str, message: str, *args: Any) -> None:
                """Keep requests, and with them the token, out of the log."""

        self.token = secrets.token_urlsafe(24)
        app = rating_app(session, self.token)
        try:  # werkzeug would print that a port is taken, and exit
            listening = socket.create_server((HOST, port))
        except OSError as error:
            reason = str(error.strerror).partition(" (")[0]  # in brackets stands the address once more
            raise UserError(
                f"port {port} of {HOST} cannot be used ({reason}); choose another with --port, 0 for any"
            ) from error
        with listening:
            self._server = make_server(HOST, port, app, threaded=True, request_handler=Handler, fd=listening.fileno())
        self.server_address: tuple[str, int] = self._server.socket.getsockname()
        self.serve_forever = self._server.serve_forever
        self.shutdown = self._server.shutdown

    def __enter__(self) -> RatingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    @property
    def url(self) -> str:
        """Return the address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"


def rating_app(session: Session, token: str) -> Flask:
    """Return the page of a session, all of it below ``/<token>/``."""
    from flask import Flask, Response, request
    from werkzeug.exceptions import HTTPException

    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # no redirects
    page = f"/{token}/"

    @app.before_request
    def check() -> None:
        _check_host_and_token(request, token)

    @app.get(page)
    def index() -> bytes:
        return _page(session.rater)

    @app.get(f"{page}state")
    def state() -> Response:
        return Response(json.dumps(session.state()), mimetype="application/json")

    @app.get(f"{page}<any({', '.join(map(repr, STATIC))}):name>")
    def static(name: str) -> Response:
        return Response((files("varireal.rating") / "page" / name).read_bytes(), content_type=STATIC[name])

    @app.get(f"{page}picture/", defaults={"number": ""})
    @app.get(f"{page}picture/<path:number>")
    def picture(number: str) -> Response:
        return Response(session.picture(number), mimetype="image/png")

    @app.post(f"{page}answer")
    def answer() -> Response:
        _check_answer(request)
        session.answer(request.get_data())
        return Response("{}", mimetype="application/json")

    @app.errorhandler(Refused)
    def refuse(error: Refused) -> Response:
        return Response(str(error), error.status, mimetype="text/plain")

    @app.errorhandler(HTTPException)
    def refuse_unknown(error: HTTPException) -> Response:
        missing = error.code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
        return refuse(Refused(HTTPStatus.NOT_FOUND, "there is no such page")) if missing else _failed()

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        expected = isinstance(error, UserError)
        logger.error("%s", error if expected else "the page failed", exc_info=None if expected else error)
        return _failed()

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        is_picture = response.mimetype == "image/png"
        response.headers["Cache-Control"] = "private, max-age=3600" if is_picture else "no-store"
        return response

    return app


def _check_host_and_token(request: Request, token: str) -> None:
    if request.headers.get("Host", "").rsplit(":", 1)[0] not in LOCAL_NAMES:
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this page is for this machine only")
    if not hmac.compare_digest(request.path.split("/")[1].encode(), token.encode()):
        raise Refused(HTTPStatus.FORBIDDEN, "this address is old or wrong; use the one that `varireal rate` printed")


def _check_answer(request: Request) -> None:
    """Check where an answer comes from and how long it is, before it is read."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin is not None and origin != f"http://{request.headers.get('Host')}") or site != "same-origin":
        raise Refused(HTTPStatus.FORBIDDEN, "answers are taken from this page only")
    if request.mimetype != "application/json":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "an answer is JSON")
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit() and int(length[:9]) <= LONGEST_BODY):
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "an answer is short and says how long it is")


def _failed() -> Response:
    """Answer without a cause, which may name a picture's folder and so its label."""
    from flask import Response

    text = "this failed; the terminal of `varireal rate` says why"
    return Response(text, HTTPStatus.INTERNAL_SERVER_ERROR, mimetype="text/plain")


def _page(rater: str) -> bytes:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("varireal.rating", "page"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("index.html.j2").render(rater=rater).encode()
