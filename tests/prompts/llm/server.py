"""An HTTP server on loopback that speaks the chat-completions protocol, and misbehaves when it is told to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

POOLS = {
    "background": {
        "feasible": ["meadow", "beach", "kitchen", "garden", "forest", "harbour"],
        "infeasible": ["lava", "moon", "aquarium", "furnace", "stratosphere", "glacier cave"],
    },
    "color": {
        "feasible": ["black", "white", "grey", "cream", "ginger", "fawn"],
        "infeasible": ["lime", "purple", "turquoise", "magenta", "orange", "blue"],
    },
    "texture": {
        "feasible": ["velvet", "wool", "silk", "felt", "plush", "corduroy"],
        "infeasible": ["brick", "marble", "honeycomb", "gravel", "tinfoil", "circuit"],
    },
}
_FEASIBLE = {name for kinds in POOLS.values() for name in kinds["feasible"]}


def proposal(attribute: str, name: str, position: int = 0) -> dict[str, Any]:
    """Return one item as a well-behaved model gives it."""
    fields: dict[str, Any] = {"name": name, "description": f"a look at {name}"}
    if attribute == "background":
        fields["phrase"] = f"in a {name}"
    if attribute == "color":
        fields |= {"red": 40 * position, "green": 250 - 40 * position, "blue": 10 if name in _FEASIBLE else 240}
    return fields


def good_text(request: dict[str, Any]) -> str:
    """Answer a question as a sensible model would: known values, as many as asked for, judged by what is known."""
    system, user = (message["content"] for message in request["messages"])
    if system.startswith("You check"):
        values = re.findall(r"^(\d+)\. (.+)$", user, re.M)
        judged = [
            {"number": int(number), "reason": "it is so",
             "verdict": "feasible" if any(name in phrase.split() for name in _FEASIBLE) else "infeasible"}
            for number, phrase in values
        ]  # fmt: skip
        return json.dumps({"judgements": judged})
    attribute = re.search(r"Attribute: (\w+)", user).group(1)
    kind = "infeasible" if re.search(r"cannot|never", user.split("List exactly")[1].split(".")[0]) else "feasible"
    count = int(re.search(r"List exactly (\d+)", user).group(1))
    names = [name for name in POOLS[attribute][kind] if f'"{name}"' not in user][:count]
    pool = POOLS[attribute][kind]
    return json.dumps({"items": [proposal(attribute, name, pool.index(name)) for name in names]})


def body(text: str | None, finish: str = "stop", **message: Any) -> bytes:
    """Return a whole answer of the protocol around a text."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


Trick = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for its acknowledgement
    server: FakeEndpoint

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), request))
            trick = self.server.tricks.pop(0) if self.server.tricks else None
        (trick or self.server.default)(self, request)

    def send(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


class FakeEndpoint(ThreadingHTTPServer):
    """What was asked, and the tricks to play on the next requests before it behaves again."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.tricks: list[Trick] = []
        self.default: Trick = lambda handler, request: handler.send(200, body(good_text(request)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def status(code: int, content: bytes = b"", **headers: str) -> Trick:
    """Answer with an error."""
    return lambda handler, _: handler.send(code, content, **headers)


def says(text: str | None, **options: Any) -> Trick:
    """Answer with a text of one's own."""
    return lambda handler, _: handler.send(200, body(text, **options))


def wraps(change: Callable[[str], str]) -> Trick:
    """Answer well, but changed."""
    return lambda handler, request: handler.send(200, body(change(good_text(request))))


def sleeps(seconds: float) -> Trick:
    """Answer later than the client waits."""
    return lambda handler, _: time.sleep(seconds)


def cuts(handler: Handler, request: dict[str, Any]) -> None:
    """Promise a whole answer, send half of it and hang up."""
    content = body(good_text(request))
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    handler.close_connection = True
