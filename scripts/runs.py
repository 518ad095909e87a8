"""Lists the runs of a sweep: `python scripts/runs.py outputs/sweeps/...`.

State, progress, speed and the last value of a metric of each, and below it why those that failed
did. Reads the folders of the runs, and asks SLURM where there is one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from rich.console import Console
from rich.table import Table

from mimickit.errors import MimicKitError
from mimickit.launch.runs import Run, counts, survey
from mimickit.launch.status import ERROR


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """List the runs of the folder named on the command line; 0, or 1 with what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of a sweep, of several, or of one run")
    parser.add_argument("--metric", help="a column of metrics.csv (default: the return)")
    options = parser.parse_args(arguments)
    try:
        runs = survey(options.folder, options.metric)
    except MimicKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print_table(runs, options.folder)
    return 0


def print_table(runs: Sequence[Run], folder: Path) -> None:
    """Print a line for each run, then the reasons, then how many are in each state."""
    # A file or a pipe gets whole lines; only a terminal has a width to keep to.
    console = Console(
        width=None if sys.stdout.isatty() else 160, highlight=False, markup=False, soft_wrap=True
    )
    table = Table()
    for heading in ("run", "state", "samples", "done", "samples/s", "metric", "value"):
        table.add_column(
            heading, justify="left" if heading in ("run", "state", "metric") else "right"
        )
    for run in runs:
        table.add_row(
            _name(run, folder),
            run.state,
            f"{run.samples:,}",
            f"{min(1.0, run.samples / run.max_samples):.0%}" if run.max_samples else "-",
            "-" if run.rate is None else f"{run.rate:,.0f}",
            run.metric,
            "-" if run.value is None else f"{run.value:.4g}",
        )
    console.print(table)
    for run in runs:
        if run.reason:
            error = run.folder / ERROR
            console.print(f"{_name(run, folder)} {run.state}: {run.reason}")
            if error.is_file():
                console.print(f"  {error}")
    console.print(", ".join(f"{count} {state}" for state, count in counts(runs).items()))


def _name(run: Run, folder: Path) -> str:
    return str(run.folder.relative_to(folder)) if run.folder != folder else run.folder.name


if __name__ == "__main__":
    sys.exit(main())
