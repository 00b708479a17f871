"""The merged model, loaded by plain open_clip and by MLflow."""

from __future__ import annotations

import base64
import json
import stat

import numpy as np
import open_clip
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tests.serving.conftest import CLASSES, SENTENCES, make_adapter, picture

from varireal.base.files import encode_png
from varireal.cli import main
from varireal.config import ClipConfig
from varireal.training.lora import load_adapter


def export(*arguments: object):
    result = CliRunner().invoke(main, ["export", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def logits(model, images: torch.Tensor) -> torch.Tensor:
    tokens = open_clip.get_tokenizer("ViT-B-16")(SENTENCES)[:, :24]
    with torch.no_grad():
        texts = model.encode_text(tokens, normalize=True)
        return model.logit_scale.exp() * model.encode_image(images, normalize=True) @ texts.T


def pixels(side: int) -> torch.Tensor:
    return torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_plain_open_clip_loads_the_merged_model_with_the_logits_of_the_adapter(adapter, tiny_clip, tmp_path):
    export("--model", adapter, tmp_path / "out")
    exported, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    base, _, base_transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    plain = logits(base, pixels(32))
    found, expected = logits(exported, pixels(32)), logits(load_adapter(base, adapter), pixels(32))
    assert (found - expected).abs().max() <= 1e-4 < 0.1 < (found - plain).abs().max()
    assert set(exported.state_dict()) == set(open_clip.create_model(f"local-dir:{tiny_clip}").state_dict())
    image = Image.fromarray(picture("a"))
    assert torch.equal(transform(image), base_transform(image))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "open_clip_config.json", "open_clip_model.safetensors", "varireal.json",
    }  # fmt: skip
    assert stat.S_IMODE((tmp_path / "out/open_clip_model.safetensors").stat().st_mode) == 0o644
    export("--model", adapter, tmp_path / "again")
    for name in ("open_clip_config.json", "open_clip_model.safetensors", "varireal.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_the_activation_of_a_tag_survives_the_export(tiny_clip, tmp_path, monkeypatch):
    """A tag of OpenAI's weights switches QuickGELU on without its model's name saying so; the folder must say it."""
    config = json.loads((tiny_clip / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/tiny-vit.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    monkeypatch.setattr("varireal.networks.clip.check_name", lambda *_: True)
    adapter = make_adapter(
        tmp_path / "adapters", ClipConfig(model="tiny-vit", pretrained=str(tiny_clip / "open_clip_model.safetensors"))
    )
    export("--model", adapter, tmp_path / "out")
    saved = json.loads((tmp_path / "out/open_clip_config.json").read_text())
    assert saved["model_cfg"]["quick_gelu"] is True
    quick = open_clip.create_model(f"local-dir:{tmp_path / 'out'}")
    base = open_clip.create_model(f"local-dir:{tiny_clip}", force_quick_gelu=True)
    expected = logits(load_adapter(base, adapter), pixels(32))
    assert (logits(quick, pixels(32)) - expected).abs().max() <= 1e-4


@pytest.fixture(scope="module")
def served(tiny_clip, tmp_path_factory):
    """The exported MLflow model, loaded; what plain open_clip says with the adapter on; the folder, and its files as
    exported (Python adds compiled code to it when it is loaded)."""
    import mlflow

    folder = tmp_path_factory.mktemp("served")
    adapter = make_adapter(folder / "adapters", ClipConfig(model=f"local-dir:{tiny_clip}", pretrained=None))
    export("--model", adapter, "--format", "mlflow", folder / "model")
    exported = [path.relative_to(folder / "model") for path in (folder / "model").rglob("*") if path.is_file()]
    base, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    images = torch.stack([transform(Image.fromarray(picture(name))) for name in ("a", "b")])
    expected = logits(load_adapter(base, adapter), images).softmax(1).numpy()
    return mlflow.pyfunc.load_model(str(folder / "model")), expected, folder / "model", exported


def encoded(name: str) -> str:
    return base64.b64encode(encode_png(picture(name))).decode()


def test_mlflow_answers_photos_with_classes(served):
    import pandas as pd

    model, expected, _, _ = served
    found = model.predict(pd.DataFrame({"image": [encoded("a"), encoded("b")]}), params={"top": 2})
    for row, truth in zip(found.to_dict("records"), expected):
        order = np.argsort(-truth)[:2]
        assert row["classes"] == [CLASSES[index] for index in order] and row["class"] == row["classes"][0]
        np.testing.assert_allclose(row["probabilities"], truth[order], atol=1e-4)
        assert row["probability"] == row["probabilities"][0]
    assert len(model.predict(pd.DataFrame({"image": [encoded("a")]}))["classes"][0]) == 3  # all of three


def test_the_models_signature_fits_its_example_and_its_answers(served):
    from mlflow.models import Model

    model, _, folder, exported = served
    about = Model.load(str(folder))
    assert [column.name for column in about.signature.inputs] == ["image", "path"]
    example = about.load_input_example(str(folder))
    answer = model.predict(example)
    assert list(answer.columns) == [column.name for column in about.signature.outputs]
    names = {path.suffix for path in exported}
    assert not names & {".pkl", ".pickle", ".bin", ".pt", ".pyc"}, names
    assert {path.name for path in folder.iterdir()} >= {"MLmodel", "requirements.txt", "varireal.json", "code"}


def test_paths_are_read_below_the_folder_of_photos_only(served, tmp_path, monkeypatch):
    import pandas as pd
    from mlflow.exceptions import MlflowException

    model, expected, _, _ = served
    (tmp_path / "photos").mkdir()
    for path in ("photos/a.png", "outside.png"):
        (tmp_path / path).write_bytes(encode_png(picture("a")))
    monkeypatch.delenv("VARIREAL_PHOTOS", raising=False)
    with pytest.raises(MlflowException, match="path is not allowed here, as VARIREAL_PHOTOS names no folder"):
        model.predict(pd.DataFrame({"path": ["a.png"]}))
    monkeypatch.setenv("VARIREAL_PHOTOS", str(tmp_path / "photos"))
    found = model.predict(pd.DataFrame({"path": ["a.png"]}))
    assert found["probability"][0] == pytest.approx(expected[0].max(), abs=1e-4)
    for outside in ("../outside.png", str(tmp_path / "outside.png")):
        with pytest.raises(MlflowException, match="leads out of the folder of photos"):
            model.predict(pd.DataFrame({"path": [outside]}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "no base64!"}, "row 0: image is no base64"),
        ({"image": base64.b64encode(b"no picture").decode()}, r"the image of row 0 cannot be read \(it is no picture"),
        ({"image": None}, r"row 0: give either image \(the photo's file in base64\) or path, found \[\]"),
        ({"image": "AAAA", "path": "a.png"}, r"found \['image', 'path'\]"),
    ],
)
def test_a_photo_that_cannot_be_read_is_a_bad_request_of_one_line(served, row, message):
    import pandas as pd
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=message) as caught:
        served[0].predict(pd.DataFrame([row]).astype(object))
    assert caught.value.get_http_status_code() == 400


def test_the_package_lies_within_the_model(served):
    assert (served[2] / "code/varireal/serving/classify.py").is_file()
