"""Local folders and hub ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from varireal.errors import UserError
from varireal.networks import checkpoints
from varireal.networks.checkpoints import check_checkpoint, checkpoint_identity, is_hub_id


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("models/net")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"weights": np.zeros(2)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("stabilityai/stable-diffusion-2-1-base", True),
        ("models/net", False),
        ("models/missing", False),  # the folder models exists here: a slip, not a hub id
        ("models/demo/net", False),
        ("./models", False),
        ("/models/net", False),
        ("net", False),
    ],
)
def test_hub_ids_are_told_from_folders(folder: Path, name: str, hub: bool) -> None:
    assert is_hub_id(name) is hub


def test_a_good_folder_and_a_hub_id_pass(folder: Path) -> None:
    check_checkpoint("models/net", "segment.checkpoint", "config.json")
    check_checkpoint("owner/name", "segment.checkpoint", "config.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"segment\.checkpoint = 'models/net'.*no config\.json"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), r"no \.safetensors"),
        (lambda folder: folder.rename("elsewhere"), "does not exist"),
    ],
)
def test_what_is_missing_is_named(folder: Path, spoil, message: str) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=message):
        check_checkpoint("models/net", "segment.checkpoint", "config.json")


def test_the_identity_is_the_content_or_the_revision(folder: Path) -> None:
    before = checkpoint_identity("models/net", None)
    assert before == checkpoint_identity("models/net", "ignored")
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert checkpoint_identity("models/net", None) != before


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    checkpoints._hub_commit.cache_clear()
    return tmp_path / "hub"


def test_a_branch_of_the_hub_stands_for_its_cached_commit(hub_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    refs = hub_cache / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("a" * 40)
    (refs / "v2").write_text("b" * 40)
    assert checkpoint_identity("owner/name", None) == f"owner/name@{'a' * 40}"
    assert checkpoint_identity("owner/name", "v2") == f"owner/name@{'b' * 40}"
    assert checkpoint_identity("owner/name", "c" * 40) == f"owner/name@{'c' * 40}"
    assert not caplog.records


def test_a_branch_of_unknown_commit_is_warned_of(hub_cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoint_identity("owner/name", None) == "owner/name@main"
    assert "the commit of its revision main is not known here" in caplog.text
