"""Runs every check of the project and says which failed: `python scripts/check.py`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ("mimickit", "scripts", "tests", "train.py")


@dataclass(frozen=True)
class Check:
    """One step: the package that must be installed for it, and the command."""

    name: str
    package: str
    command: tuple[str, ...]
    ci_only: bool = False


def checks() -> tuple[Check, ...]:
    """All steps, quickest first."""
    python = sys.executable
    present = tuple(name for name in CODE if (ROOT / name).exists())
    lowest = tuple(name for name in ("mimickit", "train.py") if (ROOT / name).exists())
    parallel = ("-n", str(min(os.cpu_count() or 1, 8)), "--dist", "loadfile")
    # vermin has no `python -m` entry. Annotations are never evaluated (every module imports them
    # from __future__), so they may use newer spellings; tests/test_python38.py sees to that.
    vermin = ("-c", "import sys, vermin; sys.exit(vermin.main())")
    return (
        Check("lint", "ruff", (python, "-m", "ruff", "check", *present)),
        Check("format", "ruff", (python, "-m", "ruff", "format", "--check", *present)),
        Check("spelling", "codespell_lib", (python, "-m", "codespell_lib")),
        Check(
            "python-3.8",
            "vermin",
            (python, *vermin, "-t=3.8-", "--no-tips", "--violations", "--quiet", *lowest),
        ),
        Check("types", "basedpyright", (python, "-m", "basedpyright")),
        Check("tests", "xdist", (python, "-m", "pytest", "-q", "--durations=5", *parallel)),
        Check(
            "slow-tests",
            "xdist",  # file by file, since those of a file may share a cluster
            (python, "-m", "pytest", "-q", "-m", "slow and not gpu", "--durations=0", *parallel),
            ci_only=True,
        ),
    )


def main() -> int:
    """Run the checks asked for; 0 if all pass, 1 if any fails."""
    known = {check.name: check for check in checks()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ci", action="store_true", help="the slow tests as well")
    parser.add_argument("--only", action="append", choices=list(known), help="only this check")
    arguments = parser.parse_args()

    chosen = [
        check
        for check in known.values()
        if (check.name in arguments.only if arguments.only else arguments.ci or not check.ci_only)
    ]
    missing = sorted({c.package for c in chosen if importlib.util.find_spec(c.package) is None})
    if missing:
        print(
            f"error: not installed: {', '.join(missing)}. "
            "Install what the checks need with: "
            'pip install -e ".[dev,viewer,gpu,retarget,wandb,sweep,slurm]"',
            file=sys.stderr,
        )
        return 1

    rows = []
    for check in chosen:
        print(f"--- {check.name}", flush=True)
        start = time.perf_counter()
        code = subprocess.run(check.command, cwd=ROOT, check=False).returncode
        rows.append((check.name, code, time.perf_counter() - start))
    print_table(rows)
    return 1 if any(code for _, code, _ in rows) else 0


def print_table(rows: list[tuple[str, int, float]]) -> None:
    """Print name, verdict and seconds of each step, and the sum."""
    print(f"\n{'check':<12} {'result':<8} {'seconds':>8}")
    for name, code, seconds in rows:
        print(f"{name:<12} {'passed' if code == 0 else 'FAILED':<8} {seconds:>8.1f}")
    failed = sum(1 for _, code, _ in rows if code)
    verdict = f"{failed} failed" if failed else "passed"
    print(f"{'all':<12} {verdict:<8} {sum(seconds for _, _, seconds in rows):>8.1f}")


if __name__ == "__main__":
    sys.exit(main())
