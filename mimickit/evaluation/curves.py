"""Learning curves of runs: read, grouped over seeds, averaged on a common grid, and drawn."""

from __future__ import annotations

import glob
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import yaml

from mimickit.errors import ConfigError, RunError, UnknownName, unknown_name_message
from mimickit.loggers.csv import NAME, read_rows

# What the horizontal axis may count, and the column that holds it.
AXES = {"samples": "samples", "wall": "time/wall_s", "iterations": "train/iterations"}
AXIS_LABELS = {"samples": "samples", "wall": "wall time [min]", "iterations": "iterations"}
# Drawn when no metric is asked for: those of these that the runs have.
USUAL = ("eval/success_rate", "eval/position_error_m", "train/return", "train/episode_length_s")
CONFIG = "resolved.yaml"
SAME_CURVE = ("seed", "resume")  # settings in which runs of one group may differ
IDENTITY = ("method.name", "character.name", "motion", "engine.name", "algo.name")
GRID = 256  # points of a mean curve
# Source: Okabe and Ito 2008, "Color Universal Design", a palette that the colour-blind can read.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Run:
    """One run as its folder tells it.

    Attributes:
        folder: where it lies.
        settings: leaves of its resolved config by dotted key; empty if it has none.
        columns: metrics by name, [rows], NaN where a row has no value.
    """

    folder: Path
    settings: Mapping[str, Any]
    columns: Mapping[str, np.ndarray]

    def curve(self, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
        """The points [P], [P] of the rows that have both columns."""
        if x not in self.columns or y not in self.columns:
            return np.empty(0), np.empty(0)
        both = np.isfinite(self.columns[x]) & np.isfinite(self.columns[y])
        return self.columns[x][both], self.columns[y][both]


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


def find_runs(arguments: Iterable[str]) -> list[Path]:
    """Run folders named by folders, folders of runs, metrics.csv files or patterns, in order.

    Raises:
        RunError: an argument names nothing, or nothing that has a metrics.csv.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        matches = [Path(argument)] if Path(argument).exists() else _expand(argument)
        if not matches:
            raise RunError(f"there is no run folder {argument}{_neighbours(Path(argument))}")
        runs = [path for match in matches for path in _runs_below(match)]
        if not runs:
            raise RunError(f"there is no {NAME} in {argument}, nor in any folder below it")
        found.update(dict.fromkeys(runs))
    return list(found)


def read_run(folder: Path) -> Run:
    """A run's settings and metrics.

    Raises:
        RunError: its metrics.csv or resolved.yaml is missing or damaged, or has no rows yet.
    """
    path = folder / NAME
    names, rows = read_rows(path)
    if not rows:
        raise RunError(f"{path} has no rows yet")
    try:
        table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None
    return Run(folder, _settings(folder / CONFIG), dict(zip(names, table.T)))


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that differ in nothing but the seed, under a label that says how groups differ.

    A run without a resolved config is a group of its own, labelled with its folder.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        leaves = {key: repr(v) for key, v in run.settings.items() if key not in SAME_CURVE}
        groups.setdefault(tuple(sorted(leaves.items())) or run.folder, []).append(run)
    labelled: dict[str, list[Run]] = {}
    for label, members in zip(_labels([group[0] for group in groups.values()]), groups.values()):
        labelled[label] = members
    return labelled


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
    runs: Sequence[Run], axis: str = "samples", metrics: Optional[Sequence[str]] = None
) -> dict[str, list[Curve]]:
    """The curves of every metric, one per group of runs that has it.

    Raises:
        UnknownName: a metric or an axis that no run has.
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
    groups = group_runs(runs)
    curves = {}
    for name in names:
        found = (average(label, group, AXES[axis], name) for label, group in groups.items())
        curves[name] = [curve for curve in found if curve is not None]
    return curves


def draw(curves: Mapping[str, Sequence[Curve]], axis: str, path: Path) -> None:
    """Write a picture with one panel per metric: each run thin, the mean bold, the spread shaded.

    Raises:
        RunError: matplotlib is missing, or the picture cannot be written.
        ConfigError: the file name's ending is no picture format.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise RunError('plots need matplotlib: pip install -e ".[viewer]"') from None
    formats = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ConfigError(
            f"--out {path}: '{path.suffix}' is no picture format; use one of {', '.join(formats)}"
        )
    columns = min(len(curves), 2)
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(5.2 * columns + 0.6, 3.4 * rows + 0.7), layout="constrained")
    labels = list(dict.fromkeys(curve.label for group in curves.values() for curve in group))
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(labels)}
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    handles: dict[str, Any] = {}
    for panel, (name, group) in zip(panels, curves.items()):
        for curve in group:
            line = _draw_curve(panel, curve, axis, colours[curve.label])
            seeds = f" ({len(curve.runs)} seeds)" if len(curve.runs) > 1 else ""
            handles.setdefault(curve.label + seeds, line)
        _dress(panel, name, axis)
    for panel in panels[len(curves) :]:  # the last row may have a place too many
        panel.set_visible(False)
    figure.legend(
        handles.values(), handles.keys(), loc="outside upper left", ncols=columns, frameon=False
    )
    if any(len(curve.runs) > 1 for group in curves.values() for curve in group):
        caption = "thin: each run; bold: mean over seeds; shaded: one standard deviation"
        figure.supxlabel(caption, fontsize=8, color="0.4")
    try:
        figure.savefig(str(path), dpi=150)
    except OSError as error:
        raise RunError(f"cannot write --out {path}: {error.strerror}") from None


def _draw_curve(panel: Any, curve: Curve, axis: str, colour: str) -> Any:
    unit = 60.0 if axis == "wall" else 1.0  # the column is in seconds, the axis in minutes
    for x, y in curve.runs if len(curve.runs) > 1 else ():
        panel.plot(x / unit, y, color=colour, linewidth=0.7, alpha=0.35)
    low, high = curve.mean - curve.std, curve.mean + curve.std
    panel.fill_between(curve.x / unit, low, high, color=colour, alpha=0.18, linewidth=0)
    few = max(len(x) for x, _ in curve.runs) <= 2
    (line,) = panel.plot(
        curve.x / unit, curve.mean, color=colour, linewidth=1.6, marker="o" if few else ""
    )
    return line


def _dress(panel: Any, name: str, axis: str) -> None:
    from matplotlib.ticker import EngFormatter

    panel.set_title(name, loc="left", fontsize=11)
    panel.set_xlabel(AXIS_LABELS[axis])
    if axis == "samples":
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))  # 500k, 2M
    panel.margins(x=0.01)
    panel.set_xlim(left=0)
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if name.endswith("_rate"):
        panel.set_ylim(-0.03, 1.03)


def _expand(pattern: str) -> list[Path]:
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]


def _neighbours(missing: Path) -> str:
    """What exists beside a path that does not."""
    parent = missing.parent
    if not parent.is_dir():
        return ""
    folders = (path.name for path in parent.iterdir() if path.is_dir())
    names = sorted(name for name in folders if not name.startswith("."))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"; {parent} holds: {shown or 'no folders'}"


def _runs_below(path: Path) -> list[Path]:
    if path.name == NAME:
        return [path.parent]
    if (path / NAME).exists():
        return [path]
    return sorted(file.parent for file in path.rglob(NAME)) if path.is_dir() else []


def _settings(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise RunError(f"{path} is not readable YAML: {line}") from None
    if not isinstance(config, dict):
        raise RunError(f"{path} holds no settings")
    return dict(_leaves(config, ""))


def _leaves(node: Mapping[Any, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _labels(runs: Sequence[Run]) -> list[str]:
    """Distinct labels for one run of each group: names first, then whatever else differs."""

    def texts(keys: Iterable[str], among: Sequence[Run]) -> list[str]:
        """The keys in which `among` differ, of each run as 'key=value'."""
        parts: list[list[str]] = [[] for _ in among]
        for key in keys:
            values = [run.settings.get(key) for run in among]
            if any(value != values[0] for value in values):
                for part, value in zip(parts, values):
                    short = key[: -len(".name")] if key.endswith(".name") else key
                    part.append(f"{short}={value}")
        return [", ".join(part) for part in parts]

    first = [
        text if run.settings else str(run.folder) for run, text in zip(runs, texts(IDENTITY, runs))
    ]
    labels = list(first)
    for text in dict.fromkeys(first):
        alike = [i for i, other in enumerate(first) if other == text]
        keys = sorted({key for i in alike for key in runs[i].settings} - {*SAME_CURVE, *IDENTITY})
        for i, more in zip(alike, texts(keys, [runs[i] for i in alike])):
            labels[i] = ", ".join(part for part in (text, more) if part)
    if len(labels) == 1 and not labels[0]:
        names = [runs[0].settings.get(key) for key in IDENTITY[:3]]
        labels = [" ".join(str(name) for name in names if name is not None) or "runs"]
    shortened = [label if len(label) <= 80 else label[:77] + "..." for label in labels]
    return [
        label if shortened.count(label) == 1 else f"{label} #{shortened[: i + 1].count(label)}"
        for i, label in enumerate(shortened)
    ]
