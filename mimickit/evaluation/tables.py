"""A study as tables like the paper's Table 1: a row per clip, a column per method.

Markdown and LaTeX are for people, CSV (a line per cell) for programs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from mimickit.errors import RunError
from mimickit.evaluation.published import CLIPS, METHODS, SEEDS, published
from mimickit.evaluation.records import Run, group_runs, shortfall
from mimickit.evaluation.report import heading

SOURCE = f"Peng 2025 (arXiv 2510.13794), Table 1, {SEEDS} seeds"


@dataclass(frozen=True)
class Figure:
    """What one table is of.

    Attributes:
        key: in evaluation.json, or `samples` or `wall_s` of the run.
        heading: with the unit in which it is printed.
        scale: from the key's unit to the heading's. digits: behind the point.
        best: `min` or `max` of a row, to print bold; None where less is neither good nor bad.
    """

    key: str
    heading: str
    scale: float = 1.0
    digits: int = 3
    best: Optional[Callable[[Sequence[float]], float]] = None

    def text(self, value: float) -> str:
        """A value in the heading's unit."""
        return f"{value * self.scale:.{self.digits}f}"


ERRORS = (
    Figure("position_error_m", "Position error [m]", best=min),
    Figure("dof_velocity_error_rad_s", "DoF velocity error [rad/s]", best=min),
)
SUCCESS = Figure("success_rate", "Success [%]", 100.0, 1, best=max)
RETURN = Figure("return", "Return", digits=1, best=max)
COST = (Figure("samples", "Samples [M]", 1e-6, 1), Figure("wall_s", "Wall time [min]", 1 / 60, 1))


class Column(NamedTuple):
    """One way to train: a method, and whatever else sets it apart from another column."""

    label: str
    method: str


class Row(NamedTuple):
    """One task to master."""

    character: str
    clip: str


@dataclass(frozen=True)
class Study:
    """What a set of runs found.

    Attributes:
        figures: what there is to print, in order.
        values: of every run in a cell, by row, column and figure's key.
        left_out: the runs that are in no cell, by folder or name, and why.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    figures: tuple[Figure, ...]
    values: Mapping[tuple[Row, Column, str], tuple[float, ...]]
    left_out: Mapping[str, str]

    def cell(self, row: Row, column: Column, figure: Figure) -> tuple[float, ...]:
        """The runs' values, in the key's unit; none if there are no runs."""
        return self.values.get((row, column, figure.key), ())

    def paper(self, row: Row, column: Column, figure: Figure) -> Optional[tuple[float, float]]:
        """Mean and standard deviation that the paper has for a cell, if any."""
        found = published(column.method, row.character, row.clip)
        if found is None or figure not in ERRORS:
            return None
        return getattr(found, figure.key), getattr(found, f"{figure.key}_std")

    def name(self, row: Row) -> str:
        """A row's clip, behind its character where there are several."""
        several = len({row.character for row in self.rows}) > 1
        return f"{row.character} {row.clip}" if several else row.clip

    def best(self, row: Row, figure: Figure) -> Optional[str]:
        """How the best mean of a row is printed; None where there is nothing to choose from."""
        cells = [self.cell(row, column, figure) for column in self.columns]
        means = [_mean(values) for values in cells if values]
        if figure.best is None or len({figure.text(mean) for mean in means}) < 2:
            return None
        return figure.text(figure.best(means))


def make_study(runs: Sequence[Run], left_out: Optional[Mapping[str, str]] = None) -> Study:
    """The cells of a table over runs that came to their end; the others are named in `left_out`.

    Args:
        runs: of any number of methods, clips, characters and seeds.
        left_out: what is missing beside the runs, and why.

    Raises:
        RunError: no run came to its end.
    """
    missing = dict(left_out or {})
    missing.update({str(run.folder): why for run in runs if (why := shortfall(run))})
    finished = [run for run in runs if run.evaluation is not None]
    if not finished:
        first = next(iter(missing.items()))
        raise RunError(
            f"none of the {len(missing)} runs came to its end, so there is nothing to tabulate; "
            f"{first[0]}: {first[1]}"
        )
    columns = _columns(finished)
    values: dict[tuple[Row, Column, str], list[float]] = {}
    for run, column in zip(finished, columns):
        assert run.evaluation is not None
        cost = {"samples": float(run.samples), "wall_s": run.wall_s}
        for clip, found in run.evaluation["clips"].items():
            row = Row(_fact(run, "character"), clip)
            for key, value in {**found, **cost}.items():
                values.setdefault((row, column, key), []).append(float(value))
    rows = {row for row, _, _ in values}
    return Study(
        tuple(sorted(rows, key=lambda row: (row.character, _place(row.clip, CLIPS), row.clip))),
        tuple(sorted(dict.fromkeys(columns), key=lambda column: _place(column.method, METHODS))),
        _figures({key for _, _, key in values}),
        {cell: tuple(found) for cell, found in values.items()},
        missing,
    )


