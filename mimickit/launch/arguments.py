"""`key=value` arguments of scripts, in the same spelling as a run's overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mimickit.errors import ConfigError, unknown_name_message

REQUIRED = object()  # the default of an argument that has none


def read_arguments(
    arguments: Sequence[str], defaults: Mapping[str, Any], usage: str
) -> dict[str, Any]:
    """Values by name: what was typed, over what is there by default.

    Args:
        arguments: without the program's name; values are read as YAML.
        defaults: every known argument; `REQUIRED` for those that must be typed.
        usage: printed for --help.

    Raises:
        ConfigError: an argument is unknown, malformed or missing.
    """
    if any(word in ("-h", "--help") for word in arguments):
        print(usage)
        raise SystemExit(0)
    values = dict(defaults)
    for word in arguments:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"'{word}' is not of the form key=value; known: {_known(defaults)}")
        if name not in defaults:
            raise ConfigError(unknown_name_message("there is no argument", name, defaults))
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            values[name] = text
    missing = [name for name, value in values.items() if value is REQUIRED]
    if missing:
        line = " ".join(usage[max(0, usage.find("Usage:")) :].split())
        raise ConfigError(f"{missing[0]}=... is needed. {line}")
    return values


def whole_number(values: Mapping[str, Any], name: str, least: int = 1) -> int:
    """The value of an argument that must be a whole number.

    Raises:
        ConfigError: it is something else, or less than `least`.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value}")
    return value


def true_or_false(values: Mapping[str, Any], name: str) -> bool:
    """The value of an argument that must be true or false.

    Raises:
        ConfigError: it is something else.
    """
    value = values[name]
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value}")
    return value


def _known(defaults: Mapping[str, Any]) -> str:
    return ", ".join(defaults)
