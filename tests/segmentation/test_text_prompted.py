"""Grounding DINO + SAM 2, SAM 3 and CLIPSeg: tiny random networks, from `from_pretrained` to masks."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.segmentation import tiny_checkpoints as tiny

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.errors import UserError
from varireal.segmentation import SEGMENTERS
from varireal.segmentation.base import object_phrase

CPU = ComputeConfig(device="cpu")
SIZES = [(40, 40), (64, 48), (100, 33), (40, 40), (57, 90)]
SOURCES = ("grounded_sam2", "sam3", "clipseg")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    root = tmp_path_factory.mktemp("zoo")
    return {
        "detector": tiny.save_grounding_dino(root / "dino"),
        "sam2": tiny.save_sam2(root / "sam2"),
        "sam3": tiny.save_sam3(root / "sam3"),
        "clipseg": tiny.save_clipseg(root / "clipseg"),
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Records of five photos of different sizes, of classes whose phrases differ in length."""
    folder = tmp_path_factory.mktemp("photos")
    records = []
    for number, (width, height) in enumerate(SIZES):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        path = folder / f"{number}.png"
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(path)
        name = ("St. Bernard", "pug")[number % 2]
        records.append(
            ImageRecord(f"a/{number}", str(path), "photo", "train", name, 0, width, height, str(number), f"a/{number}")
        )
    return records


def settings(zoo, **changes):
    """A configuration that knows all checkpoints; thresholds so low that random networks find something."""
    sections = {name: {"checkpoint": str(folder)} for name, folder in zoo.items()}
    sections["detector"] |= {"box_threshold": 0.01, "text_threshold": 0.01}
    sections["sam3"] |= {"score_threshold": 0.01, "mask_threshold": 0.5}
    for name, values in changes.pop("sections", {}).items():
        sections[name] = {**sections[name], **values}
    return SegmentConfig(**{"min_area": 0.0, **sections, **changes})


def made(zoo, source, compute=CPU, **changes):
    return SEGMENTERS[source](settings(zoo, source=source, **changes), compute, "dog")


@pytest.fixture(scope="module")
def found(zoo, photos):
    """What every source finds in the photos, as one batch."""
    return {source: made(zoo, source).segment(photos) for source in SOURCES}


def test_phrases_follow_class_and_domain(photos):
    assert object_phrase(photos[0], "dog", "class") == "st bernard dog"
    assert object_phrase(photos[1], "dog", "class") == "pug dog"
    assert object_phrase(photos[1], "dog", "domain") == "dog"
    assert object_phrase(photos[1], "", "class") == "pug"
    odd = dataclasses.replace(photos[0], class_name="F.28 Fellowship?")
    assert object_phrase(odd, "aircraft", "class") == "f 28 fellowship aircraft"


@pytest.mark.parametrize("source", SOURCES)
def test_masks_have_the_photos_sizes_and_say_how_they_were_found(source, found, photos):
    assert any(segment is not None for segment in found[source])
    for photo, segment in zip(photos, found[source]):
        if segment is not None:
            assert segment.mask.dtype == bool and segment.mask.shape == (photo.height, photo.width)
            assert segment.details["phrase"] == object_phrase(photo, "dog", "class")
            assert 0 < segment.details["score"] <= 1
            json.dumps(segment.details)
            if source != "clipseg":
                left, top, right, bottom = segment.details["box"]
                assert 0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height


@pytest.mark.parametrize("source", SOURCES)
def test_results_depend_neither_on_the_batch_nor_on_the_run(source, found, photos, zoo):
    again = made(zoo, source)
    for photo, segment in zip(photos, found[source]):
        (alone,) = again.segment([photo])
        assert (alone is None) == (segment is None)
        if segment is not None:
            assert alone.details["phrase"] == segment.details["phrase"]
            assert alone.details["score"] == pytest.approx(segment.details["score"], abs=2e-4)
            assert (alone.mask != segment.mask).mean() < 0.005  # the last bits of a float may turn a pixel
    for one, other in zip(again.segment(photos), found[source]):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.mask, other.mask)
            assert one.details == other.details


