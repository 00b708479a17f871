"""What does fine-tunings: a worker of an engine, or a process of a team in which all share every batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.files import json_bytes
from varireal.compute.devices import resolve_device, resolve_dtype, settle_algorithms
from varireal.compute.progress import catching_up, report_units, units_to
from varireal.errors import UserError
from varireal.training.classifiers import Classifier, load_classifier
from varireal.training.plan import RESULT, FineTuning, TrainingSet

if TYPE_CHECKING:
    from varireal.store import FolderStore
    from varireal.training.data import LabelledImages, LabelledPhotos
    from varireal.training.state import State
    from varireal.training.team import Team

NETWORK_MODULES = ("open_clip", "varireal.training.loop", "varireal.training.lora")  # imported before the first piece


class FineTuningWorker:
    """Holds CLIP and the images, which it loads at its first fine-tuning."""

    def __init__(
        self, training_set: TrainingSet, plan: Sequence[FineTuning], store: FolderStore, team: Team | None = None
    ) -> None:
        """Take all fine-tunings that it may be given, and the store of their checkpoints and of decoded pictures."""
        self._set, self._store, self._team = training_set, store, team
        self._origins = sorted({origin for item in plan for origin in item.source.split("+")})
        self._loaded: tuple[Classifier, LabelledImages, dict[str, LabelledImages | LabelledPhotos]] | None = None

    def __call__(self, items: Sequence[FineTuning]) -> list[dict[str, bytes]]:
        """Return the files of each fine-tuning: adapter, best step and curve; in a team only its first process does.

        Steps are reported as they are done, and those that a checkpoint saves.

        Raises:
            UserError: CLIP or an image cannot be loaded, the disk is full, or a fine-tuning diverges.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return [self._fine_tune(item, *self._loaded) for item in items]

    def _load(self) -> tuple[Classifier, LabelledImages, dict[str, LabelledImages | LabelledPhotos]]:
        from varireal.training.data import load_images, load_training_images
        from varireal.training.pixels import PixelCache
        from varireal.training.towers import set_up_towers

        wanted = self._set
        settle_algorithms(wanted.compute)
        own = self._team.device if self._team else None
        device = own or resolve_device(wanted.compute)
        clip = load_classifier(wanted.clip, len(wanted.classes), device)  # in float32: the loop computes by autocast
        if wanted.train.loss == "sigmoid" and clip.reads_text and not clip.sigmoid:
            raise UserError(
                f"train.loss = 'sigmoid': {clip.name} was not trained so and has no bias for it; set it to softmax, or "
                "choose a model such as ViT-B-16-SigLIP2"
            )
        set_up_towers(clip.model, wanted.train)
        val = load_images(wanted.val, PixelCache(clip, self._store.root))
        records = {"real": wanted.real, "synthetic": wanted.synthetic}
        side = wanted.train.augmentation.short_side
        images = {name: load_training_images(records[name], clip, side, self._store.root) for name in self._origins}
        return clip, val, images

    def _fine_tune(
        self,
        item: FineTuning,
        clip: Classifier,
        val: LabelledImages,
        images: dict[str, LabelledImages | LabelledPhotos],
    ) -> dict[str, bytes]:
        from varireal.training.loop import fine_tune
        from varireal.training.lora import adapter_bytes, add_lora, remove_lora
        from varireal.training.state import CheckpointFile
        from varireal.training.steps import pools
        from varireal.training.team import Alone
        from varireal.training.towers import unpadded

        config, done = self._set.train, 0
        team: Team = self._team or Alone()

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            report_units(done)

        origins, seed = item.source.split("+"), (self._set.run_seed, item.seed)
        real, synthetic = (images[name] if name in origins else None for name in ("real", "synthetic"))
        sources = pools(real, synthetic, config)
        with unpadded(clip, self._set.sentences) as tokens:
            model = add_lora(clip.model, config.lora, *seed)
            try:
                state = fine_tune(
                    clip, model, tokens, sources, val, config, seed, advance,
                    dtype=resolve_dtype(self._set.compute), team=team,
                    checkpoint=CheckpointFile(self._store.unfinished(item.key), config.checkpoint_every),
                )  # fmt: skip
                return {} if team.rank else {**adapter_bytes(model), RESULT: json_bytes(_result(state))}
            finally:
                remove_lora(model)  # also after a defect: the next try must find CLIP as it came


def fine_tune_in_team(
    training_set: TrainingSet,
    missing: Sequence[FineTuning],
    store: FolderStore,
    num_threads: int | None,
    *,
    report: Callable[[int], None],
) -> None:
    """Do fine-tunings together with the other processes of a team; the first one's list counts, and it keeps results.

    ``report`` gets the number of steps just done, from the first process only.

    Raises:
        UserError: as for :class:`FineTuningWorker`.
    """
    from varireal.compute.engines.local import set_up
    from varireal.training.team import join_team

    settle_algorithms(training_set.compute)
    team = join_team(on_cpu=resolve_device(training_set.compute).type == "cpu")
    set_up(num_threads, networks=True)
    missing = team.from_first(list(missing))
    worker = FineTuningWorker(training_set, missing, store, team)
    for item in missing:
        with units_to(None if team.rank else catching_up(report)):
            [files] = worker([item])
        if not team.rank:
            store.put({item.key: files})
            store.drop_unfinished(item.key)
    team.leave()


def _result(state: State) -> dict[str, Any]:
    return {
        "best_step": state.best.step,
        "val_top1": state.best.val_top1,
        "val_loss": state.best.val_loss,
        "curve": [dataclasses.asdict(look) for look in state.looks],
    }