def markdown(study: Study) -> str:
    """The study as Markdown, a table per figure, and what is missing."""
    parts = [
        "Mean ± standard deviation over seeds (number of runs); the best mean of a row is bold. "
        f"Paper: {SOURCE}."
    ]
    for figure in study.figures:
        head, body = _grid(study, figure, "±", "**{}**")
        lines = [head, ["---", *["--:"] * (len(head) - 1)], *body]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        parts.append(f"### {figure.heading}\n\n{table}")
    if study.left_out:
        named = "\n".join(f"- {name}: {why}" for name, why in study.left_out.items())
        parts.append(f"Not in the tables:\n\n{named}")
    return "\n\n".join(parts) + "\n"


def latex(study: Study) -> str:
    """The study as LaTeX, a `table` per figure; it needs the package booktabs."""
    parts = [f"% not in the tables: {name}: {why}" for name, why in study.left_out.items()]
    for figure in study.figures:
        head, body = _grid(study, figure, "$\\pm$", "\\textbf{{{}}}", _escape)
        lines = [" & ".join(line) + r" \\" for line in (head, *body)]
        caption = (
            f"{_escape(figure.heading)}: mean and standard deviation over seeds (number of runs)."
        )
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"  \centering",
                    rf"  \caption{{{caption}}}",
                    rf"  \begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
                    r"    \toprule",
                    f"    {lines[0]}",
                    r"    \midrule",
                    *(f"    {line}" for line in lines[1:]),
                    r"    \bottomrule",
                    r"  \end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n".join(parts) + "\n"


def csv_text(study: Study) -> str:
    """The study as CSV, a line per cell that has runs, in the units of the keys, all digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        "character clip column method figure n mean std paper_mean paper_std".split()  # noqa: SIM905
    )
    for figure in study.figures:
        for row in study.rows:
            for column in study.columns:
                values = study.cell(row, column, figure)
                if values:
                    mean, spread = _mean(values), _spread(values)
                    paper = study.paper(row, column, figure) or ("", "")
                    name = (row.character, row.clip, column.label, column.method, figure.key)
                    shown = "" if spread is None else repr(spread)
                    writer.writerow([*name, len(values), repr(mean), shown, *paper])
    return buffer.getvalue()


WRITERS = {".md": markdown, ".csv": csv_text, ".tex": latex}


def _columns(runs: Sequence[Run]) -> list[Column]:
    """Which column each run belongs to.

    Runs are told apart among those of their own row: what differs between rows only, such as a
    budget that each clip has, is no reason for a column.
    """
    rows: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        row = (_fact(run, "character"), repr(run.settings.get("motion")))
        rows.setdefault(row, []).append(run)
    labels: dict[int, str] = {}
    for members in rows.values():
        for label, group in group_runs(members, always=("method.name",)).items():
            for run in group:
                labels[id(run)] = label if run.settings else _fact(run, "method")
    return [Column(labels[id(run)], _fact(run, "method")) for run in runs]


def _fact(run: Run, name: str) -> str:
    """A run's method or character."""
    assert run.evaluation is not None
    about: Mapping[str, Any] = run.evaluation.get("about", {})
    return str(run.settings.get(f"{name}.name", about.get(name, "unknown")))


def _figures(keys: set[str]) -> tuple[Figure, ...]:
    goals = [Figure(key, heading(key).capitalize()) for key in sorted(keys) if "goal_" in key]
    errors = [figure for figure in ERRORS if figure.key in keys]
    score = [RETURN] if goals or not errors else []
    return (*errors, SUCCESS, *goals, *score, *COST)


def _grid(
    study: Study,
    figure: Figure,
    plus_minus: str,
    bold: str,
    escape: Callable[[str], str] = str,
) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of one figure's table; the paper stands beside whom it has figures for."""
    with_paper = {
        column
        for column in study.columns
        if any(study.paper(row, column, figure) for row in study.rows)
    }
    head = ["clip"]
    for column in study.columns:
        head += [escape(column.label), *(["paper"] if column in with_paper else [])]
    body = []
    for row in study.rows:
        cells, best = [escape(study.name(row))], study.best(row, figure)
        for column in study.columns:
            cells.append(_cell(study.cell(row, column, figure), figure, best, plus_minus, bold))
            if column in with_paper:
                paper = study.paper(row, column, figure)
                cells.append(f" {plus_minus} ".join(map(figure.text, paper)) if paper else "-")
        body.append(cells)
    return head, body


def _cell(
    values: Sequence[float], figure: Figure, best: Optional[str], plus_minus: str, bold: str
) -> str:
    if not values:
        return "-"
    mean, spread = figure.text(_mean(values)), _spread(values)
    shown = bold.format(mean) if mean == best else mean
    return (
        shown
        + (f" {plus_minus} {figure.text(spread)}" if spread is not None else "")
        + f" ({len(values)})"
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _spread(values: Sequence[float]) -> Optional[float]:
    """Of a sample (n - 1); None for a single value, which says nothing of it."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _place(name: str, known: Sequence[str]) -> int:
    return known.index(name) if name in known else len(known)


def _escape(text: str) -> str:
    """Text for LaTeX."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{char: f"\\{char}" for char in "&%$#_{}"},
    }
    return "".join(special.get(char, char) for char in text)
