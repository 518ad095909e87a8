"""What a logger is, and the one that passes everything on to several others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mimickit.errors import RunError


class Logger(Protocol):
    """Keeps a record of a run, one row of metrics at a time.

    Names are `section/metric`. Whatever depends on the clock of the machine is under `time/`, so
    that a comparison of two runs can drop those columns and expect the rest to be equal.

    A logger that inherits from this class need not care for the settings and the final evaluation,
    which lie in the run folder in files of their own.
    """

    def describe(self, config: Mapping[str, Any]) -> None:
        """Take the settings of the run; comes before the first row of a session."""

    def resume(self, samples: int) -> None:
        """Go on with an existing record, cut after the last row with at most `samples` samples.

        What is logged from here on continues the record as if the run had never been interrupted.
        With 0 the record starts over.
        """
        ...

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a row: the metrics after `samples` samples have been collected in all."""
        ...

    def conclude(self, results: Mapping[str, Mapping], samples: int) -> None:
        """Take the evaluation at the end of the run, `overall` and of all `clips`."""

    def close(self) -> None:
        """Write out what is held back and let go of all files."""
        ...


class Loggers:
    """Passes every row to several loggers, in order."""

    def __init__(self, loggers: Iterable[Logger]) -> None:
        self.loggers = tuple(loggers)

    def describe(self, config: Mapping[str, Any]) -> None:
        """Describe the run to every logger; see `Logger.describe`."""
        for logger in self.loggers:
            logger.describe(config)

    def resume(self, samples: int) -> None:
        """Resume every logger; see `Logger.resume`."""
        for logger in self.loggers:
            logger.resume(samples)

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Log to every logger; see `Logger.log`."""
        for logger in self.loggers:
            logger.log(metrics, samples)

    def conclude(self, results: Mapping[str, Mapping], samples: int) -> None:
        """Conclude with every logger; see `Logger.conclude`."""
        for logger in self.loggers:
            logger.conclude(results, samples)

    def close(self) -> None:
        """Close every logger."""
        for logger in self.loggers:
            logger.close()


def numbers(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics as plain Python floats.

    Raises:
        ValueError: a name is not `section/metric`, so that it might clash with another column.
    """
    for name in metrics:
        if "/" not in name or any(c.isspace() for c in name):
            raise ValueError(f"metric {name!r} is not named section/metric")
    return {name: float(value) for name, value in metrics.items()}


def final_figures(results: Mapping[str, Mapping]) -> dict[str, float]:
    """What to log of the evaluation at the end, as `final/<figure>`."""
    return {f"final/{name}": float(value) for name, value in results["overall"].items()}


def clip_table(results: Mapping[str, Mapping]) -> tuple[list[str], list[list[Any]]]:
    """The evaluation of each clip: names of the columns, the first of which is `clip`, and rows."""
    clips = results["clips"]
    figures = list(dict.fromkeys(name for row in clips.values() for name in row))
    return ["clip", *figures], [
        [clip, *(row.get(name) for name in figures)] for clip, row in clips.items()
    ]


def prepare_folder(folder: Path) -> Path:
    """Make sure that files can be written into `folder`, which is created if need be.

    Raises:
        RunError: it cannot be created or written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot create the run folder {folder}: {error.strerror}; choose another with "
            "hydra.run.dir=..."
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RunError(
            f"cannot write into the run folder {folder}: permission denied; choose another with "
            "hydra.run.dir=..."
        )
    return folder


def refuse_existing(path: Path) -> None:
    """Keep a new run from writing over the record of an old one.

    Raises:
        RunError: `path` exists.
    """
    if path.exists():
        raise RunError(
            f"{path} is the record of an earlier run and will not be overwritten; go on with that "
            "run with resume=auto, or choose another folder with hydra.run.dir=..."
        )


def replace_file(path: Path, text: str) -> None:
    """Write a file so that at any moment either the old or the new content is there."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
