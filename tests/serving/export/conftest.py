"""A small study whose edits can be exported, in the current folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.serving.conftest import adapter, picture  # noqa: F401 (a fixture)

from varireal import paths
from varireal.base.files import atomic_write_bytes, encode_png, sha256_bytes, write_json
from varireal.base.manifest import FEASIBILITIES, ImageRecord, write_manifest

REPOSITORY = Path(__file__).parents[3]
CLASSES = ["glider", "São <b>jet</b>"]
PROMPT = 'a "lava" <script> glider — naïve'


def _edit(class_index: int, number: int, attribute: str, feasibility: str) -> ImageRecord:
    photo_id = f"class-{class_index}/{number}"
    path = paths.edit_folder(attribute, feasibility) / "images" / f"{photo_id}-0.png"
    data = encode_png(picture(str(path), 24, 30))
    atomic_write_bytes(path, data)
    return ImageRecord(
        f"{photo_id}#{attribute}-{feasibility}-0", path.as_posix(), "edit", "train", CLASSES[class_index], class_index,
        30, 24, sha256_bytes(data), photo_id, "exhausted" if number == 2 else "accepted", attribute=attribute,
        feasibility=feasibility, value="lava", prompt=PROMPT, index=0, seed=2**53 + 1,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of three photos, edited in color and background; the third edit of each class never passed.

    The training set color_mixed holds a feasible edit of one class and an infeasible one of the other.
    """
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["grid"]["attributes"] = ["background", "color"]
    paths.PARAMS.write_text(yaml.safe_dump(params, sort_keys=False))
    write_json(paths.DATASET_INFO, {"name": "test", "domain_word": "aircraft", "classes": CLASSES, "counts": {}})
    mixed = []
    for attribute in ("background", "color"):
        for feasibility in FEASIBILITIES:
            edits = [_edit(index, number, attribute, feasibility) for index in (0, 1) for number in range(3)]
            write_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet", edits)
            if attribute == "color":
                mixed.append(edits[0] if feasibility == "feasible" else edits[4])
    write_manifest(paths.mix_folder("color", "mixed") / "manifest.parquet", mixed)
    return tmp_path
