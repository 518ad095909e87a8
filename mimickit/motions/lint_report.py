"""What the linter found, for people and for scripts: a table, a list, an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Optional

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mimickit.motions.lint import THRESHOLDS, Report, Severity

CLEAN, FAULTY, UNREADABLE = 0, 1, 2  # exit codes
WIDTH = 120

# Heading, check, factor and digits of each column of figures.
COLUMNS = (
    ("ground\ncm", "penetration", 100.0, 1),
    ("skating\nm/s", "skating", 1.0, 2),
    ("hinges\nrad", "hinge_limit", 1.0, 2),
    ("balls\nrad", "ball_limit", 1.0, 2),
    ("joints\nrad/s", "joint_speed", 1.0, 1),
    ("jump\nrad", "jump", 1.0, 2),
    ("seam\nrad", "seam", 1.0, 2),
    ("gravity\nfactor", "gravity", 1.0, 2),
)


def exit_code(reports: Sequence[Report]) -> int:
    """2 if anything could not be read, else 1 if any clip has an error, else 0."""
    if not all(report.readable for report in reports):
        return UNREADABLE
    return FAULTY if any(report.severity == Severity.ERROR for report in reports) else CLEAN


def worst_first(reports: Sequence[Report]) -> list[Report]:
    """What cannot be read, then errors, then warnings, then the rest; equals stay in order."""
    return sorted(reports, key=lambda report: (report.readable, -report.severity))


def text(reports: Sequence[Report], rows: Optional[int] = None) -> str:
    """A row per clip and a line per finding, worst clips first, then one line that sums up.

    Args:
        rows: how many clips to show; None shows all.
    """
    order = worst_first(reports)
    shown = order[:rows]
    out = StringIO()
    console = Console(file=out, width=WIDTH, highlight=False)
    console.print(_table(shown))
    for report in shown:
        for finding in report.findings:
            line = f"{report.name}: {finding.severity.name.lower()}: {finding.check}: "
            out.write(f"{line}{finding.message}\n")
    hidden = len(order) - len(shown)
    if hidden:
        out.write(f"... and {hidden} clips more, none worse than these (rows=null shows all)\n")
    out.write(f"{_summary(reports)}\n")
    return out.getvalue()


def _table(reports: Sequence[Report]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("clip", overflow="fold", max_width=34)
    for heading in ("fps", "s", *(heading for heading, *_ in COLUMNS), "errors", "warnings"):
        table.add_column(heading, justify="right")
    for report in reports:
        cells = ["-" if report.fps is None else f"{report.fps:g}"]
        cells.append("-" if report.duration is None else f"{report.duration:.2f}")
        for _, check, factor, digits in COLUMNS:
            cells.append(_cell(report, check, factor, digits))
        for severity in (Severity.ERROR, Severity.WARNING):
            cells.append(str(sum(found.severity == severity for found in report.findings)))
        table.add_row(report.name, *cells)
    return table


def _cell(report: Report, check: str, factor: float, digits: int) -> str:
    if check not in report.figures:
        return "-"
    value, threshold = report.figures[check], THRESHOLDS[check]
    mark = "!!" if value > threshold.error else "!" if value > threshold.warning else ""
    return f"{factor * value:.{digits}f}{mark}"


def _summary(reports: Sequence[Report]) -> str:
    faulty = sum(report.severity == Severity.ERROR for report in reports)
    warned = sum(report.severity == Severity.WARNING for report in reports)
    unreadable = sum(not report.readable for report in reports)
    parts = [f"{faulty} with errors", f"{warned} with warnings only"]
    if unreadable:
        parts[0] += f" ({unreadable} unreadable)"
    return f"{len(reports)} clips: {', '.join(parts)}"
