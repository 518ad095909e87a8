"""Learning curves: a metric of a group of runs, averaged over seeds on a common grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from mimickit.errors import UnknownName, unknown_name_message
from mimickit.evaluation.records import IDENTITY, Run, differ, group_runs, str_of

# What the horizontal axis may count, and the column that holds it.
AXES = {"samples": "samples", "wall": "time/wall_s", "iterations": "train/iterations"}
# Drawn when no metric is asked for: those of these that the runs have.
USUAL = ("eval/success_rate", "eval/position_error_m", "train/return", "train/episode_length_s")
GRID = 256  # points of a mean curve


@dataclass(frozen=True)
class Curve:
    """One metric of one group of runs.

    Attributes:
        label: what sets the group apart from the others.
        runs: (x, y) points of every run, one run per seed.
        x, mean, std: [P] over the stretch that all runs cover; std is that of a sample (n - 1),
            and 0 for a single run.
        final: value of every run where the first of them ends.
    """

    label: str
    runs: tuple[tuple[np.ndarray, np.ndarray], ...]
    x: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    final: np.ndarray

    @property
    def shortest(self) -> float:
        """Where the first run ends, on the horizontal axis."""
        return min(float(x[-1]) for x, _ in self.runs)

    @property
    def longest(self) -> float:
        """Where the last run ends, on the horizontal axis."""
        return max(float(x[-1]) for x, _ in self.runs)


def choose_metrics(runs: Sequence[Run], wanted: Optional[Sequence[str]]) -> list[str]:
    """The metrics asked for, or the usual ones.

    Raises:
        UnknownName: no run has one of them; the message names the closest.
    """
    known = {name for run in runs for name in run.columns} - set(AXES.values())
    for name in wanted or ():
        if name not in known:
            raise UnknownName(unknown_name_message("no run has a metric", name, known, "--y"))
    if wanted:
        return list(dict.fromkeys(wanted))
    usual = [name for name in USUAL if name in known]
    rest = sorted(name for name in known if not name.startswith("time/"))
    return usual or rest[:4]


def average(label: str, runs: Sequence[Run], x: str, y: str) -> Optional[Curve]:
    """Mean and spread of one metric over a group's runs; None if no run has it.

    Args:
        x: column of the horizontal axis. y: metric.
    """
    points = tuple(curve for curve in (run.curve(x, y) for run in runs) if len(curve[0]))
    if not points:
        return None
    low = max(float(px[0]) for px, _ in points)
    high = min(float(px[-1]) for px, _ in points)
    if len(points) == 1:
        grid = points[0][0]
    elif low <= high:
        grid = np.linspace(low, high, GRID)
    else:
        grid = np.empty(0)  # one run ends before another begins
    values = np.array([np.interp(grid, px, py) for px, py in points])
    spread = values.std(axis=0, ddof=1) if len(points) > 1 else np.zeros_like(grid)
    final = np.array([np.interp(high, px, py) for px, py in points])
    return Curve(label, points, grid, values.mean(axis=0), spread, final)


def learning_curves(
    runs: Sequence[Run],
    axis: str = "samples",
    metrics: Optional[Sequence[str]] = None,
    split: Optional[str] = None,
) -> dict[str, list[Curve]]:
    """The curves of every metric, one per group of runs that has it, by title.

    Args:
        axis: one of `AXES`.
        metrics: columns; the usual ones if not given.
        split: a setting, e.g. `motion`; its values then get curves of their own, and a title that
            begins with the value.

    Raises:
        UnknownName: a metric, an axis or a setting that no run has.
    """
    if axis not in AXES:
        raise UnknownName(unknown_name_message("there is no axis", axis, AXES, "--x"))
    names = choose_metrics(runs, metrics)
    known = {name for run in runs for name in run.columns}
    if AXES[axis] not in known:
        raise UnknownName(
            unknown_name_message(f"--x {axis} needs a column", AXES[axis], known)
            + " Use --x samples, which every run has."
        )
    # A panel's labels leave out what is alike in it, but never what another panel's need.
    always = [key for key in IDENTITY if key != split and differ(key, runs, "settings")]
    always = always or ["method.name"] if split else []
    curves = {}
    for title, members in _split(runs, split).items():
        groups = group_runs(members, always)
        for name in names:
            found = (average(label, group, AXES[axis], name) for label, group in groups.items())
            curves[f"{title}{name}"] = [curve for curve in found if curve is not None]
    return {title: group for title, group in curves.items() if group}


def _split(runs: Sequence[Run], setting: Optional[str]) -> dict[str, list[Run]]:
    """Runs by how the titles of their curves begin."""
    if setting is None:
        return {"": list(runs)}
    known = {key for run in runs for key in run.settings}
    if setting not in known:
        raise UnknownName(unknown_name_message("no run has a setting", setting, known, "--split"))
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(f"{str_of(run.settings.get(setting))}: ", []).append(run)
    return parts
