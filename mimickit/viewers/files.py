"""What must hold before a viewer draws into a file: a fit name, a folder, a package."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from mimickit.errors import ConfigError, RunError


def prepare_output(path: Path, suffix: str, package: str) -> None:
    """Make the file's folder, once everything else is right.

    Args:
        path: the file to be. suffix: how it must end. package: what must be importable to write it.

    Raises:
        ConfigError: another suffix. RunError: the extra `viewer` is not installed, or the file
        cannot be written there.
    """
    if path.suffix.lower() != suffix:
        raise ConfigError(f"the file to draw into must end in {suffix}, got {path}")
    if importlib.util.find_spec(package) is None:
        raise RunError(
            f"{suffix} files need the package {package}, which is not installed; install the "
            "extra `viewer`: pip install -e '.[viewer]'"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"folder {path.parent} cannot be made for {path.name}: {error.strerror}"
        ) from None
    if path.is_dir():
        raise RunError(f"{path} is a folder; name a file in it")
    try:
        tempfile.TemporaryFile(dir=str(path.parent)).close()
    except OSError:
        raise RunError(
            f"folder {path.parent} is not writable, so {path.name} cannot be saved"
        ) from None
