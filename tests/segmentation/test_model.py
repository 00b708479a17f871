import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    SegformerConfig,
    SegformerForImageClassification,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
)

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.errors import UserError
from varireal.segmentation import SEGMENTERS

LABELS = {0: "sky", 1: "ground", 2: "aircraft", 3: "bird"}
CPU = ComputeConfig(device="cpu")


def tiny_config():
    return SegformerConfig(
        num_labels=4, id2label=LABELS, label2id={name: number for number, name in LABELS.items()},
        depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A tiny SegFormer with random weights, scaled up so that its labels vary over a photo."""
    folder = tmp_path_factory.mktemp("segformer")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = SegformerForSemanticSegmentation(tiny_config()).eval()
    with torch.no_grad():
        for parameter in model.decode_head.parameters():
            parameter.mul_(20)
    model.save_pretrained(folder)
    SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Records of five photos of different sizes."""
    records = []
    for number, (width, height) in enumerate([(40, 40), (64, 48), (100, 33), (40, 40), (57, 90)]):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        path = tmp_path / f"{number}.png"
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
        records.append(
            ImageRecord(f"a/{number}", str(path), "photo", "train", "a", 0, width, height, str(number), f"a/{number}")
        )
    return records


def segmenter(checkpoint, **settings):
    settings = {"object_labels": ["aircraft"], **settings}
    return SEGMENTERS["model"](SegmentConfig(source="model", checkpoint=str(checkpoint), **settings), CPU)


def found_by(one, photos):
    return [segment.mask for segment in one.segment(photos)]


def transformers_labels(checkpoint, photos):
    """The library's own way from photos to labels, one photo at a time."""
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    model = AutoModelForSemanticSegmentation.from_pretrained(checkpoint).eval()
    for photo in photos:
        with torch.no_grad():
            outputs = model(**processor(images=Image.open(photo.path), return_tensors="pt"))
        yield processor.post_process_semantic_segmentation(outputs, [(photo.height, photo.width)])[0].numpy()


def test_masks_are_those_of_transformers_for_photos_of_any_size(checkpoint, photos):
    masks = found_by(segmenter(checkpoint), photos)
    shares = []
    for photo, mask, labels in zip(photos, masks, transformers_labels(checkpoint, photos)):
        expected = labels == 2
        assert mask.dtype == bool and mask.shape == (photo.height, photo.width)
        assert (mask != expected).mean() < 0.002  # a batch may differ from one photo alone in the last bits
        shares.append(expected.mean())
    assert 0.05 < np.mean(shares) < 0.95  # the comparison says something


def test_several_labels_may_count_as_the_object(checkpoint, photos):
    (labels,) = transformers_labels(checkpoint, photos[:1])
    (mask,) = found_by(segmenter(checkpoint, object_labels=["aircraft", "bird"]), photos[:1])
    assert (mask != np.isin(labels, [2, 3])).mean() < 0.002
    assert len(np.unique(labels)) > 1


def test_a_processor_that_keeps_the_photos_size_batches_them_by_shape(checkpoint, photos, tmp_path):
    folder = tmp_path / "kept"
    AutoModelForSemanticSegmentation.from_pretrained(checkpoint).save_pretrained(folder)
    SegformerImageProcessor(do_resize=False).save_pretrained(folder)
    masks = found_by(segmenter(folder), photos)
    for mask, labels in zip(masks, transformers_labels(folder, photos)):
        assert (mask != (labels == 2)).mean() < 0.002


def test_a_threshold_on_the_probability_replaces_the_most_likely_label(checkpoint, photos):
    processor = AutoImageProcessor.from_pretrained(checkpoint)
    model = AutoModelForSemanticSegmentation.from_pretrained(checkpoint).eval()
    for threshold in (0.2, 0.7):
        masks = found_by(segmenter(checkpoint, object_labels=["aircraft", "bird"], threshold=threshold), photos)
        for photo, mask in zip(photos, masks):
            with torch.no_grad():
                logits = model(**processor(images=Image.open(photo.path), return_tensors="pt")).logits
            size = (photo.height, photo.width)
            full = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
            exponentials = np.exp(full[0].double().numpy())
            expected = exponentials[2:4].sum(0) / exponentials.sum(0) > threshold
            assert (mask != expected).mean() < 0.002


def test_masks_do_not_depend_on_the_batch(checkpoint, photos):
    together = found_by(segmenter(checkpoint), photos)
    for photo, mask in zip(photos, together):
        (alone,) = found_by(segmenter(checkpoint), [photo])
        assert (alone != mask).mean() < 0.002  # the last bits of a float may turn a pixel


def test_an_unknown_label_names_those_there_are(checkpoint, photos):
    with pytest.raises(UserError, match=r"names 'aircraf', .*did you mean 'aircraft'\? .*aircraft, bird, ground, sky"):
        segmenter(checkpoint, object_labels=["aircraf"]).segment(photos)


def test_a_missing_folder_is_told_before_any_photo_is_read(tmp_path):
    with pytest.raises(UserError, match=r"segment.checkpoint = .*nowhere.* does not exist"):
        segmenter(tmp_path / "nowhere")


def test_pickled_weights_are_refused(checkpoint, tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match=r"no \.safetensors weights"):
        segmenter(tmp_path)


def copy_of(checkpoint, folder, **changes):
    folder.mkdir(exist_ok=True)
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(changes.get(path.suffix[1:], path.read_bytes()))
    return folder


def test_damaged_weights_are_one_clear_line(checkpoint, photos, tmp_path):
    damaged = copy_of(checkpoint, tmp_path / "copy", safetensors=b"\x00" * 100)
    with pytest.raises(UserError, match=r"segment\.checkpoint = .* cannot be loaded") as caught:
        segmenter(damaged).segment(photos)
    assert "\n" not in str(caught.value)


def test_a_configuration_of_another_shape_is_named_with_its_checkpoint(checkpoint, tmp_path):
    spoilt = copy_of(checkpoint, tmp_path / "copy")
    (spoilt / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"config\.json has another shape .*; get the checkpoint of segment\.check"):
        segmenter(spoilt)


def test_a_model_without_a_segmentation_head_is_refused(photos, tmp_path):
    SegformerForImageClassification(tiny_config()).save_pretrained(tmp_path)
    SegformerImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is no segmentation model: it has no weights for decode_head"):
        segmenter(tmp_path).segment(photos)


def test_the_identity_follows_the_weights_and_the_labels(checkpoint, tmp_path):
    same = copy_of(checkpoint, tmp_path / "same")
    assert segmenter(same).identity() == segmenter(checkpoint).identity()
    assert segmenter(checkpoint, object_labels=["bird"]).identity() != segmenter(checkpoint).identity()
    settings = json.loads((checkpoint / "preprocessor_config.json").read_text())
    other = copy_of(checkpoint, tmp_path / "other", json=json.dumps({**settings, "size": 32}).encode())
    assert segmenter(other).identity() != segmenter(checkpoint).identity()
