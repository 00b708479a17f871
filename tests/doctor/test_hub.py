from __future__ import annotations

import pytest
from huggingface_hub import constants
from tests.doctor.conftest import NETWORK, PIPELINE, endpoint

from varireal.doctor import hub
from varireal.doctor.hub import Hub, HubCheckpoint, cached_bytes, needed_bytes

PIPE = HubCheckpoint("edit.inpaint.checkpoint", "someone/pipeline", pipeline=True)
NET = HubCheckpoint("filter.model", "someone/network")
SMALL = 600 + 1_700 + 500_000


@pytest.mark.parametrize(
    ("variant", "expected"),
    [(None, 10_000_000_000 + 300_000_000 + SMALL), ("fp16", 5_000_000_000 + 300_000_000 + SMALL)],
)
def test_of_a_pipeline_one_copy_of_each_networks_weights_counts(variant, expected):
    """The vae has no fp16 file: diffusers takes the plain one."""
    checkpoint = HubCheckpoint("edit.inpaint.checkpoint", "someone/pipeline", variant=variant, pipeline=True)
    assert needed_bytes(PIPELINE.items(), checkpoint) == expected


def test_of_a_network_all_shards_count_and_pickles_do_not():
    assert needed_bytes(NETWORK.items(), NET) == 7_000_000_000 + 1_000 + 2_000_000


def test_where_the_files_are_known_only_they_count():
    checkpoint = HubCheckpoint("clip.model", "someone/network", files=("config.json",), folders=())
    assert needed_bytes(NETWORK.items(), checkpoint) == 1_000


def test_of_an_ip_adapter_its_file_and_its_image_encoder_count():
    files = {
        "sdxl_models/ip-adapter-plus.safetensors": 800,
        "sdxl_models/ip-adapter.safetensors": 700,
        "sdxl_models/image_encoder/model.safetensors": 3_000,
        "models/image_encoder/model.safetensors": 2_000,
        "models/image_encoder/config.json": 20,
    }
    adapter = HubCheckpoint(
        "k", "a/b", files=("sdxl_models/ip-adapter-plus.safetensors",), folders=("models/image_encoder",)
    )
    assert needed_bytes(files.items(), adapter) == 800 + 2_000 + 20


def test_the_hub_is_asked_for_sizes(hub_server):
    asked = Hub(endpoint(hub_server))
    assert asked.size(PIPE) == 10_300_000_000 + SMALL
    assert asked.size(NET) == 7_002_001_000


def test_an_unknown_repository_is_told_from_a_hub_that_fails(hub_server):
    asked = Hub(endpoint(hub_server))
    with pytest.raises(LookupError, match="404"):
        asked.size(HubCheckpoint("k", "someone/nothing"))
    assert asked.size(HubCheckpoint("k", "someone/broken")) == "the hub answers 500"
    assert asked.size(NET) == 7_002_001_000


def test_a_hub_that_hangs_is_given_up_and_not_asked_again(hub_server, monkeypatch):
    monkeypatch.setattr(hub, "SECONDS", 0.3)
    asked = Hub(endpoint(hub_server))
    assert asked.size(HubCheckpoint("k", "someone/slow")).startswith("offline (")
    assert asked.size(NET).startswith("offline (")
    assert "someone/network" not in hub_server.asked


def test_a_hub_that_is_not_there_is_offline():
    assert Hub("http://127.0.0.1:9").size(NET).startswith("offline (")


def test_in_offline_mode_nothing_is_asked(hub_server, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert Hub(endpoint(hub_server)).size(NET) == "offline mode (HF_HUB_OFFLINE)"
    assert hub_server.asked == []


def test_the_cache_is_read_as_the_hubs_library_lays_it_out(hub_cache):
    commit = "c" * 40
    folder = hub_cache / "models--someone--network"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(b"{}")
    assert cached_bytes(NET) is None  # no weights yet
    (snapshot / "model.safetensors").write_bytes(b"0" * 1000)
    assert cached_bytes(NET) == 1002
    assert cached_bytes(HubCheckpoint("k", "someone/network", revision=commit)) == 1002
    assert cached_bytes(HubCheckpoint("k", "someone/network", revision="other")) is None
