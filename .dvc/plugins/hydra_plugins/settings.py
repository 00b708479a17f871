"""What `dvc exp run` composes from conf/ is checked before DVC touches anything, and says what params.yaml loses by it.

DVC loads this module before it composes; Hydra tells nobody what it has composed, so its method is wrapped. Where `dvc`
runs in another environment, without pydantic, the stages check the settings as they always do.
"""

from __future__ import annotations

import copy
import difflib
import functools
import importlib.util
import json
import logging
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from hydra._internal.hydra import Hydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf

logger = logging.getLogger("dvc.settings")  # shown as DVC's own warnings are

DERIVED = "watch"  # the section that nobody writes
SEVERAL = 3  # settings that were changed by hand; more suggest that a group of conf/ was chosen
MOST_NAMED = 12
PLAIN = re.compile(r"[\w./:+-]+")  # a text that Hydra's grammar takes without quotes

Settings = dict[str, Any]
Compose = Callable[[Sequence[str]], tuple[Settings, dict[str, str]]]  # overrides -> settings and choices of groups
_told: set[str] = set()
_plain: dict[tuple[Any, ...], tuple[Settings, dict[str, str]]] = {}  # without overrides, by the state of conf/


@functools.wraps(Hydra.compose_config)
def compose_config(self: Hydra, config_name: str | None, overrides: list[str], *rest: Any, **more: Any) -> DictConfig:
    """Compose as Hydra does; refuse what the stages would refuse, and warn of what params.yaml loses."""
    conf = _folder(self)
    if conf is None or not (conf.parent / "params.yaml").is_file():
        return _compose(self, config_name, overrides, *rest, **more)

    def anew(chosen: Sequence[str]) -> tuple[Settings, dict[str, str]]:
        made = _compose(self, config_name, list(chosen), *rest, **more)
        return _settings(made), dict(made.hydra.runtime.choices)

    def plain() -> tuple[Settings, dict[str, str]]:
        state = tuple((str(path), path.stat().st_mtime_ns) for path in sorted(conf.rglob("*.yaml")))
        if state not in _plain:
            _plain[state] = anew([])
        return _plain[state]

    try:
        composed = _compose(self, config_name, overrides, *rest, **more)
    except HydraException as error:
        raise DvcException(
            f"{_why(error, conf, lambda: plain()[0])}; nothing was changed"
        ) from None  # DVC shows causes too
    settings = _settings(composed)
    if (problem := _problem(settings, conf.parent)) is not None:
        raise DvcException(f"{problem}; nothing was changed")
    _warn(conf, settings, dict(composed.hydra.runtime.choices), overrides, plain, anew)
    return composed


_compose = Hydra.compose_config
Hydra.compose_config = compose_config


def _folder(hydra: Hydra) -> Path | None:
    """Return the folder that is composed from."""
    for entry in hydra.config_loader.get_search_path().get_path():
        if entry.provider == "main":
            return Path(entry.path.removeprefix("file://"))
    return None


def _settings(composed: DictConfig) -> Settings:
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    found: Any = OmegaConf.to_container(own, resolve=True)
    return found


def _problem(settings: Settings, root: Path) -> str | None:
    """Return what is wrong with settings, in the words of the stages; None where it cannot be known here."""
    sources = root / "src"
    if not (sources / "varireal/config").is_dir() or importlib.util.find_spec("pydantic") is None:
        return None
    sys.path.insert(0, str(sources))
    try:
        from varireal.config import check_params
        from varireal.doctor.repository import pictures_to_be_committed
        from varireal.errors import UserError
    finally:
        sys.path.remove(str(sources))
    try:
        check_params(settings, "settings")
    except UserError as error:
        return str(error).removeprefix("settings: ")
    return pictures_to_be_committed(settings, root)