def matching(boxes, scores, segment):
    """The detections that a segment's rounded details may stand for: random networks repeat themselves."""
    same_box = (boxes - torch.tensor(segment.details["box"])).abs().max(-1).values < 0.06
    places = torch.nonzero(same_box & ((scores - segment.details["score"]).abs() < 2e-4)).flatten().tolist()
    assert places
    return places


def test_the_box_and_its_mask_are_those_of_the_plain_library_calls(zoo, photos, found):
    from transformers import (
        GroundingDinoForObjectDetection,
        GroundingDinoProcessor,
        Sam2Model,
        Sam2Processor,
    )

    dino_processor = GroundingDinoProcessor.from_pretrained(zoo["detector"])
    dino = GroundingDinoForObjectDetection.from_pretrained(zoo["detector"]).eval()
    sam_processor, sam = Sam2Processor.from_pretrained(zoo["sam2"]), Sam2Model.from_pretrained(zoo["sam2"]).eval()
    for photo, segment in zip(photos[:2], found["grounded_sam2"]):
        image, size = Image.open(photo.path), (photo.height, photo.width)
        inputs = dino_processor(images=image, text=f"{segment.details['phrase']}.", return_tensors="pt")
        with torch.no_grad():
            outputs = dino(**inputs)
        # every box is found by its own formula: centre and sides in shares of the photo, the best token's probability
        scores = outputs.logits[0].sigmoid().max(-1).values
        x, y, w, h = outputs.pred_boxes[0].unbind(-1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
        corners = corners.clamp(0, 1) * torch.tensor([photo.width, photo.height] * 2)
        shares = []
        for k in matching(corners, scores, segment):
            inputs = sam_processor(images=image, input_boxes=[[corners[k].tolist()]], return_tensors="pt")
            sizes = inputs.pop("original_sizes")
            with torch.no_grad():
                outputs = sam(**inputs, multimask_output=False)
            expected = sam_processor.post_process_masks(outputs.pred_masks, sizes)[0][0, 0].numpy()
            assert expected.shape == size
            shares.append((segment.mask != expected).mean())
        assert min(shares) < 0.005


def test_sam3_gives_the_mask_of_the_object_it_names(zoo, photos, found):
    from transformers import Sam3Model, Sam3Processor

    processor, model = Sam3Processor.from_pretrained(zoo["sam3"]), Sam3Model.from_pretrained(zoo["sam3"]).eval()
    for photo, segment in zip(photos[:2], found["sam3"]):
        inputs = processor(images=Image.open(photo.path), text=segment.details["phrase"], return_tensors="pt")
        inputs.pop("original_sizes")
        with torch.no_grad():
            outputs = model(**inputs)
        scores = (outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid())[0]
        boxes = outputs.pred_boxes[0].clamp(0, 1) * torch.tensor([photo.width, photo.height] * 2)
        size = (photo.height, photo.width)
        full = torch.nn.functional.interpolate(
            outputs.pred_masks.sigmoid(), size=size, mode="bilinear", align_corners=False
        )
        masks = (full[0] > 0.5).numpy()
        assert min((segment.mask != masks[k]).mean() for k in matching(boxes, scores, segment)) < 0.005
        assert segment.details["candidates"] == int((scores > 0.01).sum())


def test_clipseg_gives_the_pixels_above_the_threshold(zoo, photos):
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    processor = CLIPSegProcessor.from_pretrained(zoo["clipseg"])
    model = CLIPSegForImageSegmentation.from_pretrained(zoo["clipseg"]).eval()
    photo = photos[1]
    text = processor(text=["pug dog"], padding="max_length", max_length=77, return_tensors="pt")
    pixels = processor(images=[Image.open(photo.path)], return_tensors="pt")
    with torch.no_grad():
        logits = model(**text, **pixels).logits.reshape(1, 1, tiny.SIDE, tiny.SIDE)
    size = (photo.height, photo.width)
    probability = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    probability = probability[0, 0].sigmoid().numpy()
    middle = float(np.median(probability))
    (segment,) = made(zoo, "clipseg", sections={"clipseg": {"threshold": middle}}).segment([photo])
    assert (segment.mask != (probability > middle)).mean() < 0.005
    assert segment.details["score"] == pytest.approx(float(probability.max()), abs=2e-4)
    nothing = {"clipseg": {"threshold": min(float(probability.max()) + 0.01, 0.999)}}
    assert made(zoo, "clipseg", sections=nothing).segment([photo]) == [None]


def test_nothing_above_the_thresholds_is_nothing(zoo, photos):
    assert made(zoo, "sam3", sections={"sam3": {"score_threshold": 0.9}}).segment(photos) == [None] * len(photos)


def test_no_box_large_enough_is_nothing(zoo, photos):
    assert made(zoo, "grounded_sam2", min_area=0.99, max_area=1).segment(photos) == [None] * len(photos)


def test_detections_on_a_photo_come_from_raw_outputs_as_worked_out_by_hand(zoo):
    """Two queries over a photo of 200 x 100: one sees a word, one only the sentence's full stop."""
    one = made(zoo, "grounded_sam2", sections={"detector": {"box_threshold": 0.4, "text_threshold": 0.3}})
    ids = one._detector.processor.tokenizer("pug.", return_tensors="pt")["input_ids"]
    logits = torch.full((3, 256), -20.0)
    logits[0, 1] = 0.0  # probability 0.5 for the word's first token
    logits[1, 0] = 5.0  # for [CLS] only: no word of the phrase
    logits[2, 1] = -0.5  # probability 0.378: below the box threshold
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.1, 0.1], [0.5, 0.5, 0.2, 0.2]])
    (detection,) = one._detections({"logits": logits, "pred_boxes": boxes}, ids, (100, 200))
    assert detection.score == 0.5 and detection.box == (50, 25, 150, 75)


