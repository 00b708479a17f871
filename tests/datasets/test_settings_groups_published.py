"""The settings groups of the published data sets, composed as `dvc exp run -S dataset=...` composes them."""

from pathlib import Path

import pytest
from dvc.exceptions import DvcException
from dvc.utils.hydra import load_hydra_plugins
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tests.datasets import published_layouts as layouts

from varireal.config import Params
from varireal.datasets import open_dataset
from varireal.prompts.bank import BankSource

REPOSITORY = Path(__file__).parents[2]
CONF = REPOSITORY / "conf"
load_hydra_plugins(str(REPOSITORY / ".dvc/plugins"))
NAMES = ("oxford_pets", "fgvc_aircraft", "stanford_cars", "waterbirds")


def composed(name, *overrides):
    with initialize_config_dir(str(CONF), version_base=None):
        chosen = compose("config", overrides=[f"dataset={name}", *overrides])
        return Params.model_validate(OmegaConf.to_container(chosen, resolve=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_group_composes_and_names_files_that_exist(name):
    params = composed(name)
    assert params.dataset.name == name and params.dataset.root == f"data/raw/{name}"
    assert all((REPOSITORY / path).exists() for path in params.watch.values())
    assert (REPOSITORY / params.prompt.bank).is_file()
    assert params.segment.source == ("dataset" if name == "oxford_pets" else "model")


@pytest.mark.parametrize("name", NAMES)
def test_all_photos_are_taken_on_request(name):
    params = composed(name, "dataset.train_per_class=null", "dataset.val_per_class=null", "dataset.root=elsewhere")
    assert (params.dataset.train_per_class, params.dataset.val_per_class) == (None, None)
    assert params.dataset.root == "elsewhere"


@pytest.mark.parametrize("name", NAMES)
def test_given_masks_are_taken_on_request(name):
    overrides = ["segment.source=dataset"] + (["dataset.masks_root=masks"] if name != "oxford_pets" else [])
    assert composed(name, *overrides).dataset.has_masks
    if name != "oxford_pets":
        with pytest.raises(DvcException, match=r"needs dataset\.masks_root"):
            composed(name, "segment.source=dataset")


@pytest.mark.parametrize("name", NAMES)
def test_the_bank_knows_the_classes_as_the_data_set_writes_them(name, tmp_path):
    params = composed(name)
    root = getattr(layouts, name)(tmp_path)
    settings = params.dataset.model_copy(update={"root": str(root), "complete": False})
    classes = open_dataset(settings, 0).classes
    needed = dict.fromkeys(params.grid.attributes, params.grid.feasibilities)
    bank = BankSource(
        params.prompt.model_copy(update={"bank": str(REPOSITORY / params.prompt.bank)}), params.compute, 0
    )
    table = bank.table(classes, params.dataset.domain_word, needed)
    for class_name in classes:
        for attribute in params.grid.attributes:
            for feasibility in params.grid.feasibilities:
                assert len(table.specs(attribute, feasibility, class_name)) >= 4
