import dataclasses
import errno
import json

import numpy as np
import pytest
from PIL import Image

from varireal.base.files import encode_png, read_mask, sha256_file, staged_folder
from varireal.base.manifest import ImageRecord
from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig, SegmentConfig
from varireal.config.data import CleaningConfig
from varireal.errors import UserError
from varireal.segmentation import SEGMENTERS, Segment
from varireal.segmentation.metrics import mask_metrics
from varireal.segmentation.run import check_usable, segment_photos
from varireal.store import FolderStore

CONFIG = SegmentConfig(source="dataset", batch_size=4, min_area=0.05, max_area=0.8, max_border=1)
ENGINE = LocalEngine(ComputeConfig(workers=1), ())  # in this process
AREAS = [30, 0, 2, 95, 40, 50, 20, 60, 70, 10]  # pixels of 100


class Recorder:
    """The data set's masks through a segmenter that counts its batches and can be stopped."""

    def __init__(self, stop_after=None, name="dataset", words=None):
        self.batches, self.loads, self._stop_after, self._name, self._words = [], 0, stop_after, name, words
        self._inner = SEGMENTERS["dataset"](CONFIG, ComputeConfig())

    def identity(self):
        return {"source": self._name}

    def phrase(self, photo):
        return self._words and f"{self._words} {photo.class_name}"

    def load(self):
        self.loads += 1

    def segment(self, photos):
        if self._stop_after is not None and len(self.batches) >= self._stop_after:
            raise KeyboardInterrupt
        self.batches.append([photo.image_id for photo in photos])
        return self._inner.segment(photos)


@pytest.fixture
def photos(tmp_path):
    records = []
    for number, area in enumerate(AREAS):
        name = "cat" if number % 2 else "dog"
        path, mask_path = tmp_path / f"{number}.png", tmp_path / f"m{number}.png"
        Image.fromarray(np.full((10, 10, 3), number, np.uint8)).save(path)
        mask_path.write_bytes(encode_png(((np.arange(100) < area) * 255).astype(np.uint8).reshape(10, 10)))
        record = ImageRecord(f"{name}/{number}", str(path), "photo", "train", name, 0, 10, 10, "", f"{name}/{number}")
        records.append(dataclasses.replace(record, sha256=sha256_file(path), mask_path=str(mask_path)))
    return records


@pytest.fixture
def store(tmp_path):
    return FolderStore("segment", tmp_path / "work")


def run(tmp_path, photos, store, *segmenters, out="out", config=CONFIG, most=0.01):
    where, chain = tmp_path / out, segmenters or [Recorder()]
    return segment_photos(chain, photos, config, store, ENGINE, where, where, max_set_aside=most)


def test_masks_are_written_and_failures_marked_with_the_reason(tmp_path, photos, store):
    done = {photo.image_id: photo for photo in run(tmp_path, photos, store)}
    assert {name: photo.note.partition(":")[0] for name, photo in done.items() if photo.status == "failed"} == {
        "cat/1": "empty", "dog/2": "too small", "cat/3": "too large",
    }  # fmt: skip
    assert done["dog/2"].note == "too small: 2.00% of the photo, allowed are 5.00% to 80.00%"
    for original in photos:
        record = done[original.image_id]
        np.testing.assert_array_equal(read_mask(tmp_path / record.mask_path), read_mask(tmp_path / original.mask_path))
        assert (record.status == "ok") == (record.note is None)


def test_a_photo_without_a_mask_is_marked(tmp_path, photos, store):
    photos[0] = dataclasses.replace(photos[0], mask_path=None)
    record = next(photo for photo in run(tmp_path, photos, store) if photo.image_id == "dog/0")
    assert (record.status, record.note, record.mask_path) == ("failed", "no mask", None)
    assert not (tmp_path / "out" / "masks" / "dog" / "0.png").exists()


def test_the_order_of_the_photos_changes_nothing(tmp_path, photos, store):
    first = run(tmp_path, photos, store)
    again = Recorder()
    assert run(tmp_path, photos[::-1], store, again) == first
    assert again.batches == []


