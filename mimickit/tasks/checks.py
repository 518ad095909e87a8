"""Refuses task settings that cannot work, naming the key to change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mimickit.errors import ConfigError


def check_terms(values: Mapping[str, float], terms: Sequence[str], key: str) -> None:
    """One finite number >= 0 per reward term, no more and no fewer.

    Raises:
        ConfigError: otherwise.
    """
    if set(values) != set(terms):
        raise ConfigError(f"{key} wants {', '.join(terms)}; got {', '.join(values)}")
    for name, value in values.items():
        check_number(value, 0.0, f"{key}.{name}")


def check_number(value: float, least: float, key: str) -> None:
    """A finite number of at least `least`.

    Raises:
        ConfigError: otherwise.
    """
    if not isinstance(value, (int, float)) or not least <= value < math.inf:
        raise ConfigError(f"{key} must be >= {least:g}, got {value}")


def check_range(values: Sequence[float], least: float, key: str) -> None:
    """A pair [low, high] of finite numbers, both at least `least`.

    Raises:
        ConfigError: otherwise.
    """
    fits = len(values) == 2 and all(isinstance(value, (int, float)) for value in values)
    if not fits or not least <= values[0] <= values[1] < math.inf:
        raise ConfigError(
            f"{key} must be [low, high] with {least:g} <= low <= high, got {list(values)}"
        )
