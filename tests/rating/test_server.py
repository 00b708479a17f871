"""The server of the rating page: what it shows, and whom it refuses."""

from __future__ import annotations

import http.client
import json
import socket
from collections import Counter
from pathlib import Path

import pytest

from varireal.base.files import read_image, sha256_file
from varireal.errors import UserError
from varireal.rating.server import RatingServer, Session, _page
from varireal.rating.store import FOLDER, RatingsFile, read_ratings

JSON = {"Content-Type": "application/json"}


def ask(server: RatingServer, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def answer(server: RatingServer, body: object, **headers: str) -> int:
    text = body if isinstance(body, str) else json.dumps(body)
    return ask(server, "POST", f"/{server.token}/answer", text, **{**JSON, **headers})[0]


def test_it_listens_on_the_loopback_interface_only(server: RatingServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/{server.token}/" and len(server.token) >= 32


def test_nothing_that_is_sent_tells_a_label(server: RatingServer, finished_study: Path) -> None:
    sent = [ask(server, "GET", f"/{server.token}/{path}") for path in ("", "state", "rate.js", "rate.css")]
    sent += [ask(server, "GET", f"/{server.token}/picture/{number}") for number in range(20)]
    assert {status for status, _ in sent} == {200}
    for word in (b"feasible", b"texture", b"lava", b"glider", b"class-", b"data/edits"):
        assert not any(word in body for _, body in sent), word
    assert json.loads(sent[1][1]) == {"rater": "anna", "answers": [None] * 20}


def test_pictures_are_those_of_the_manifests_and_go_by_number(server: RatingServer, tmp_path: Path) -> None:
    shown = []
    for number in range(20):
        (tmp_path / "shown.png").write_bytes(ask(server, "GET", f"/{server.token}/picture/{number}")[1])
        shown.append(read_image(tmp_path / "shown.png").tobytes())
    edits = sorted(Path("data/edits").glob("*/*/images/**/*.png"))
    by_pixels = Counter(
        read_image(path).tobytes() for path in edits if path.name != "0-0.png" or "class-1" in str(path)
    )
    assert Counter(shown) == by_pixels
    for path in ("20", "-1", "1e0", "%D9%A3", "../../params.yaml", "..%2f..%2fparams.yaml", "", "0/0", "9" * 5000):
        status, body = ask(server, "GET", f"/{server.token}/picture/{path}")
        assert (status, body) == (404, b"there is no such picture"), path
    for path in ("params.yaml", "../params.yaml", "data/edits", "index.html.j2"):
        assert ask(server, "GET", f"/{server.token}/{path}") == (404, b"there is no such page")


@pytest.mark.parametrize("path", ["/", "/state", "//state", "/wrong/state", "/%C3%A4/state", "state", "/{half}/state"])
def test_without_the_token_there_is_nothing(server: RatingServer, path: str) -> None:
    path = path.format(half=server.token[:-1])
    assert ask(server, "GET", path)[0] == 403
    assert ask(server, "POST", path.replace("state", "answer"), "{}", **JSON)[0] == 403


def test_other_names_for_this_machine_are_refused(server: RatingServer) -> None:
    path = f"/{server.token}/state"
    assert [ask(server, "GET", path, Host=host)[0] for host in ("localhost:8123", "127.0.0.1")] == [200, 200]
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""):
        assert ask(server, "GET", path, Host=host)[0] == 421, host


def test_answers_of_other_pages_are_refused(server: RatingServer) -> None:
    good = {"item": 0, "answer": "possible"}
    own = server.url.removesuffix(f"/{server.token}/")
    for headers, status in [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ]:
        assert answer(server, good, **headers) == status, headers
    assert not (FOLDER / "anna.jsonl").read_bytes()
    assert answer(server, good, Origin=own, **{"Sec-Fetch-Site": "same-origin"}) == 200
    assert len(read_ratings(FOLDER / "anna.jsonl")) == 1


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", '"possible"', {}, {"item": 0}, {"item": 0, "answer": "yes"},
     {"item": 20, "answer": "broken"}, {"item": -1, "answer": "broken"}, {"item": True, "answer": "broken"},
     {"item": 0.0, "answer": "broken"},
     {"item": "0", "answer": "broken"}, {"item": 0, "answer": ["broken"]},
     {"item": 0, "answer": "broken", "rater": "ben"}],
)  # fmt: skip
def test_what_is_no_answer_is_not_stored(server: RatingServer, body: object) -> None:
    assert answer(server, body) == 400
    assert not (FOLDER / "anna.jsonl").read_bytes()


def test_a_body_must_be_short_and_say_so(server: RatingServer) -> None:
    assert answer(server, " " * 1001) == 413
    assert answer(server, "{}", **{"Content-Length": "-5"}) == 413
    assert answer(server, "{}", **{"Content-Length": "9" * 30}) == 413


def test_an_answer_is_about_the_picture_that_was_shown(server: RatingServer, tmp_path: Path) -> None:
    assert answer(server, {"item": 7, "answer": "broken"}) == 200
    assert answer(server, {"item": 7, "answer": "impossible"}) == 200
    first, second = read_ratings(FOLDER / "anna.jsonl")
    assert first.edit == second.edit and (first.answer, second.answer) == ("broken", "impossible")
    (tmp_path / "shown.png").write_bytes(ask(server, "GET", f"/{server.token}/picture/7")[1])
    hashes = {sha256_file(path): path for path in Path("data/edits").glob("*/*/images/**/*.png")}
    assert (read_image(hashes[first.edit.sha256]) == read_image(tmp_path / "shown.png")).all()
    state = json.loads(ask(server, "GET", f"/{server.token}/state")[1])
    assert state["answers"][7] == "impossible" and state["answers"].count(None) == 19


def test_a_picture_that_vanishes_is_an_error_without_its_name(server: RatingServer) -> None:
    for path in sorted(Path("data/edits").glob("*/*/images/**/*.png")):
        path.unlink()
    status, body = ask(server, "GET", f"/{server.token}/picture/0")
    assert status == 500 and b"data" not in body


def test_headers_forbid_scripts_and_frames_from_elsewhere(server: RatingServer) -> None:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("GET", f"/{server.token}/")
    headers = connection.getresponse().headers
    connection.close()
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Cache-Control"]) == ("nosniff", "no-store")
    assert (headers["Referrer-Policy"], headers["Access-Control-Allow-Origin"]) == ("no-referrer", None)


def test_the_page_is_escaped() -> None:
    assert b"<b>" not in _page("<b>anna</b>") and b"&lt;b&gt;anna" in _page("<b>anna</b>")


def test_a_missing_picture_or_a_taken_port_ends_it_before_it_begins(finished_study: Path) -> None:
    from varireal.rating.edits import read_edits

    edits = read_edits(["color"], ["feasible"], exhausted=False)["color", "feasible"]
    with RatingsFile("anna") as ratings, socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UserError, match=r"cannot be used .*--port"):
            RatingServer(Session("anna", list(edits), edits, ratings), taken.getsockname()[1])
        next(iter(edits.values())).unlink()
        with pytest.raises(UserError, match="is missing; get it with `dvc checkout`"):
            Session("anna", list(edits), edits, ratings)