def test_the_object_of_sam3_is_chosen_by_score_size_and_position(zoo):
    """Three objects on a photo of 64 x 64; the presence of the phrase halves every score."""
    masks = torch.full((3, 8, 8), -9.0)
    masks[0, :1, :1], masks[1, 2:6, 2:6], masks[2] = 9.0, 9.0, 9.0
    output = {
        "pred_logits": torch.tensor([4.0, 2.0, -4.0]),
        "pred_boxes": torch.tensor([[0.0, 0, 0.125, 0.125], [0.25, 0.25, 0.75, 0.75], [0.0, 0, 1, 1]]),
        "pred_masks": masks,
        "presence_logits": torch.zeros(1),
    }
    image, central = np.zeros((64, 64, 3), np.uint8), 0.5 / (1 + np.exp(-2.0))
    sections = {"sam3": {"score_threshold": 0.3}}
    segment = made(zoo, "sam3", sections=sections)._best(output, image, "pug")
    assert segment.details == {
        "phrase": "pug", "score": round(central, 4), "box": [16, 16, 48, 48], "candidates": 2,
    }  # fmt: skip
    assert segment.mask[20:44, 20:44].all() and segment.mask.sum() == pytest.approx(32 * 32, rel=0.1)
    by_score = made(zoo, "sam3", sections=sections, choice={"area_weight": 0, "position_weight": 0})
    assert by_score._best(output, image, "pug").details["box"] == [0, 0, 8, 8]


def test_a_phrase_longer_than_the_network_reads_is_cut(zoo, photos):
    endless = dataclasses.replace(photos[0], class_name="very " * 60 + "long")
    for source in ("sam3", "clipseg"):
        assert len(made(zoo, source).segment([endless, photos[3]])) == 2


