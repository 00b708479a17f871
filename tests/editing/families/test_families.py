"""Every family paints as Stable Diffusion does: by seed, sentence, strength and guidance, in batches that shrink."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tests.editing.scripted import finish, no_filter, pictures
from tests.editing.tiny_flow_pipelines import FAMILY, SIDES

from varireal.base.files import decode_png, read_image
from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig, EditConfig, InpaintConfig, MemoryConfig, PriorConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.families import FAMILIES
from varireal.editing.inpaint import Inpainter
from varireal.editing.jobs import EditJob
from varireal.editing.run import EditRun
from varireal.errors import UserError
from varireal.prompts.templates import Sentence

DISTILLED = {
    "flux": ("transformer/config.json", "guidance_embeds", False),
    "flux2": ("model_index.json", "is_distilled", True),
}
CPU = ComputeConfig(device="cpu", workers=1)
SETTINGS = {"strength": 1.0, "guidance_scale": 2.0, "num_inference_steps": 2}


def make_inpainter(kind: str, checkpoint: Path, memory: MemoryConfig | None = None, **settings: Any) -> Inpainter:
    config = InpaintConfig(checkpoint=str(checkpoint), image_size=SIDES[kind], **settings)
    return Inpainter(config, CPU, memory or MemoryConfig())


@pytest.fixture(scope="module")
def inpainter(kind: str, checkpoint: Path) -> Inpainter:
    """One whose networks are loaded once."""
    return make_inpainter(kind, checkpoint)


@pytest.fixture
def given(kind: str) -> dict[str, Any]:
    side, rng = SIDES[kind], np.random.default_rng(0)
    mask = np.zeros((side, side), bool)
    mask[side // 4 : -side // 4, side // 4 : -side // 4] = True
    return {
        "pictures": list(rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)),
        "masks": [mask] * 3,
        "sentences": [Sentence("a red jet"), Sentence("a photo of a very blue jet"), Sentence("a red jet")],
        "seeds": [2**62, 1, 2],
    }


def first(given: dict[str, Any], count: int = 1) -> dict[str, Any]:
    return {name: values[:count] for name, values in given.items()}


def test_the_checkpoint_says_of_which_family_it_is(kind, inpainter) -> None:
    family = inpainter._pipeline.family
    assert family is FAMILIES[FAMILY[kind]] and inpainter.identity["family"] == family.name
    pipe = inpainter._pipeline.pipe
    assert type(pipe).__mro__[1].__name__ in family.classes
    assert hasattr(pipe, family.network)


def test_pictures_follow_their_own_seeds_and_not_their_places_in_a_batch(inpainter, given) -> None:
    together = inpainter.paint(**given, **SETTINGS)
    assert all(one.shape == old.shape and one.dtype == np.uint8 for one, old in zip(together, given["pictures"]))
    again = inpainter.paint(**given, **SETTINGS)
    assert all(np.array_equal(one, other) for one, other in zip(together, again))
    [alone] = inpainter.paint(**{name: values[1:2] for name, values in given.items()}, **SETTINGS)
    assert np.abs(alone.astype(int) - together[1]).max() <= 1
    given["seeds"][0] += 1
    changed = inpainter.paint(**given, **SETTINGS)
    assert np.abs(changed[0].astype(int) - together[0]).max() > 5
    assert np.array_equal(changed[1], together[1])


def test_sentence_strength_and_guidance_reach_the_pipeline(inpainter, given) -> None:
    one = first(given)

    def painted(text: str = "a red jet", **changes: Any) -> bytes:
        return inpainter.paint(**{**one, "sentences": [Sentence(text)]}, **{**SETTINGS, **changes})[0].tobytes()

    results = [painted(), painted("a lime horse"), painted(strength=0.5), painted(guidance_scale=4.0)]
    assert len(set(results)) == 4
    unguided = [painted(guidance_scale=0.0), painted(guidance_scale=0.0)]
    assert len({*results, *unguided}) == 5


def test_a_sentence_is_encoded_once(kind, inpainter, given) -> None:
    inpainter.paint(**first(given), **SETTINGS)  # encodes the empty sentence, too
    asked: list[int] = []
    hook = inpainter._pipeline.pipe.text_encoder.register_forward_pre_hook(lambda *_: asked.append(1))
    try:
        for _ in range(2):
            inpainter.paint(**{**first(given, 2), "sentences": [Sentence("a teal jet")] * 2}, **SETTINGS)
    finally:
        hook.remove()
    # Qwen-Image looks at the photo with each sentence, and with none, in each of the two batches
    assert len(asked) == (4 if kind == "qwen_image" else 1)


def test_the_network_is_called_as_often_as_the_table_says(kind, inpainter, given) -> None:
    """With n steps at a strength s, n - int(n (1 - s)) of them; twice where another sentence guides beside it."""
    from varireal.networks.calls import recording

    inpainter.paint(**first(given), **SETTINGS)
    with recording() as uses:
        inpainter.paint(**first(given), **{**SETTINGS, "num_inference_steps": 4, "strength": 0.3})
    twice = 2 if kind in ("flux2", "qwen_image") else 1  # Z-Image's second sentence doubles the batch instead
    assert uses["transformer"].calls == 2 * twice
    assert uses["transformer"].rows == 2 * (2 if kind == "z_image" else twice)
    assert uses["VAE decoder"].calls == 1 and uses["VAE encoder"].calls >= 1


def test_a_batch_that_does_not_fit_is_halved_and_the_pictures_stay(kind, inpainter, given, monkeypatch) -> None:
    import torch

    before = inpainter.paint(**given, **SETTINGS)
    tried: list[int] = []

    def full(module: Any, args: Any, kwargs: Any) -> None:
        sample = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        tried.append(len(sample))
        if len(sample) > 2 * (1 + (kind == "z_image")):  # Z-Image's guidance doubles the batch
            raise torch.OutOfMemoryError("CUDA out of memory. (simulated)")

    hook = inpainter._pipeline.pipe.transformer.register_forward_pre_hook(full, with_kwargs=True)
    try:
        after = inpainter.paint(**given, **SETTINGS)
    finally:
        hook.remove()
        inpainter._pipeline._fitting._most = None
    assert max(tried[1:]) < tried[0]
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in zip(before, after))


def test_offloading_is_refused_on_the_cpu_and_paints_the_same(kind, checkpoint, inpainter, given, monkeypatch) -> None:
    """The hooks that bring networks to a GPU and back are told that it is the CPU, which they do not mind."""
    offloaded = make_inpainter(kind, checkpoint, MemoryConfig(offload=True))
    with pytest.raises(UserError, match=r"^edit\.memory\.offload is true, but the networks run on the CPU"):
        offloaded.load()
    monkeypatch.setattr("varireal.editing.pipelines.check_memory", lambda *_: None)
    one = first(given)
    [plain], [picture] = inpainter.paint(**one, **SETTINGS), offloaded.paint(**one, **SETTINGS)
    assert np.array_equal(plain, picture)
    assert len(offloaded._pipeline.pipe._all_hooks) >= 3


def test_slices_and_tiles_paint_nearly_the_same(kind, checkpoint, inpainter, given) -> None:
    thrifty = make_inpainter(kind, checkpoint, MemoryConfig(vae_slicing=True, vae_tile=16))
    two = first(given, 2)
    assert thrifty.identity != inpainter.identity
    plain, tiled = inpainter.paint(**two, **SETTINGS), thrifty.paint(**two, **SETTINGS)
    vae = thrifty._pipeline.pipe.vae
    assert vae.use_slicing and vae.use_tiling
    differences = [np.abs(one.astype(int) - other).mean() for one, other in zip(plain, tiled)]
    assert all(0 < difference < 40 for difference in differences)


def test_a_transformer_that_gives_no_numbers_is_one_line(kind, checkpoint, given, tmp_path) -> None:
    copied = Path(shutil.copytree(checkpoint, tmp_path / "spoilt"))
    file = copied / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    for name, tensor in tensors.items():
        if "final" in name or "proj_out" in name:
            tensor[:] = float("nan")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"edit\.inpaint\.checkpoint = '.*spoilt'.* no numbers .* in float32") as error:
        make_inpainter(kind, copied).paint(**first(given), **SETTINGS)
    assert "\n" not in str(error.value)


def test_low_rank_weights_are_added_to_the_transformer_or_refused(kind, checkpoint, inpainter, tmp_path) -> None:
    import torch

    before = dict(inpainter._pipeline.pipe.transformer.named_parameters())
    layer = next(name for name in before if name.endswith("to_q.weight")).removesuffix(".weight")
    width, deep = before[f"{layer}.weight"].shape
    rng = torch.Generator().manual_seed(0)
    down, up = (torch.randn(*shape, generator=rng) for shape in ((2, deep), (width, 2)))
    pair = {f"transformer.{layer}.lora_A.weight": down, f"transformer.{layer}.lora_B.weight": up}
    save_file(pair, tmp_path / "lora.safetensors")
    told = {"checkpoint": str(tmp_path), "weight_name": "lora.safetensors", "scale": 0.7}
    changed = make_inpainter(kind, checkpoint, lora=told)
    after = dict(changed._pipeline.pipe.transformer.named_parameters())
    assert torch.allclose(after[f"{layer}.weight"], before[f"{layer}.weight"] + 0.7 * up @ down, atol=1e-5)
    assert all(torch.equal(after[name], before[name]) for name in before if name != f"{layer}.weight")
    assert changed.identity["lora"] and inpainter.identity["lora"] is None

    save_file(
        {name.replace("transformer.", "unet."): each for name, each in pair.items()}, tmp_path / "lora.safetensors"
    )
    with pytest.raises(UserError, match=r"^edit\.inpaint\.lora\.checkpoint = ") as error:
        make_inpainter(kind, checkpoint, lora=told).load()
    assert "\n" not in str(error.value)


# --- what a family lacks ---


def test_a_scheduler_for_curved_paths_is_refused(kind, checkpoint) -> None:
    for name, value in {"scheduler": "LCMScheduler", "timestep_spacing": "trailing"}.items():
        with pytest.raises(UserError, match=rf"^edit\.inpaint\.{name} = '{value}': family {FAMILY[kind]} .* null$"):
            make_inpainter(kind, checkpoint, **{name: value})


def test_a_side_that_the_family_cannot_draw_is_refused(kind, checkpoint) -> None:
    with pytest.raises(UserError, match=r"^edit\.inpaint\.image_size = 40: family .* draws squares"):
        Inpainter(InpaintConfig(checkpoint=str(checkpoint), image_size=40), CPU)


def test_another_family_than_the_checkpoints_is_refused(kind, checkpoint) -> None:
    other = next(name for name in FAMILIES if name != FAMILY[kind])
    with pytest.raises(UserError, match=rf"family = {other}: set it to {FAMILY[kind]}") as error:
        make_inpainter(kind, checkpoint, family=other)
    assert "\n" not in str(error.value)


def test_emphasis_is_refused_or_left_out(kind, checkpoint, inpainter, given, make_job, make_photo) -> None:
    spec = make_job(make_photo(), "color").spec
    inpainter.check([spec])
    heavy = spec.model_copy(update={"weight": 1.3})
    with pytest.raises(UserError, match=r"knows no emphasis, .* 'red'\); set edit\.inpaint\.emphasis to false"):
        inpainter.check([spec, heavy])
    plain = make_inpainter(kind, checkpoint, emphasis=False)
    plain.check([spec, heavy])
    assert plain.identity == {**inpainter.identity, "emphasis": False}


@pytest.mark.parametrize("kind", ["flux", "flux2"], indirect=True)
def test_guidance_of_distilled_weights_is_refused(kind, checkpoint, given, tmp_path) -> None:
    """Those of klein say so in the pipeline's index, those of FLUX.1 schnell in the transformer's configuration."""
    file, name, value = DISTILLED[kind]
    copied = Path(shutil.copytree(checkpoint, tmp_path / "distilled"))
    text = json.loads((copied / file).read_text()) | {name: value}
    (copied / file).write_text(json.dumps(text))
    distilled = make_inpainter(kind, copied)
    with pytest.raises(UserError, match=r"was distilled to do without guidance, but guidance_scale is 7\.5; set edit"):
        distilled.load(7.5)
    distilled.load(1.0)
    settings = [{**SETTINGS, "guidance_scale": scale} for scale in (0.0, 1.0, 4.0)]
    assert len({distilled.paint(**first(given), **each)[0].tobytes() for each in settings}) == 1


# --- whole edits ---


@pytest.fixture
def make_edits(kind, checkpoint, two_pictures, work) -> Callable[..., EditRun]:
    """Return a function that builds a run of edits, which keeps finished work in the test's own folder."""

    def make(attribute: str) -> EditRun:
        recipe = Recipe(num_inference_steps=2, strength=1.0, guidance_scale=2.0, dilation=1, mask_blur=0.7, alpha=0.8)
        inpaint = InpaintConfig(checkpoint=str(checkpoint), image_size=SIDES[kind], batch_size=2)
        config = EditConfig(method="diffusion", prior=PriorConfig(source="pictures"), inpaint=inpaint, recipes={})
        source = None if attribute == "color" else two_pictures
        editor = EDITORS["diffusion"](config, recipe, source, CPU)
        options = {"max_attempts": 1, "batch_size": 2, "keep_priors": False}
        return EditRun(editor, no_filter(), source, LocalEngine(CPU, ("torch",)), **options)

    return make


