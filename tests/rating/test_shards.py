"""The rating page over edits in tar shards, with rejected attempts kept beside them: nothing else than with files."""

from __future__ import annotations

import dataclasses
import http.client
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal import paths
from varireal.base.files import encode_png, read_file, read_image
from varireal.base.manifest import ImageRecord, read_manifest, write_manifest
from varireal.cli import main
from varireal.config import EditConfig, InpaintConfig, PriorConfig
from varireal.editing.storage import STORAGES
from varireal.errors import UserError
from varireal.rating.edits import RatedEdit, choose, in_order_for, picture_bytes, read_edits
from varireal.rating.server import RatingServer

SHARD = paths.edit_folder("color", "feasible") / "shards" / "000000.tar"


def store_anew(folder: Path, storage: str) -> None:
    """Store the edits of a cell once more, each with an attempt that was rejected: the edit's negative."""
    settings = {"prior": PriorConfig(source="pictures"), "inpaint": InpaintConfig(), "recipes": {}}
    records, kept = read_manifest(folder / "manifest.parquet"), folder.with_name("new")
    with STORAGES[storage](kept, EditConfig(method="paste", storage=storage, **settings)) as store:
        for place, record in enumerate(records):
            negative = encode_png(255 - read_image(Path(record.path)))
            pictures = {"image": read_file(Path(record.path)), "attempt-0": negative}
            paths = {k: f"{folder.as_posix()}/{p}" for k, p in store(f"{record.photo_id}-0", pictures).items()}
            tried = [{"seed": 1, "accepted": False, "scores": {}, "path": paths["attempt-0"]}]
            tried.append({"seed": 2, "accepted": record.status == "accepted", "scores": {}})
            records[place] = dataclasses.replace(
                record, path=paths["image"], prior_path=None, attempts=json.dumps(tried)
            )
    shutil.rmtree(folder)
    kept.rename(folder)
    write_manifest(folder / "manifest.parquet", records)


@pytest.fixture(params=["files", "shards"])
def edits(request: pytest.FixtureRequest, finished_study: Path) -> list[ImageRecord]:
    """The edits of all four cells, stored in this way."""
    folders = [paths.edit_folder(a, f) for a in ("color", "texture") for f in ("feasible", "infeasible")]
    for folder in folders:
        store_anew(folder, request.param)
    return [record for folder in folders for record in read_manifest(folder / "manifest.parquet")]


def shown(server: RatingServer, number: int, folder: Path) -> tuple[int, bytes]:
    """Return the status of a picture, and its pixels or what stands in their place."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("GET", f"/{server.token}/picture/{number}")
    response = connection.getresponse()
    status, body = response.status, response.read()
    connection.close()
    if status != 200:
        return status, body
    (folder / "shown.png").write_bytes(body)
    return status, read_image(folder / "shown.png").tobytes()


def test_a_rater_sees_every_accepted_edit_and_no_rejected_attempt(
    edits: list[ImageRecord], server: RatingServer, tmp_path: Path
) -> None:
    pixels = Counter(read_image(Path(edit.path)).tobytes() for edit in edits if edit.status == "accepted")
    attempts = [read_image(Path(json.loads(edit.attempts)[0]["path"])) for edit in edits]
    found = [shown(server, number, tmp_path) for number in range(20)]
    assert {status for status, _ in found} == {200}
    assert Counter(seen for _, seen in found) == pixels and sum(pixels.values()) == 20
    assert len(attempts) == 24 and not {attempt.tobytes() for attempt in attempts} & set(pixels)
    assert shown(server, 20, tmp_path) == (404, b"there is no such picture")


def test_with_exhausted_edits_a_rater_sees_the_best_of_each(edits: list[ImageRecord]) -> None:
    cells = read_edits(["color", "texture"], ["feasible", "infeasible"], exhausted=True)
    chosen = {item: path for cell in cells.values() for item, path in cell.items()}
    assert len(chosen) == len(edits) == 24
    assert {path.as_posix() for path in chosen.values()} == {edit.path for edit in edits}
    tried = {json.loads(edit.attempts)[0]["path"] for edit in edits}
    assert len(tried) == 24 and not tried & {path.as_posix() for path in chosen.values()}


def test_the_storage_changes_neither_choice_nor_order(finished_study: Path) -> None:
    """So ratings given before the storage was changed still count."""

    def asked() -> list[tuple[RatedEdit, bytes]]:
        cells = read_edits(["color"], ["feasible", "infeasible"], exhausted=False)
        paths = {item: path for cell in cells.values() for item, path in cell.items()}
        return [(item, picture_bytes(item, paths[item])) for item in in_order_for("anna", choose(cells, 7, 0), 0)]

    before = asked()
    for feasibility in ("feasible", "infeasible"):
        store_anew(paths.edit_folder("color", feasibility), "shards")
    assert asked() == before and len(before) == 7
    assert SHARD.is_file()


@pytest.mark.parametrize("edits", ["shards"], indirect=True)
@pytest.mark.parametrize("damage", ["cut short", "another picture", "no index", "gone"])
def test_a_damaged_shard_is_one_line_before_anything_is_served(edits: list[ImageRecord], damage: str) -> None:
    data = SHARD.read_bytes()
    if damage == "cut short":
        SHARD.write_bytes(data[:-512])
    elif damage == "another picture":
        place = json.loads(SHARD.with_suffix(".json").read_text())["files"]["class-1/1-0.png"][0]
        SHARD.write_bytes(data[: place + 50] + bytes([data[place + 50] ^ 1]) + data[place + 51 :])
    else:
        (SHARD.with_suffix(".json") if damage == "no index" else SHARD).unlink()
    result = CliRunner().invoke(main, ["rate", "--rater", "anna"])
    assert isinstance(result.exception, UserError) and result.output == ""
    message = str(result.exception)
    assert SHARD.as_posix() in message and "dvc checkout" in message and "\n" not in message


@pytest.mark.parametrize("edits", ["shards"], indirect=True)
def test_a_shard_that_is_damaged_while_it_is_rated_says_so_in_the_terminal_alone(
    edits: list[ImageRecord], server: RatingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SHARD.write_bytes(SHARD.read_bytes()[:-512])
    found = [shown(server, number, tmp_path) for number in range(20)]
    failed = [body for status, body in found if status == 500]
    assert len(failed) == 5  # the accepted ones of its cell; a label would be in its path
    assert set(failed) == {b"this failed; the terminal of `varireal rate` says why"}
    assert SHARD.as_posix() in caplog.text
