"""The record that TensorBoard shows: event files in the run folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mimickit.errors import RunError
from mimickit.loggers.logger import numbers, prepare_folder


class TensorboardLogger:
    """Writes scalars for `tensorboard --logdir outputs`; the horizontal axis counts samples.

    The writer is made when the first row comes, so that a run that fails before leaves nothing.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise RunError(
                "logger 'tensorboard' needs the package tensorboard: pip install tensorboard, or "
                "leave it out with logger=[text,csv]"
            )
        self.folder = prepare_folder(folder)
        self._purge_step: Any = None
        self._writer: Any = None

    def resume(self, samples: int) -> None:
        """Hide events beyond `samples` from TensorBoard; see `Logger.resume`."""
        self.close()
        self._purge_step = samples + 1 if samples > 0 else 0

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a point to every curve; see `Logger.log`."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow, and only needed here

            self._writer = SummaryWriter(log_dir=str(self.folder), purge_step=self._purge_step)
        for name, value in numbers(metrics).items():
            self._writer.add_scalar(name, value, samples)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
