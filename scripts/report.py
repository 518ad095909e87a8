"""Tables of a study, like the paper's Table 1: `python scripts/report.py outputs/sweeps/...`.

A row per clip, a column per method, n, mean and standard deviation over seeds, the paper's figures
beside them. Runs that failed, are not finished or are missing are named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mimickit.errors import MimicKitError, RunError
from mimickit.evaluation import report
from mimickit.evaluation.records import find_runs, missing_jobs, read_runs
from mimickit.evaluation.tables import WRITERS, make_study, markdown
from mimickit.launch.sweeps import planned_jobs


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Tabulate the runs on the command line; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="folders of a sweep or of runs, or patterns")
    parser.add_argument(
        "--evaluation", default=report.NAME, help="file in each run's folder (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, nargs="+", default=[], help=f"files to write: {', '.join(WRITERS)}"
    )
    options = parser.parse_args(arguments)
    try:
        for path in options.out:
            if path.suffix not in WRITERS:
                raise RunError(f"--out {path}: '{path.suffix}' is none of {', '.join(WRITERS)}")
        runs, unread = read_runs(find_runs(options.runs), options.evaluation)
        left_out = {str(folder): why for folder, why in unread.items()}
        for argument in options.runs:
            folders = [run.folder for run in runs] + list(unread)
            missing = missing_jobs(planned_jobs(Path(argument)), folders)
            left_out.update({f"{argument}, {job}": "left no run folder" for job in missing})
        study = make_study(runs, left_out)
        for path in options.out:
            write(path, WRITERS[path.suffix](study))
    except MimicKitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(markdown(study))
    for path in options.out:
        print(f"written: {path}")
    return 0


def write(path: Path, text: str) -> None:
    """Write a file.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write --out {path}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
