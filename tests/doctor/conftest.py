"""An empty cache of the hub, and a hub on loopback that knows two repositories."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

PIPELINE = {
    "model_index.json": 600,
    "sd_xl_base.safetensors": 6_900_000_000,  # the same weights once more, in one file
    "unet/config.json": 1_700,
    "unet/diffusion_pytorch_model.safetensors": 10_000_000_000,
    "unet/diffusion_pytorch_model.fp16.safetensors": 5_000_000_000,
    "unet/diffusion_pytorch_model.bin": 10_000_000_000,
    "vae/diffusion_pytorch_model.safetensors": 300_000_000,
    "tokenizer/merges.txt": 500_000,
}
NETWORK = {
    "config.json": 1_000,
    "model-00001-of-00002.safetensors": 4_000_000_000,
    "model-00002-of-00002.safetensors": 3_000_000_000,
    "pytorch_model.bin": 7_000_000_000,
    "README.md": 5_000,
    "tokenizer.json": 2_000_000,
}
KNOWN = {"someone/pipeline": PIPELINE, "someone/network": NETWORK}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/api/models/").partition("/revision/")[0]
        self.server.asked.append(name)
        if name == "someone/slow":
            time.sleep(3)
        if name == "someone/broken":
            self._send(500, {"error": "out of order"})
        elif name in KNOWN:
            files = [{"rfilename": file, "size": size} for file, size in KNOWN[name].items()]
            self._send(200, {"id": name, "sha": "0" * 40, "siblings": files})
        else:
            self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)),
                               **(headers or {})}.items():  # fmt: skip
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:  # the client has given up
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub_server() -> Iterator[ThreadingHTTPServer]:
    """A server that speaks as much of the hub's protocol as sizes need; ``asked`` are the names it was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that may be asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


def endpoint(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"
