"""Draws learning curves, mean and spread over seeds: `python scripts/plot.py outputs/...`.

Runs that differ in nothing but the seed are one curve. A folder may hold one run or many. Of a
study over clips, `--split motion` draws a panel per clip.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.table import Table

from mimickit.errors import MimicKitError
from mimickit.evaluation.curves import AXES, Curve, learning_curves
from mimickit.evaluation.drawing import draw
from mimickit.evaluation.records import find_runs, missing_jobs, read_runs, shortfall
from mimickit.launch.sweeps import planned_jobs


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Plot the runs named on the command line; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="run folders, folders of runs, or patterns")
    parser.add_argument("--x", default="samples", help=f"{', '.join(AXES)} (default: %(default)s)")
    parser.add_argument("--y", nargs="+", help="metrics, columns of metrics.csv")
    parser.add_argument("--split", metavar="SETTING", help="a panel for each value, e.g. motion")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        found = find_runs(options.runs)
        runs, unread = read_runs(found)
        curves = learning_curves(runs, options.x, options.y, options.split)
        missing = [
            x for name in options.runs for x in missing_jobs(planned_jobs(Path(name)), found)
        ]
        draw(curves, options.x, options.out)
    except MimicKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print_table(curves, options.x)
    rows = [run for run in runs if run.columns]
    print(f"{len(rows)} run{'s' if len(rows) > 1 else ''} drawn: {options.out}")
    for run in runs:
        if not run.columns:
            print(f"not drawn: {run.folder}: {shortfall(run)}")
    for reason in unread.values():
        print(f"not drawn: {reason}")
    for job in missing:
        print(f"not drawn: {job} left no run folder")
    return 0


def print_table(curves: Mapping[str, Sequence[Curve]], axis: str) -> None:
    """Print the last value of every curve, and which curves cover less than their longest run."""
    table = Table(
        title="Final values: mean and standard deviation over seeds", title_justify="left"
    )
    for heading in ("metric", "runs", "seeds", f"at {AXES[axis]}", "mean", "std"):
        table.add_column(heading, justify="left" if heading in ("metric", "runs") else "right")
    notes = []
    for name, group in curves.items():
        for curve in group:
            count = len(curve.final)
            spread = f"{curve.final.std(ddof=1):.4g}" if count > 1 else "-"
            end = f"{curve.shortest:,.0f}"
            mean = f"{curve.final.mean():.4g}"
            table.add_row(name, curve.label, str(count), end, mean, spread)
            if curve.shortest < 0.9 * curve.longest:
                notes.append(
                    f"note: {name}, {curve.label}: runs end between {curve.shortest:,.0f} and "
                    f"{curve.longest:,.0f}; the mean is drawn up to the first end"
                )
    # A file or a pipe gets whole lines; only a terminal has a width to keep to.
    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(table)
    for note in notes:
        print(note)


if __name__ == "__main__":
    sys.exit(main())
