"""The record that programs read: metrics.csv, one row per logged iteration, exact floats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Optional, TextIO

from mimickit.errors import RunError
from mimickit.loggers.logger import Logger, numbers, prepare_folder, refuse_existing, replace_file

NAME = "metrics.csv"
SAMPLES = "samples"  # the first column


class CsvLogger(Logger):
    """Appends rows to metrics.csv and flushes each, so that a kill loses at most half a line.

    The columns are `samples` and then every metric in the order of its first appearance; a metric
    that appears late widens the file, and cells without a value are empty. Floats are written with
    all their digits.
    """

    def __init__(self, folder: Path) -> None:
        self.path = prepare_folder(folder) / NAME
        self._columns: list[str] = [SAMPLES]
        self._file: Optional[TextIO] = None

    def resume(self, samples: int) -> None:
        """Cut the rows beyond `samples`, and half a last line; see `Logger.resume`."""
        self.close()
        kept: list[list[str]] = []
        if self.path.exists():
            columns, rows = read_rows(self.path)
            kept = [row for row in rows if int(row[0]) <= samples] if samples > 0 else []
            # A column that only the cut rows used goes with them.
            used = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in kept)]
            self._columns = [columns[i] for i in used]
            kept = [[row[i] for i in used] for row in kept]
        if not kept:
            self._columns = [SAMPLES]
        self._rewrite(kept)

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a row; see `Logger.log`."""
        values = numbers(metrics)
        new = [name for name in values if name not in self._columns]
        if self._file is None:
            refuse_existing(self.path)
        if new or self._file is None:
            rows = [] if self._file is None else read_rows(self.path)[1]
            self._columns += new
            self._rewrite([row + [""] * len(new) for row in rows])
        cells = [repr(values[name]) if name in values else "" for name in self._columns[1:]]
        assert self._file is not None
        self._file.write(_lines([[str(int(samples)), *cells]]))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite(self, rows: Iterable[Sequence[str]]) -> None:
        self.close()
        replace_file(self.path, _lines([self._columns, *rows]))
        self._file = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a metrics.csv, as text; half a last line, left by a kill, is dropped.

    Raises:
        RunError: the file is missing or is not a metrics.csv.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(f"there is no {NAME} in {path.parent}") from None
    except UnicodeDecodeError:
        raise RunError(f"{path} is not a text file") from None
    whole = text[: text.rfind("\n") + 1]
    table = list(csv.reader(io.StringIO(whole)))
    if not table or not table[0] or table[0][0] != SAMPLES:
        raise RunError(f"{path} does not begin with a '{SAMPLES}' column: it is not a log of a run")
    columns, rows = table[0], table[1:]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns) or not row[0].isdigit():
            raise RunError(
                f"{path}, line {number}: {len(row)} cells under {len(columns)} columns, the first "
                f"of which is {row[0] if row else ''!r}; the file is damaged"
            )
    return columns, rows


def _lines(rows: Iterable[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
