"""A rating session on the finished study: twenty accepted edits, five in each of four cells."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from varireal.rating.edits import choose, in_order_for, read_edits
from varireal.rating.server import RatingServer, Session
from varireal.rating.store import RatingsFile


@pytest.fixture
def server(finished_study: Path) -> Iterator[RatingServer]:
    """The page of rater anna, served."""
    cells = read_edits(["color", "texture"], ["feasible", "infeasible"], exhausted=False)
    paths = {item: path for edits in cells.values() for item, path in edits.items()}
    with RatingsFile("anna") as ratings:
        session = Session("anna", in_order_for("anna", choose(cells, 60, 0), 0), paths, ratings)
        with RatingServer(session) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield server
            server.shutdown()
            thread.join()
