"""Check a composed config before anything is built: every key, every target, every range."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mimickit.errors import ConfigError, UnknownName, unknown_name_message
from mimickit.launch.locating import locate
from mimickit.launch.messages import explain
from mimickit.launch.resolvers import CONF

HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
# What a parameter's annotation begins with, and what a person calls it.
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "Sequence": "a list",
    "Mapping": "a mapping",
}
PLAIN = {"bool": bool, "str": str, "Sequence": list, "Mapping": dict}
# What no run can do without.
NEEDED = ("engine", "character", "task", "action", "method", "algo", "model", "motion")
# Whole numbers, which may be written as 2e6, and the least that makes sense.
WHOLE = {
    "seed": 0,
    "num_envs": 1,
    "max_samples": 1,
    "training.keep_checkpoints": 1,
    "training.threads": 0,
    "evaluation.num_envs": 1,
    "evaluation.episodes": 1,
    "evaluation.every": 1,
    "evaluation.seed": 0,
}


def check_config(cfg: DictConfig) -> DictConfig:
    """A copy of `cfg` that is known to fit what it names, with whole floats made integers.

    Raises:
        ConfigError: a value is missing, of the wrong type or out of range, or a target is broken.
        UnknownName: a key that nothing reads.
    """
    cfg = cfg.copy()
    try:
        check_known_keys(cfg)
        missing = sorted(OmegaConf.missing_keys(cfg))
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise explain(error) from error
    assert isinstance(plain, dict)
    absent = [key for key in NEEDED if key in plain and plain[key] is None]
    for key in (*missing, *absent):
        raise ConfigError(f"{key} has no value: set {key}=...")
    make_whole(cfg)
    check_period(cfg)
    check_device(plain.get("device", "cpu"))
    for key, node in targets(plain):
        for name, value in check_target(key, node).items():
            OmegaConf.update(cfg, f"{key}.{name}" if key else name, value)
    return cfg


def check_choices(cfg: DictConfig, choices: Mapping[str, Any]) -> DictConfig:
    """`check_config`, naming the file where an unknown setting is written.

    Args:
        cfg: to check.
        choices: which option of each group it was composed of.
    """
    try:
        return check_config(cfg)
    except UnknownName as error:
        setting = re.search(r"has no setting '([^']+)'", str(error))
        for group, choice in choices.items():
            file = CONF / str(group).split("@")[0] / f"{choice}.yaml"
            if setting and file.is_file():
                text = file.read_text(encoding="utf-8")
                if re.search(rf"\b{re.escape(setting.group(1))}\s*:", text):
                    where = file.relative_to(CONF.parent)
                    raise type(error)(f"{error} (It is written in {where}.)") from error
        raise


def check_known_keys(cfg: DictConfig, path: str = "") -> None:
    """Refuse keys that a typed node (the root, `training`) does not declare.

    Raises:
        UnknownName: such a key, e.g. from `+sed=1`, which Hydra lets pass.
    """
    kind = OmegaConf.get_type(cfg)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        known = [f.name for f in dataclasses.fields(kind)]
        for key in cfg:
            if str(key) not in known:
                where = f"'{path}'" if path else "a run"
                shown = [name for name in known if not name.startswith("_")]
                raise UnknownName(unknown_name_message(f"{where} has no setting", str(key), shown))
    for key in cfg:
        child = cfg._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none() and not child._is_interpolation():
            check_known_keys(child, f"{path}.{key}" if path else str(key))


def targets(node: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_` below `node`, with its key; the engine's first.

    First, because some engines must be imported before torch is.
    """
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from targets(child, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    for key in sorted(node, key=lambda k: k != "engine"):
        yield from targets(node[key], f"{path}.{key}" if path else str(key))
    if "_target_" in node:
        yield path, node


def check_target(key: str, node: Mapping[str, Any]) -> dict[str, int]:
    """Compare a node's keys and plain values with the signature of its target.

    Returns:
        The values to replace: whole floats where the target asks for an integer.

    Raises:
        ConfigError, UnknownName: the target cannot take the node.
    """
    target = locate(str(node["_target_"]), key)
    try:
        parameters = inspect.signature(target).parameters
    except ValueError:  # a builtin without a signature
        return {}
    given = [name for name in node if name not in HYDRA_KEYS]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return {}
    # What the code passes itself (no default, not in the file) is not the user's to set.
    settable = [n for n, p in parameters.items() if n in given or p.default is not p.empty]
    for name in given:
        if name not in parameters:
            kind = f"'{key}' ({node['_target_']}) has no setting" if key else "a run has no setting"
            raise UnknownName(unknown_name_message(kind, name, settable))
    replaced = {}
    for name in given:
        value = checked_value(f"{key}.{name}" if key else name, node[name], parameters[name])
        if value is not None:
            replaced[name] = value
    return replaced


def checked_value(key: str, value: Any, parameter: inspect.Parameter) -> Optional[int]:
    """The integer to put for a whole float, or None where `value` stays as it is.

    Raises:
        ConfigError: the parameter is annotated as one of `KINDS`, and `value` is none.
    """
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    optional = re.fullmatch(r"Optional\[(.+)\]", name)
    name = (optional.group(1) if optional else name).split("[")[0]
    if name not in KINDS or (value is None and (optional or parameter.default is None)):
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    fits = is_number and (name == "float" or isinstance(value, int))
    if name in PLAIN:
        fits = isinstance(value, PLAIN[name])
    if not fits:
        raise ConfigError(f"{key}={value}: {KINDS[name]} is needed")
    return None


def make_whole(cfg: DictConfig) -> None:
    """Turn the whole numbers of a run that were written as floats into integers, in place.

    Raises:
        ConfigError: one is no whole number, or too small.
    """
    for key, least in WHOLE.items():
        value = OmegaConf.select(cfg, key)
        if value is not None:
            whole = whole_number(key, value, least)
            if type(value) is not int:  # else leave it: it may be an interpolation
                OmegaConf.update(cfg, key, whole)


def whole_number(key: str, value: Any, least: int) -> int:
    """`value` as an integer of at least `least`.

    Raises:
        ConfigError: it is none, or too small.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or abs(value) == float("inf") or int(value) != value:
        raise ConfigError(f"{key}={value}: a whole number is needed")
    if value < least:
        raise ConfigError(f"{key}={int(value)}: must be at least {least}")
    return int(value)


def check_period(cfg: DictConfig) -> None:
    """Refuse a time between checkpoints that is none; 0 saves after every iteration.

    Raises:
        ConfigError: it is negative, or no number.
    """
    seconds = OmegaConf.select(cfg, "training.checkpoint_every_s")
    if seconds is not None and not seconds >= 0:
        raise ConfigError(f"training.checkpoint_every_s={seconds}: must be at least 0 [s]")


def check_device(device: Any) -> None:
    """Refuse what is no device.

    Raises:
        ConfigError: it is none.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(device)):
        raise ConfigError(f"device={device}: choose auto, cpu, cuda or cuda:<number>")