@pytest.mark.parametrize("attribute", ["background", "color", "texture"])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one_and_nothing_else_changes(
    attribute, make_edits, make_photo, make_job, tmp_path, monkeypatch
) -> None:
    jobs: list[EditJob] = [make_job(make_photo(f"jet/{number}"), attribute) for number in range(3)]
    run = make_edits(attribute)
    expected = pictures(run, finish(run, jobs))
    for job, data in zip(jobs, expected):
        photo, mask = read_image(Path(job.photo.path)), read_image_mask(job)
        changed = (decode_png(data) != photo).any(axis=-1)
        may = ~mask if attribute == "background" else grown(mask)
        assert not changed[~may].any()
        assert changed[may].mean() > 0.5

    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "killed"))
    killed = make_edits(attribute)
    put, done = killed._images.put, []

    def put_once(*args: Any, **kwargs: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(args)
        return put(*args, **kwargs)

    monkeypatch.setattr(killed._images, "put", put_once)
    with pytest.raises(KeyboardInterrupt):
        finish(killed, jobs)
    resumed = make_edits(attribute)
    assert pictures(resumed, finish(resumed, jobs)) == expected
    assert json.loads(json.dumps(resumed.settings)) == run.settings


def read_image_mask(job: EditJob) -> np.ndarray:
    from varireal.base.files import read_mask

    return read_mask(Path(str(job.photo.mask_path)))


def grown(mask: np.ndarray) -> np.ndarray:
    """The mask and its neighbours, by the recipe's dilation of one pixel."""
    from varireal.editing.pixels import dilate

    return dilate(mask, 1)
