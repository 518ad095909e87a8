"""The record that TensorBoard shows: event files in the run folder."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mimickit.errors import RunError
from mimickit.loggers.logger import Logger, clip_table, final_figures, numbers, prepare_folder


class TensorboardLogger(Logger):
    """Writes scalars for `tensorboard --logdir outputs`; the horizontal axis counts samples.

    The settings are there as a text and in the table of hyperparameters, beside the figures of the
    evaluation at the end, whose clips are a text as well. The writer is made when the first row
    comes, so that a run that fails before leaves nothing.
    """

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise RunError(
                "logger 'tensorboard' needs the package tensorboard: pip install tensorboard, or "
                "leave it out with logger=[text,csv]"
            )
        self.folder = prepare_folder(folder)
        self._config: dict[str, Any] = {}
        self._start = 0  # samples of the record that this session continues
        self._purge_step: Any = None
        self._writer: Any = None

    def describe(self, config: Mapping[str, Any]) -> None:
        """Keep the settings for the first row; see `Logger.describe`."""
        self._config = dict(config)

    def resume(self, samples: int) -> None:
        """Hide events beyond `samples` from TensorBoard; see `Logger.resume`."""
        self.close()
        self._start = samples
        self._purge_step = samples + 1 if samples > 0 else 0

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a point to every curve; see `Logger.log`."""
        writer = self._open()
        for name, value in numbers(metrics).items():
            writer.add_scalar(name, value, samples)
        writer.flush()

    def conclude(self, results: Mapping[str, Mapping], samples: int) -> None:
        """Add the evaluation; see `Logger.conclude`."""
        from torch.utils.tensorboard.summary import hparams

        writer, figures = self._open(), final_figures(results)
        for name, value in figures.items():
            writer.add_scalar(name, value, samples)
        writer.add_text("final/clips", _table(*clip_table(results)), samples)
        # Which figures stand beside the settings must be said together with the settings.
        for summary in hparams(dict(_flat(self._config, "")), dict.fromkeys(figures, 0.0)):
            writer.file_writer.add_summary(summary)
        writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            import yaml
            from torch.utils.tensorboard import SummaryWriter  # slow, and only needed here

            self._writer = SummaryWriter(log_dir=str(self.folder), purge_step=self._purge_step)
            if self._config:
                settings = yaml.safe_dump(self._config, sort_keys=False)
                self._writer.add_text("config", f"```yaml\n{settings}```", self._start)
        return self._writer


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """The leaves of the settings, each a number, a truth or a text."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (bool, int, float, str)):
            yield f"{prefix}{key}", value
        else:
            yield f"{prefix}{key}", str(value)


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown, which TensorBoard renders."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
