"""Say in a line what Hydra and OmegaConf say in ten, with the names that come close."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import hydra
import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mimickit.errors import ConfigError, MimicKitError, RunError, UnknownName, unknown_name_message
from mimickit.launch.locating import locate
from mimickit.launch.resolvers import CONF

# What OmegaConf calls a type -> what a person calls it.
KINDS = {
    "Union[int, float]": "a number",
    "Integer": "a whole number",
    "Float": "a number",
    "bool": "true or false",
}
# What plugins of Hydra add to its groups, and the extra of this package that brings them.
PLUGINS = {"hydra/sweeper/optuna": "sweep"}


def explain(
    error: BaseException, overrides: Sequence[str] = (), config_name: str = "run"
) -> MimicKitError:
    """The error to show for `error`, which came out of composing a config.

    Args:
        error: of Hydra, OmegaConf or the YAML reader.
        overrides: what was typed.
        config_name: the primary config, for looking up what would have been right.
    """
    own = own_cause(error)
    if own is not None:
        return own
    if isinstance(error, OverrideParseException):
        return unreadable_override(error)
    if isinstance(error, MissingConfigException):
        return missing_option(error, overrides)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}: " if mark else ""
        return ConfigError(f"{where}not readable as YAML: {error.problem or error}")
    if isinstance(error, OSError):
        return RunError(
            f"cannot make the run folder: {error.strerror} ('{error.filename}'); "
            "choose another with hydra.run.dir=..."
        )
    return composition_error(error, overrides, config_name)


def own_cause(error: Optional[BaseException]) -> Optional[MimicKitError]:
    """The error of ours that `error` is or wraps."""
    while error is not None:
        if isinstance(error, MimicKitError):
            return error
        error = error.__cause__ or error.__context__
    return None


def unreadable_override(error: OverrideParseException) -> MimicKitError:
    """An override that does not follow the grammar."""
    if "=" not in error.override:
        return ConfigError(f"'{error.override}' is no setting: write key=value")
    key = error.override.split("=", 1)[0]
    return ConfigError(
        f"cannot read '{error.override}': put unusual characters into quotes: \"{key}='...'\" "
        "(brackets and quotes must be closed)"
    )


def missing_option(error: MissingConfigException, overrides: Sequence[str]) -> MimicKitError:
    """A file that does not exist in its group."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    typed = {o.split("=", 1)[0].lstrip("+").split("@")[0] for o in overrides}
    where = "" if group in typed else file_of(str(error))  # a file that declares it is no culprit
    extra = PLUGINS.get(error.missing_cfg_file or "")
    if extra:
        return ConfigError(
            f"{group}={option} comes with a plugin that is not installed: "
            f"pip install -e '.[{extra}]'"
        )
    options = error.options or options_of(group)
    if not group or not options:
        return UnknownName(str(error).splitlines()[0])
    return UnknownName(unknown_name_message(f"there is no {group}", option, options, where))