def test_a_stopped_run_goes_on_where_it_stopped(tmp_path, photos, store):
    whole = run(tmp_path, photos, FolderStore("segment", tmp_path / "other"), uninterrupted := Recorder(), out="whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, photos, store, stopped := Recorder(stop_after=2))
    resumed = run(tmp_path, photos, store, rest := Recorder())
    assert [len(batch) for batch in uninterrupted.batches] == [4, 4, 2]
    assert stopped.batches + rest.batches == uninterrupted.batches
    for one, other in zip(whole, resumed):
        assert dataclasses.replace(one, mask_path=None) == dataclasses.replace(other, mask_path=None)
        assert sha256_file(tmp_path / one.mask_path) == sha256_file(tmp_path / other.mask_path)


def test_bounds_are_not_part_of_what_is_kept_but_photos_and_segmenter_are(tmp_path, photos, store):
    run(tmp_path, photos, store)
    wider = Recorder()
    done = run(tmp_path, photos, store, wider, config=CONFIG.model_copy(update={"min_area": 0.01}))
    assert wider.batches == []
    assert {photo.image_id for photo in done if photo.status == "failed"} == {"cat/1", "cat/3"}
    run(tmp_path, photos, store, other := Recorder(name="another"))
    assert len(other.batches) == 3
    photos[0] = dataclasses.replace(photos[0], sha256="changed")
    run(tmp_path, photos, store, changed := Recorder())
    assert [batch for batch in changed.batches if "dog/0" in batch] == changed.batches != []


def test_no_usable_mask_at_all_is_an_error(tmp_path, photos, store):
    with pytest.raises(UserError, match=r"not one of 10 masks is usable .*segment\.object_labels"):
        check_usable(
            run(tmp_path, photos, store, config=CONFIG.model_copy(update={"min_area": 0.97, "max_area": 0.99}))
        )


def test_masks_that_cover_nearly_all_are_said_to_look_inverted(tmp_path, photos, store):
    dogs = [photo for photo in photos if photo.class_name == "dog"]
    with pytest.raises(UserError, match=r"too large: .*; inverted masks look so: 255 belongs on the object\); check"):
        check_usable(run(tmp_path, dogs, store, config=CONFIG.model_copy(update={"min_area": 0.0, "max_area": 1e-4})))


def test_a_class_without_a_usable_mask_is_named_with_the_reason(tmp_path, photos, store):
    spoilt = [photo if photo.class_name == "dog" else dataclasses.replace(photo, mask_path=None) for photo in photos]
    with pytest.raises(UserError, match=r"^1 classes have no usable mask.*: cat \(of cat: no mask\); give them masks"):
        check_usable(run(tmp_path, spoilt, store))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, photos, store, monkeypatch):
    calls = []

    def full(*_):
        calls.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("varireal.store.folders.os.fsync", full)
    with pytest.raises(UserError, match="disk is full"), staged_folder(tmp_path / "final") as folder:
        segment_photos([Recorder()], photos, CONFIG, store, ENGINE, folder, tmp_path / "final", max_set_aside=0)
    assert calls
    assert not (tmp_path / "final").exists()
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


MODEL = CONFIG.model_copy(update={"source": "model"})  # whose masks are compared with the truth


def test_metrics_count_failures_and_compare_with_the_truth(tmp_path, photos, store):
    done = run(tmp_path, photos, store)
    metrics = mask_metrics(done, {}, MODEL, tmp_path / "out")
    assert metrics == {
        "photos": 10, "failures": 3, "failure_share": 0.3, "fallbacks": 0, "fallback_share": 0,
        "failures_by_reason": {"empty": 1, "too small": 1, "too large": 1},
    }  # fmt: skip
    # of 100 pixels in order: mask 40 against truth 50, and 60 against 50
    truth = {"dog/4": str(tmp_path / "m5.png"), "cat/7": str(tmp_path / "m5.png"), "cat/5": str(tmp_path / "m5.png")}
    metrics = mask_metrics(done, truth, MODEL, tmp_path / "out")
    assert metrics["iou_per_class"] == {"dog": 0.8, "cat": round((50 / 60 + 1) / 2, 6)}
    assert metrics["mean_iou"] == round((0.8 + 50 / 60 + 1) / 3, 6)
    assert "mean_iou" not in mask_metrics(done, truth, CONFIG, tmp_path / "out")  # the truth itself


