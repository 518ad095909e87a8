"""Leave no folder behind of a run or a sweep that failed before it wrote anything."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

SWEEP_RECORD = "multirun.yaml"  # what Hydra itself writes into the folder of a sweep

_made: list[Path] = []  # what was not there before Hydra made this program's folder, deepest first


class Remember(Callback):
    """Looks which folders Hydra is about to make, so that a user's empty ones are not removed."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra is about to make the folder of a run."""
        remember(config, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra is about to make the folder of a sweep."""
        remember(config, "hydra.sweep.dir")


def remember(config: DictConfig, key: str) -> None:
    """Note which folders on the way to the one at `key` do not exist yet."""
    _made.clear()
    # A value that cannot be resolved is Hydra's to complain about.
    with contextlib.suppress(OmegaConfBaseException, OSError):
        path = Path(str(OmegaConf.select(config, key))).absolute()
        _made.extend(folder for folder in (path, *path.parents) if not folder.exists())


def remove_unused() -> None:
    """Remove what Hydra made for this program, as far as nothing was written there."""
    with contextlib.suppress(OSError):  # it was never made
        if _made and [path.name for path in _made[0].iterdir()] == [SWEEP_RECORD]:
            (_made[0] / SWEEP_RECORD).unlink()
    for folder in _made:
        with contextlib.suppress(OSError):  # it holds something
            folder.rmdir()
    _made.clear()
