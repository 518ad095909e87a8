"""What a dotted path in a config names."""

from __future__ import annotations

import importlib
from typing import Any

from mimickit.errors import ConfigError, UnknownName, closest


def locate(target: str, key: str) -> Any:
    """Import what a `_target_` names.

    Raises:
        ConfigError: it cannot be imported or is not callable. UnknownName: it does not exist.
    """
    where = f"{key}._target_" if key else "_target_"
    parts = target.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:count])
        try:
            found = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and f"{module_name}.".startswith(f"{error.name}."):
                continue  # the path itself is wrong here; a shorter one may exist
            raise ConfigError(
                f"{where}={target} needs the package '{error.name}', which is not installed"
            ) from error
        except (ImportError, ValueError) as error:
            raise ConfigError(f"{where}={target} cannot be imported: {error}") from error
        for name in parts[count:]:
            if not hasattr(found, name):
                near = closest(name, [n for n in dir(found) if not n.startswith("_")])
                hint = f" Closest: {', '.join(near)}." if near else ""
                raise UnknownName(f"{where}={target}: {module_name} has no '{name}'.{hint}")
            found = getattr(found, name)
        if not callable(found):
            raise ConfigError(f"{where}={target} is not something that can be called")
        return found
    raise UnknownName(f"{where}={target}: there is no module '{parts[0]}'")