def test_failed_and_missing_masks_count_in_the_mean(tmp_path, photos, store):
    photos[0] = dataclasses.replace(photos[0], mask_path=None)
    truth = {name: str(tmp_path / "m5.png") for name in ("cat/1", "dog/0", "cat/5")}
    metrics = mask_metrics(run(tmp_path, photos, store), truth, MODEL, tmp_path / "out")
    assert metrics["mean_iou"] == round(1 / 3, 6)
    assert metrics["iou_per_class"] == {"cat": 0.5, "dog": 0}


class Fixed:
    """Finds the same mask in some photos, and nothing in the others."""

    def __init__(self, name, pixels, photos=(), empty=()):
        self.asked, self._name, self._photos, self._empty = [], name, photos, empty
        self._mask = (np.arange(100) < pixels).reshape(10, 10)

    def identity(self):
        return {"source": self._name}

    def phrase(self, photo):
        return photo.class_name

    def load(self):
        pass

    def segment(self, photos):
        self.asked += [photo.image_id for photo in photos]
        return [self._answer(photo.image_id) for photo in photos]

    def _answer(self, name):
        if name in self._empty:
            return Segment(np.zeros((10, 10), bool))
        return Segment(self._mask, {"score": 0.5}) if name in self._photos else None


CHAIN = CONFIG.model_copy(update={"source": "sam3", "fallback": "clipseg"})


@pytest.fixture
def chain():
    first = Fixed("sam3", 50, [f"dog/{n}" for n in (0, 2, 4, 6)], empty=["cat/1"])
    second = Fixed("clipseg", 40, ["cat/1", "cat/3", "cat/5", "dog/4"])
    return first, second


def test_the_fallback_is_asked_where_nothing_is_found(tmp_path, photos, store, chain):
    first, second = chain
    done = {photo.image_id: photo for photo in run(tmp_path, photos, store, *chain, config=CHAIN)}
    assert first.asked == sorted(done)
    assert second.asked == ["cat/1", "cat/3", "cat/5", "cat/7", "cat/9", "dog/8"]
    settings = {name: photo.settings and json.loads(photo.settings) for name, photo in done.items()}
    assert settings["dog/4"] == {"score": 0.5}
    assert settings["cat/3"] == settings["cat/1"] == {"score": 0.5, "source": "clipseg"}
    notes = {name: photo.note for name, photo in done.items() if photo.status == "failed"}
    assert notes == {"cat/7": "no mask", "cat/9": "no mask", "dog/8": "no mask"}
    assert read_mask(tmp_path / done["cat/1"].mask_path).sum() == 40


def test_rates_of_the_fallback_are_reported(tmp_path, photos, store, chain):
    done = run(tmp_path, photos, store, *chain, config=CHAIN)
    truth = {name: str(tmp_path / "m5.png") for name in ("dog/4", "cat/3", "cat/7")}  # 50 pixels
    metrics = mask_metrics(done, truth, CHAIN, tmp_path / "out")
    assert metrics == {
        "photos": 10, "failures": 3, "failure_share": 0.3, "failures_by_reason": {"no mask": 3},
        "fallbacks": 3, "fallback_share": 0.3, "mean_iou": 0.6, "iou_per_class": {"dog": 1, "cat": 0.4},
        "sources": {
            "sam3": {"photos": 7, "failures": 3, "failure_share": 3 / 7, "mean_iou": 0.5},
            "clipseg": {"photos": 3, "failures": 0, "failure_share": 0, "mean_iou": 0.8},
        },
    }  # fmt: skip


def test_masks_of_the_fallback_are_kept_too(tmp_path, photos, store, chain):
    whole = run(tmp_path, photos, store, *chain, config=CHAIN)
    for one in chain:
        one.asked.clear()
    assert run(tmp_path, photos, store, *chain, config=CHAIN) == whole
    assert [one.asked for one in chain] == [[], []]


