"""The settings group for one's own photos, composed as `dvc exp run -S dataset=image_folder ...` composes it."""

from pathlib import Path

import pytest
from dvc.utils.hydra import load_hydra_plugins
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from varireal.config import Params

CONF = Path(__file__).parents[2] / "conf"
load_hydra_plugins(str(CONF.parent / ".dvc/plugins"))


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base=None):
        return OmegaConf.to_container(compose("config", overrides=["dataset=image_folder", *overrides]), resolve=True)


def test_the_group_is_complete_and_follows_the_folders():
    params = Params.model_validate(
        composed("dataset.root=here", "dataset.masks_root=masked", "edit.prior.pictures=there")
    )
    assert (params.dataset.name, params.dataset.root) == ("image_folder", "here")
    assert (params.watch["photos"], params.watch["masks"], params.watch["pictures"]) == ("here", "masked", "there")
    assert params.filter.name == "none"  # the demo's CLIP knows the rendered world only
    assert (params.edit.method, params.segment.source) == ("paste", "dataset")


def test_masks_may_come_from_a_checkpoint_instead():
    params = Params.model_validate(composed("dataset.masks_root=null", "segment.source=model"))
    assert params.dataset.masks_root is None and params.watch["masks"] == "src/varireal/base"


@pytest.mark.parametrize(
    ("models", "source"), [("demo", "model"), ("sdxl", "grounded_sam2"), ("sd15", "grounded_sam2")]
)
def test_without_masks_alone_the_networks_of_the_models_are_asked_for_the_domain_word(models, source):
    params = Params.model_validate(composed("dataset.masks_root=null", "dataset.domain_word=pet", f"models={models}"))
    assert (params.segment.source, params.segment.object_labels) == (source, ["pet"])


def test_no_setting_of_the_default_data_set_is_left_out():
    default = set(OmegaConf.load(CONF / "dataset" / "rendered_aircraft.yaml"))
    assert set(OmegaConf.load(CONF / "dataset" / "image_folder.yaml")) >= default