def _why(error: HydraException, conf: Path, plain: Callable[[], Settings]) -> str:
    """Say in one line why the settings cannot be composed."""
    text = str(error)
    if isinstance(error, MissingConfigException) and (found := re.search(r"Could not find '([^']+)/([^'/]+)'", text)):
        group, name = found.groups()
        allowed = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        close = difflib.get_close_matches(name, allowed, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{group}={name}: there is no such choice; {hint}allowed: {', '.join(allowed)}"
    if isinstance(error, ConfigCompositionException) and (found := re.match(r"Could not override '([^']+)'", text)):
        key = found.group(1)
        settings = copy.deepcopy(plain())
        problem = _problem(settings, conf.parent) if _put(settings, key) else None
        if problem is None or problem.startswith(f"{key} = None: "):  # it is known, and may not be empty
            return f"{key} is left out in conf/, so it must be added: -S '+{key}=...'"
        return problem
    return f"the settings cannot be composed: {text.splitlines()[0] if text else type(error).__name__}"


def _put(settings: Settings, key: str) -> bool:
    """Put a key into settings, to be told what is wrong with it; return whether it has a place."""
    *sections, last = key.split(".")
    section: Any = settings
    for name in sections:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            return False
    section[last] = None
    return True


def _warn(
    conf: Path,
    settings: Settings,
    choices: Mapping[str, str],
    overrides: Sequence[str],
    plain: Callable[[], tuple[Settings, dict[str, str]]],
    anew: Compose,
) -> None:
    """Say which settings of params.yaml, beside those that this run sets, go back to what conf/ says."""
    path = conf.parent / "params.yaml"
    try:
        held = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        held = None
    if not isinstance(held, dict):
        logger.warning("%s holds no settings and is written anew from conf/", path.name)
        return
    chosen, base = _chosen(held, *plain(), conf, anew)
    said = {override.split("=", 1)[0].lstrip("+~").split("@")[0] for override in overrides}
    lost = {
        f"{group}={name}": choices[group] for group, name in chosen.items() if {group} - said and choices[group] != name
    }
    now, own = _flat(settings), _flat(base)
    for key, value in _changed(held, base).items():
        if now.get(key, own) != value and not any(key == name or key.startswith(f"{name}.") for name in said):
            lost[f"{'' if key in own else '+'}{key}={_written(value)}"] = _written(now[key]) if key in now else "unset"
    if lost:
        _tell(lost)


def _tell(lost: Mapping[str, str]) -> None:
    named = list(lost.items())[:MOST_NAMED]
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    went = ", ".join(f"{setting.lstrip('+')} (now {value})" for setting, value in named)
    keep = " ".join(f"-S {shlex.quote(setting)}" for setting, _ in named)
    text = f"params.yaml is composed from conf/ anew and loses {went}{more}; to keep it add {keep}, or set it in conf/"
    if text not in _told:
        _told.add(text)
        logger.warning(text)


def _chosen(
    held: Settings, base: Settings, choices: Mapping[str, str], conf: Path, anew: Compose
) -> tuple[dict[str, str], Settings]:
    """Return the choices of conf/'s groups that explain most of params.yaml, where they are not the default ones.

    Returns:
        The choices, and what they compose.
    """
    chosen: dict[str, str] = {}
    groups = [name for name in choices if (conf / name).is_dir() and not name.endswith("_scale")]
    # those that change a part of what others choose are tried after them, and the study, which chooses models, too
    for group in sorted(groups, key=lambda name: (choices[name] is None, name == "study")):
        others = sorted(path.stem for path in (conf / group).glob("*.yaml") if path.stem != choices[group])
        if group == "dataset":  # its name stands in the settings
            others = [name for name in others if name == held.get("dataset", {}).get("name")]
        for name in others:
            if len(_changed(held, base)) <= SEVERAL:
                break
            other, _ = anew([f"{each}={value}" for each, value in {**chosen, group: name}.items()])
            if len(_changed(held, other)) < len(_changed(held, base)):
                chosen[group], base = name, other
    return chosen, base


def _changed(held: Settings, base: Settings) -> dict[str, Any]:
    """Return the settings that are held and not those of the base, by dotted keys."""
    own = _flat(base)
    return {key: value for key, value in _flat(held).items() if key not in own or own[key] != value}


def _flat(settings: Settings, prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if prefix or key != DERIVED:
            whole = f"{prefix}{key}"
            flat |= _flat(value, f"{whole}.") if isinstance(value, dict) and value else {whole: value}
    return flat


def _written(value: Any) -> str:
    """Write a value as Hydra's grammar has it."""
    if isinstance(value, str) and PLAIN.fullmatch(value):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