def options_of(group: str) -> list[str]:
    """The options that conf/ has in a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composition_error(
    error: BaseException, overrides: Sequence[str], config_name: str
) -> MimicKitError:
    """Everything else that Hydra and OmegaConf complain about, told apart by their wording."""
    text = f"{error}\n{error.__cause__ or ''}".strip()
    where = file_of(text)

    found = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '([^']*)'", text)
    if found:
        key, _, value = found.group(1).partition("=")
        return ConfigError(
            f"{found.group(1)} names several values: add -m to run each of them, or write a list: "
            f'"{key}=[{value}]"'
        )
    found = re.search(r"Could not append to config. An item is already at '([^']+)'", text)
    if found:
        return ConfigError(f"'{found.group(1)}' exists already: leave the + away to change it")
    found = re.search(r"(\S+) appears more than once in the final defaults list", text)
    if found:
        return ConfigError(f"'{found.group(1)}' is chosen twice: leave the + away to change it")
    if "Config group override must be a string or a list" in text:
        wrong = next((o for o in overrides if options_of(o.split("=")[0].lstrip("+"))), "a group")
        options = ", ".join(options_of(wrong.split("=")[0].lstrip("+")))
        return ConfigError(f"{wrong}: choose an option by its name ({options})")
    deleted = next((o[1:] for o in overrides if o.startswith("~") and options_of(o[1:])), None)
    if deleted and "Error resolving interpolation" in text:  # of a name in the defaults list
        options = ", ".join(options_of(deleted))
        return ConfigError(f"{deleted} has no value: leave ~{deleted} away ({options})")
    found = re.search(r"Could not override '([^']+)'.*(?:\n.*)?defaults list", text)
    if found:
        return unknown_group(found.group(1), config_name, where)
    found = re.search(r"Could not override '([^']+)'", text)
    found = found or re.search(r"Key '[^']+' (?:is )?not in .*\n\s*full_key: (\S+)", text)
    if found:
        return unknown_key(found.group(1), overrides, config_name, where)
    key = re.search(r"full_key: (\S+)", text)
    found = re.search(
        r"Value '([^']*)' .*(?:type hint|converted to|not a valid) '?([^'\n(]+)", text
    )
    if found and key:
        kind = KINDS.get(found.group(2).strip(), found.group(2).strip())
        tail = f" (in {where})" if where else ""
        return ConfigError(f"{key.group(1)}={found.group(1)}: {kind} is needed{tail}")
    lines = [line for line in text.splitlines() if line and not line.startswith(" ")]
    return ConfigError((f"{key.group(1)}: " if key else "") + "; ".join(lines[:2]))


def file_of(text: str) -> str:
    """The config file that Hydra says a problem is in, unless it is the primary one."""
    found = re.match(r"In '([^']+)'", text)
    primary = found is None or found.group(1) in ("run", "saved_run")
    return "" if found is None or primary else f"conf/{found.group(1)}.yaml"


def unknown_group(key: str, config_name: str, where: str) -> MimicKitError:
    """A group that no defaults list names."""
    group = key.split("@")[0]
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    if config_name != "run" and group in groups:
        return ConfigError(f"a resumed run keeps its {group}: start a new run to change it")
    return UnknownName(unknown_name_message("there is no group", group, groups, where))


def unknown_key(key: str, overrides: Sequence[str], config_name: str, where: str) -> MimicKitError:
    """A setting that does not exist, with what exists beside it."""
    parent, _, name = key.rpartition(".")
    known = settings_at(parent, overrides, config_name)
    while known is None and parent:  # up to the first part that is wrong
        parent, _, name = parent.rpartition(".")
        known = settings_at(parent, overrides, config_name)
    if f"{parent}.{name}" == key and name in optional_settings(parent, overrides, config_name):
        return UnknownName(
            f"'{key}' is not written in the config, but {parent} takes it: use +{key}=..."
        )
    names = {n for n in known or () if not n.startswith("_")}
    if not parent:
        names -= {"hydra"}
        names |= {path.name for path in CONF.iterdir() if path.is_dir()} - {"hydra", "tuned"}
    kind = f"'{parent}' has no setting" if parent else "a run has no setting"
    return UnknownName(unknown_name_message(kind, name, names, where))


def settings_at(key: str, overrides: Sequence[str], config_name: str) -> Optional[list[str]]:
    """The settings below a key of the config without its bad overrides; None if there are none."""
    node = node_at(key, overrides, config_name)
    return [str(name) for name in node] if isinstance(node, DictConfig) else None


def optional_settings(key: str, overrides: Sequence[str], config_name: str) -> list[str]:
    """What the target at a key takes beyond what the config writes."""
    node = node_at(key, overrides, config_name)
    if not isinstance(node, DictConfig) or "_target_" not in node or not key:
        return []
    try:
        parameters = inspect.signature(locate(str(node["_target_"]), key)).parameters
    except (MimicKitError, ValueError):
        return []
    return [n for n, p in parameters.items() if p.default is not p.empty and n not in node]


def node_at(key: str, overrides: Sequence[str], config_name: str) -> Any:
    """The node at a key, of the config composed with only those overrides that choose a group."""
    groups = [o for o in overrides if Path(CONF, o.split("=")[0].lstrip("+~")).is_dir()]
    # The last for a saved config that is itself at fault.
    for name, chosen in ((config_name, groups), (config_name, []), ("run", [])):
        try:
            with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
                cfg = hydra.compose(name, list(chosen), return_hydra_config=True)
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError):
            continue
        return OmegaConf.select(cfg, key) if key else cfg
    return None