def test_the_fallback_is_loaded_before_the_first_photo_and_never_for_kept_masks(tmp_path, photos, store):
    first, second = Recorder(), Recorder(name="model")
    run(tmp_path, photos[4:7], store, first, second)
    assert first.loads == second.loads == 1 and second.batches == []
    run(tmp_path, photos[4:7], store, first, second)
    assert first.loads == second.loads == 1


def test_a_new_phrase_asks_anew(tmp_path, photos, store):
    run(tmp_path, photos, store, Recorder(words="a photo of a"))
    run(tmp_path, photos, store, same := Recorder(words="a photo of a"))
    run(tmp_path, photos, store, other := Recorder(words="a"))
    assert same.batches == [] and len(other.batches) == 3


def test_masks_are_mended_before_they_are_checked(tmp_path, photos, store):
    speckled = np.zeros((10, 10), np.uint8)
    speckled[2:5, 2:5], speckled[9, 9] = 255, 255
    (tmp_path / "m0.png").write_bytes(encode_png(speckled))
    scattered = CONFIG.model_copy(update={"min_main_fragment": 0.95})
    (before,) = [photo for photo in run(tmp_path, photos, store, config=scattered) if photo.image_id == "dog/0"]
    assert before.note == "scattered: its largest fragment is 90.00% of it, 95.00% are needed"
    mended = scattered.model_copy(update={"cleaning": CleaningConfig(min_fragment=0.2)})
    (after,) = [photo for photo in run(tmp_path, photos, store, config=mended) if photo.image_id == "dog/0"]
    assert after.status == "ok" and read_mask(tmp_path / after.mask_path).sum() == 9


class Defective(Recorder):
    """Fails at some photos."""

    def __init__(self, *names, **kwargs):
        super().__init__(**kwargs)
        self._names = set(names)

    def segment(self, photos):
        if self._names.intersection(photo.image_id for photo in photos):
            raise ValueError("a defect")
        return super().segment(photos)


def test_photos_that_no_worker_can_do_end_the_stage_unless_they_are_few(tmp_path, photos, store):
    with pytest.raises(UserError, match=r"2 of 10 photos were set aside \(the first: .*, set aside after 3 tries: Val"):
        run(tmp_path, photos, store, Defective("dog/0", "cat/5"))
    assert len(store.items()) == 1  # of three batches, the one that is whole
    done = run(tmp_path, photos, store, Defective("dog/0", "cat/5"), most=0.2)
    assert {photo.image_id for photo in done if "a defect" in (photo.note or "")} == {"dog/0", "cat/5"}
    run(tmp_path, photos, store, Defective("dog/0"))
    with pytest.raises(UserError, match=r"max_set_aside = 0 allows \(0\)"):
        run(tmp_path, photos, store, Defective("dog/0"), most=0)


def test_photos_that_the_first_source_could_not_do_count_even_where_the_fallback_finds_something(
    tmp_path, photos, store
):
    """Two of ten, whose coarse masks would else stand in for those of a detector that fails here and there."""
    first, second = Defective("dog/0", "cat/5"), Fixed("clipseg", 40, ["dog/0", "cat/5"])
    with pytest.raises(UserError, match=r"2 of 10 photos were set aside \(the first: .*5\.png.*: ValueError: a defect"):
        run(tmp_path, photos, store, first, second, config=CHAIN, most=0.1)
    done = {photo.image_id: photo for photo in run(tmp_path, photos, store, first, second, config=CHAIN, most=0.2)}
    assert done["dog/0"].status == done["cat/5"].status == "ok"
    assert json.loads(done["dog/0"].settings)["source"] == "clipseg"


def test_what_the_fallback_alone_could_not_do_counts_too(tmp_path, photos, store):
    first = Fixed("sam3", 50, [photo.image_id for photo in photos if photo.image_id not in ("dog/0", "cat/5")])
    with pytest.raises(UserError, match=r"2 of 10 photos were set aside"):
        run(tmp_path, photos, store, first, Defective("dog/0", "cat/5", name="clipseg"), config=CHAIN, most=0.1)