def test_masks_are_made_in_float32_whatever_the_edits_are_painted_in(zoo, photos):
    """Half precision would move the boxes: random networks' by pixels, as real ones'."""
    half = ComputeConfig(device="cpu", dtype="bfloat16")
    for source in SOURCES:
        exact, asked_in_half = made(zoo, source), made(zoo, source, half)
        assert asked_in_half.identity() == exact.identity()
        for one, other in zip(exact.segment(photos[:2]), asked_in_half.segment(photos[:2])):
            assert (one is None) == (other is None)
            assert one is None or (one.details == other.details and np.array_equal(one.mask, other.mask))


def test_checkpoints_of_sam2_with_the_video_tracker_load(zoo, photos, tmp_path):
    video = tiny.save_sam2(tmp_path / "video", video=True)
    assert json.loads((video / "config.json").read_text())["model_type"] == "sam2_video"
    segments = made({**zoo, "sam2": video}, "grounded_sam2").segment(photos[:2])
    assert all(segment is not None for segment in segments)


@pytest.mark.parametrize("source", SOURCES)
def test_every_checkpoint_is_checked_before_one_is_loaded(source, zoo, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", None)  # would raise if called
    keys = {"grounded_sam2": ("detector", "sam2"), "sam3": ("sam3",), "clipseg": ("clipseg",)}[source]
    for key in keys:
        with pytest.raises(UserError, match=rf"segment\.{key}\.checkpoint = .*nowhere.* does not exist"):
            made({**zoo, key: tmp_path / "nowhere"}, source)
        other = zoo["clipseg"] if key != "clipseg" else zoo["sam2"]
        with pytest.raises(UserError, match=rf"segment\.{key}\.checkpoint = .* is a checkpoint of type \w+; .* needed"):
            made({**zoo, key: other}, source)


def test_weights_that_do_not_fit_are_one_clear_line(zoo, photos, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in zoo["sam3"].iterdir():
        (damaged / path.name).write_bytes(b"\x00" * 100 if path.suffix == ".safetensors" else path.read_bytes())
    with pytest.raises(UserError, match=r"segment\.sam3\.checkpoint = .* cannot be loaded") as caught:
        made({**zoo, "sam3": damaged}, "sam3").load()
    assert "\n" not in str(caught.value)


def test_a_batch_too_large_for_the_device_names_the_setting(zoo, photos, monkeypatch):
    one = made(zoo, "clipseg")
    one.load()

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(one._network.model, "forward", full)
    with pytest.raises(UserError, match=r"does not hold a batch of 2 photos; lower segment\.batch_size"):
        one.segment(photos[:2])


def test_the_identity_follows_every_setting_that_decides(zoo):
    changes = {
        "grounded_sam2": [
            {"sections": {"detector": {"box_threshold": 0.5}}}, {"sections": {"detector": {"text_threshold": 0.5}}},
            {"choice": {"area_weight": 0}}, {"min_area": 0.2},
            {"sections": {"sam2": {"checkpoint": "owner/name", "revision": "a" * 40}}},
        ],
        "sam3": [
            {"sections": {"sam3": {"score_threshold": 0.5}}}, {"sections": {"sam3": {"mask_threshold": 0.4}}},
            {"choice": {"position_weight": 0}}, {"min_area": 0.2},
        ],
        "clipseg": [{"sections": {"clipseg": {"threshold": 0.4}}}],
    }  # fmt: skip
    for source, variants in changes.items():
        base = made(zoo, source).identity()
        assert json.loads(json.dumps(base))["source"] == source
        assert made(zoo, source).identity() == base
        for variant in variants:
            assert made(zoo, source, **variant).identity() != base, variant


def test_weights_that_are_not_here_and_cannot_be_fetched_are_one_line_with_the_way_without(
    zoo, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = settings({**zoo, "clipseg": "someone/clipseg"}, source="clipseg")
    with pytest.raises(
        UserError, match=r"segment\.clipseg\.checkpoint = 'someone/clipseg' is not in the hub's"
    ) as caught:
        SEGMENTERS["clipseg"](config, CPU, "pet").load()
    assert "--masks" in str(caught.value) and "\n" not in str(caught.value)
