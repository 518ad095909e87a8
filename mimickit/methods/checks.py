"""Refuses settings of parts that cannot work, naming the key to change."""

from __future__ import annotations

from mimickit.errors import ConfigError
from mimickit.models.precision import PRECISIONS


def check_at_least(key: str, least: float, value: float) -> None:
    """A finite number of at least `least`.

    Raises:
        ConfigError: otherwise.
    """
    if not isinstance(value, (int, float)) or not least <= value < float("inf"):
        raise ConfigError(f"{key} must be at least {least}, got {value}")


def check_share(key: str, value: float) -> None:
    """A number in (0, 1].

    Raises:
        ConfigError: otherwise.
    """
    if not 0 < value <= 1:
        raise ConfigError(f"{key} must be in (0, 1], got {value}")


def check_precision(key: str, value: str) -> None:
    """One of `mimickit.models.precision.PRECISIONS`.

    Raises:
        ConfigError: otherwise.
    """
    if value not in PRECISIONS:
        raise ConfigError(f"{key}={value}: choose one of {', '.join(PRECISIONS)}")
