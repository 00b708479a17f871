import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.segmentation import tiny_checkpoints as tiny

from varireal import paths
from varireal.base.files import atomic_write_bytes, encode_png, read_json, sha256_folder
from varireal.base.manifest import read_manifest, write_manifest
from varireal.errors import UserError
from varireal.stages.segment import command


def segment():
    return CliRunner().invoke(command, [], catch_exceptions=False)


@pytest.fixture
def masks(workspace, change_params):
    """True masks of all photos but one: 256 of 1024 pixels, one of them empty."""
    records = []
    for record in read_manifest(paths.PHOTOS_MANIFEST):
        mask = np.zeros((32, 32), np.uint8)
        if record.image_id != "glider/train-0":
            mask[8:24, 8:24] = 255
        path = paths.PREPARED / "masks" / f"{record.image_id}.png"
        atomic_write_bytes(path, encode_png(mask))
        mask_path = None if record.image_id == "trijet/train-1" else path.as_posix()
        records.append(dataclasses.replace(record, mask_path=mask_path))
    write_manifest(paths.PHOTOS_MANIFEST, records)
    change_params("segment.source", "dataset")


@pytest.fixture
def tiny_segformer(workspace, change_params):
    """A SegFormer that calls every pixel an aircraft."""
    import torch
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        id2label={0: "background", 1: "aircraft"}, label2id={"background": 0, "aircraft": 1}, depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 8, 8], num_attention_heads=[1, 1, 1, 1], decoder_hidden_size=8,
    )  # fmt: skip
    model = SegformerForSemanticSegmentation(config)
    with torch.no_grad():
        model.decode_head.classifier.weight.zero_()
        model.decode_head.classifier.bias.copy_(torch.tensor([0.0, 1.0]))
    model.save_pretrained("segformer")
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained("segformer")
    change_params("segment.checkpoint", "segformer")
    change_params("segment.source", "model")


def test_masks_of_the_data_set_go_into_the_manifest_of_train_photos(masks):
    segment()
    records = read_manifest(paths.MASKS_MANIFEST)
    assert {record.split for record in records} == {"train"} and len(records) == 12
    assert {record.image_id: record.note.partition(":")[0] for record in records if record.status == "failed"} == {
        "glider/train-0": "empty", "trijet/train-1": "no mask",
    }  # fmt: skip
    assert all(Path(record.mask_path).is_file() for record in records if record.mask_path)
    assert read_json(paths.METRICS / "segment.json") == {
        "photos": 12, "failures": 2, "failure_share": 2 / 12, "failures_by_reason": {"empty": 1, "no mask": 1},
        "fallbacks": 0, "fallback_share": 0,
    }  # fmt: skip


def test_a_checkpoint_is_compared_with_the_true_masks(masks, tiny_segformer, change_params):
    change_params("segment.max_area", 1.0)
    change_params("segment.max_border", 1.0)
    segment()
    metrics = read_json(paths.METRICS / "segment.json")
    # full masks against 256 of 1024 pixels, in 10 photos, and against an empty mask in one
    assert metrics["mean_iou"] == pytest.approx(10 / 11 * 0.25, abs=1e-6)
    assert metrics["iou_per_class"] == {"trijet": 0.25, "biplane": 0.25, "glider": 0.1875}
    assert metrics["failures"] == 0


def test_segmenting_again_finds_the_kept_masks(masks, tiny_segformer, change_params, monkeypatch):
    change_params("segment.max_area", 1.0)
    change_params("segment.max_border", 1.0)
    segment()
    first = sha256_folder(paths.SEGMENTED)
    monkeypatch.setattr("transformers.AutoModelForSemanticSegmentation.from_pretrained", None)  # would raise if called
    segment()
    assert sha256_folder(paths.SEGMENTED) == first


@pytest.fixture
def asked_with_words(workspace, change_params):
    """Tiny networks that are asked with words, and checks that every mask of random networks passes."""
    change_params("segment.detector", {"checkpoint": str(tiny.save_grounding_dino(workspace / "dino"))})
    change_params("segment.sam2", {"checkpoint": str(tiny.save_sam2(workspace / "sam2"))})
    change_params("segment.sam3", {"checkpoint": str(tiny.save_sam3(workspace / "sam3")), "score_threshold": 0.9})
    change_params("segment.clipseg", {"checkpoint": str(tiny.save_clipseg(workspace / "clipseg"))})
    for key, value in {"min_area": 0.0, "max_area": 1.0, "max_border": 1.0, "min_main_fragment": 0.0}.items():
        change_params(f"segment.{key}", value)
    change_params("segment.fallback", "clipseg")


def test_the_fallback_finds_what_the_source_does_not(asked_with_words, change_params, monkeypatch):
    change_params("segment.source", "sam3")
    segment()
    metrics = read_json(paths.METRICS / "segment.json")
    assert metrics["fallbacks"] == 12 - metrics["failures_by_reason"].get("no mask", 0) > 0
    found = [record for record in read_manifest(paths.MASKS_MANIFEST) if record.status == "ok"]
    for record in found:
        details = json.loads(record.settings)
        assert details["source"] == "clipseg" and details["phrase"] == f"{record.class_name} aircraft"
    first = sha256_folder(paths.SEGMENTED)
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", None)  # would raise if called
    segment()
    assert sha256_folder(paths.SEGMENTED) == first


def test_detector_and_sam2_make_masks_of_the_photos(asked_with_words, change_params):
    change_params("segment.source", "grounded_sam2")
    change_params("segment.detector.box_threshold", 0.01)
    change_params("segment.detector.text_threshold", 0.01)
    change_params("segment.query", "domain")
    segment()
    found = [json.loads(record.settings) for record in read_manifest(paths.MASKS_MANIFEST) if record.settings]
    boxes = [details["box"] for details in found if "box" in details]
    assert boxes and {details["phrase"] for details in found} == {"aircraft"}
    sources = read_json(paths.METRICS / "segment.json")["sources"]
    assert sources["grounded_sam2"]["photos"] >= len(boxes)


def test_a_missing_fallback_is_told_first(asked_with_words, change_params):
    change_params("segment.source", "sam3")
    change_params("segment.clipseg.checkpoint", "models/none/here")
    with pytest.raises(
        UserError, match=r"segment\.clipseg\.checkpoint = 'models/none/here': this folder does not exist"
    ):
        segment()


def test_no_usable_mask_is_an_error_and_leaves_nothing(masks, tiny_segformer):
    with pytest.raises(UserError, match=r"not one of 12 masks is usable .*too large: 100\.00%"):
        segment()
    assert not paths.SEGMENTED.exists() and not (paths.METRICS / "segment.json").exists()


def test_a_missing_checkpoint_is_told_first(workspace, change_params):
    change_params("segment.source", "model")
    change_params("segment.checkpoint", "models/none/here")
    paths.PHOTOS_MANIFEST.unlink()
    with pytest.raises(UserError, match=r"segment\.checkpoint = 'models/none/here': this folder does not exist"):
        segment()


def test_a_data_set_without_masks_is_told(workspace, change_params):
    change_params("segment.source", "dataset")
    with pytest.raises(UserError, match="the data set has no masks"):
        segment()


def test_a_missing_photo_is_named(tiny_segformer):
    record = next(record for record in read_manifest(paths.PHOTOS_MANIFEST) if record.split == "train")
    Path(record.path).unlink()
    with pytest.raises(UserError, match=f"{record.path} does not exist"):
        segment()
