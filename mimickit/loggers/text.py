"""The record that people read: log.txt, a fixed-width table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional, TextIO

from mimickit.loggers.logger import Logger, numbers, prepare_folder, refuse_existing, replace_file

NAME = "log.txt"
SAMPLES = "samples"
ABSENT = "-"
WIDTH = 12  # of a column, at the least


class TextLogger(Logger):
    """Appends rows to log.txt and flushes each.

    A line of column names stands above the first row, and again wherever a new metric appears.
    """

    def __init__(self, folder: Path) -> None:
        self.path = prepare_folder(folder) / NAME
        self._columns: list[str] = [SAMPLES]
        self._file: Optional[TextIO] = None

    def resume(self, samples: int) -> None:
        """Cut the rows beyond `samples`, and half a last line; see `Logger.resume`."""
        self.close()
        kept: list[str] = []
        self._columns = [SAMPLES]
        if samples > 0 and self.path.exists():
            columns = self._columns
            length = 0
            for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
                cells = line.split()
                if not line.endswith("\n") or not cells:
                    break
                kept.append(line)
                if cells[0] == SAMPLES:
                    columns = cells
                elif not cells[0].isdigit() or int(cells[0]) > samples:
                    break
                else:
                    # Column names that no kept row follows are not counted in.
                    length, self._columns = len(kept), columns
            kept = kept[:length]
        replace_file(self.path, "".join(kept))
        self._open()

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a row; see `Logger.log`."""
        values = numbers(metrics)
        if self._file is None:
            refuse_existing(self.path)
            self._open()
        new = [name for name in values if name not in self._columns]
        text = ""
        if new:
            self._columns = [*self._columns, *new]
            text += self._line(self._columns)
        cells = [
            format(values[name], ".6g") if name in values else ABSENT for name in self._columns[1:]
        ]
        text += self._line([str(int(samples)), *cells])
        assert self._file is not None
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def _line(self, cells: list[str]) -> str:
        widths = [max(WIDTH, len(name)) for name in self._columns]
        return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths)) + "\n"
