"""`varireal init`: settings for photos of one's own. Not part of the pipeline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.base.file_kinds import at_home, shown
from varireal.cli import verbose_option
from varireal.errors import UserError
from varireal.starting.banks import BANKS, find_bank
from varireal.starting.own_photos import look_at_photos
from varireal.starting.settings import OwnSettings, write_settings

if TYPE_CHECKING:
    from varireal.starting.banks import BankFit

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
FOLDER = click.Path(path_type=Path)
NO_MASKS = (
    "         Objects are looked for by their names (Grounding DINO with SAM 2.1, CLIPSeg as fallback): these weights\n"
    "         must be downloaded. Offline nothing here knows them: the demo's network knows rendered aircraft only"
)


@click.command("init")
@click.argument("photos", type=FOLDER)
@click.option("--masks", type=FOLDER, help="Masks with the photos' relative names, 255 on the object.")
@click.option("--pictures", type=FOLDER, help="Pictures of places and materials: background/<name>.jpg, texture/...")
@click.option("--name", default="mine", show_default=True, help="Of the settings: conf/dataset/NAME.yaml.")
@click.option("--word", help="What the photos show, after the class in prompts: pet, car.  [default: the bank's]")
@click.option("--bank", type=FOLDER, help="The bank of attributes.  [default: the one in data/banks that fits]")
@click.option("--clip", default="ViT-B-16-quickgelu", show_default=True, help="The classifier, as clip.model names it.")
@click.option("--pretrained", default="openai", show_default=True, help="Its weights; none beside a folder or an id.")
@click.option("--replace", is_flag=True, help="Write settings of that name anew if there are some.")
@verbose_option
def command(
    photos: Path, masks: Path | None, pictures: Path | None, name: str, word: str | None, bank: Path | None,
    clip: str, pretrained: str, replace: bool,
) -> None:  # fmt: skip
    """Look through a folder of PHOTOS, one folder a class, and write the settings that fit it.

    They become the default, so every later command keeps to these photos: conf/dataset/NAME.yaml, the data set in
    conf/config.yaml, params.yaml. Says what was found, what is missing, and what comes next. Photos stay where they
    are.
    """
    _check_name(name)
    root, masks_root, places = _folder("PHOTOS", photos), _folder("--masks", masks), _folder("--pictures", pictures)
    assert root is not None
    found = look_at_photos(root, masks_root)
    fit = find_bank(found.classes, places, bank)
    own = OwnSettings(
        name=name,
        root=root,
        masks_root=masks_root,
        pictures=places,
        domain_word=word if word is not None else (fit and fit.domain_word) or "",
        bank=fit.path if fit else BANKS / f"{name}.yaml",
        attributes=fit.attributes if fit else (("background", "color", "texture") if places else ("color",)),
        clip=clip,
        pretrained=None if clip.startswith(("local-dir:", "hf-hub:")) or pretrained == "none" else pretrained,
    )
    write_settings(own, replace=replace)
    for line in [*found.lines(), *([] if masks_root else [NO_MASKS]), *_bank_lines(fit, own)]:
        click.echo(line)
    if not own.domain_word:
        click.echo("Word     none: prompts name the class alone; say what the photos show with --word (pet, car)")
    click.echo(
        f"Written  {paths.CONF}/dataset/{name}.yaml, the default of {paths.CONF}/config.yaml, and {paths.PARAMS}"
    )
    click.echo(
        "Next     varireal doctor    what is missing yet, and how much work it is\n"
        "         varireal preview   a few photos through every cell on one page: look before the run\n"
        "         dvc repro          the study; then for example: dvc exp run -S mix.ratio=0.25"
    )


def _check_name(name: str) -> None:
    from varireal.datasets import DATASETS

    if not NAME.fullmatch(name) or name in DATASETS:
        raise UserError(
            f"--name {name!r}: give a name of small letters, digits and underscores that is no data set of the project"
        )


def _folder(option: str, path: Path | None) -> Path | None:
    """Return a folder's absolute path.

    Raises:
        UserError: it is no folder.
    """
    if path is None:
        return None
    absolute = at_home(str(path)).resolve()
    if not absolute.is_dir():
        raise UserError(f"{option} {shown(path)!r} is no folder (looked for {shown(absolute)}); correct the path")
    return absolute


def _bank_lines(fit: BankFit | None, own: OwnSettings) -> list[str]:
    if fit is not None:
        return fit.lines(own.pictures)
    return [
        f"Bank     none of {BANKS} fits these classes: write {own.bank} (data/banks/pets.yaml shows the form), or give "
        "--bank"
    ]
