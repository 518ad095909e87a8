"""Pictures of learning curves: each run thin, the mean over seeds bold, the spread shaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimickit.errors import ConfigError, RunError
from mimickit.evaluation.curves import Curve

AXIS_LABELS = {"samples": "samples", "wall": "wall time [min]", "iterations": "iterations"}
# Source: Okabe and Ito 2008, "Color Universal Design", a palette that the colour-blind can read.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", ":", "-.")  # of lines, once the colours are used up
PANEL = (5.2, 3.2)  # width and height [inch]
FONT = 9  # of the legend [pt]
LEGEND_ROW = 0.21  # height [inch]
LETTER = 0.075  # mean width [inch]


def draw(curves: Mapping[str, Sequence[Curve]], axis: str, path: Path) -> None:
    """Write a picture with one panel per title and one legend below them all.

    Args:
        curves: by title of the panel. axis: what `Curve.x` counts, one of `curves.AXES`.

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
    across = 1 if len(curves) == 1 else 2 if len(curves) <= 4 else 3
    down = math.ceil(len(curves) / across)
    width = PANEL[0] * across + 0.6
    names = _legend_names(curves)
    per_row = _legend_columns(names.values(), width)
    legend_rows = math.ceil(len(names) / per_row)
    height = PANEL[1] * down + 0.5 + LEGEND_ROW * legend_rows
    figure = Figure(figsize=(width, height), layout="constrained")
    looks = {
        label: {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % 4]}
        for i, label in enumerate(names)
    }
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    handles: dict[str, Any] = {}
    for panel, (title, group) in zip(panels, curves.items()):
        for curve in group:
            handles.setdefault(curve.label, _draw_curve(panel, curve, axis, looks[curve.label]))
        _dress(panel, title, axis)
    for panel in panels[len(curves) :]:  # the last row may have places too many
        panel.set_visible(False)
    figure.legend(
        [handles[label] for label in names],
        list(names.values()),
        loc="outside lower left",
        ncols=per_row,
        frameon=False,
        fontsize=FONT,
    )
    if any(len(curve.runs) > 1 for group in curves.values() for curve in group):
        caption = "thin: each run; bold: mean over seeds; shaded: one standard deviation"
        figure.suptitle(caption, fontsize=8, color="0.4", x=0.01, ha="left")
    try:
        figure.savefig(str(path), dpi=150)
    except OSError as error:
        raise RunError(f"cannot write --out {path}: {error.strerror}") from None


def _legend_names(curves: Mapping[str, Sequence[Curve]]) -> dict[str, str]:
    """By label, in the order of first appearance: the label with the number of its seeds."""
    counts: dict[str, set[int]] = {}
    for group in curves.values():
        for curve in group:
            counts.setdefault(curve.label, set()).add(len(curve.runs))
    names = {}
    for label, found in counts.items():
        least, most = min(found), max(found)
        many = f"{least}" if least == most else f"{least} to {most}"
        names[label] = f"{label} ({many} seeds)" if most > 1 else label
    return names


def _legend_columns(names: Any, width: float) -> int:
    """How many entries fit side by side into a width [inch]."""
    longest = max(len(name) for name in names)
    entry = 0.6 + LETTER * longest  # 0.6: the line before the name, and the space behind it
    return max(1, min(len(list(names)), int((width - 0.2) / entry)))


def _draw_curve(panel: Any, curve: Curve, axis: str, look: Mapping[str, str]) -> Any:
    unit = 60.0 if axis == "wall" else 1.0  # the column is in seconds, the axis in minutes
    for x, y in curve.runs if len(curve.runs) > 1 else ():
        panel.plot(x / unit, y, linewidth=0.7, alpha=0.35, **look)
    low, high = curve.mean - curve.std, curve.mean + curve.std
    panel.fill_between(curve.x / unit, low, high, color=look["color"], alpha=0.18, linewidth=0)
    marker = "o" if len(curve.x) <= 2 else ""  # a single point has no line
    (line,) = panel.plot(curve.x / unit, curve.mean, linewidth=1.6, marker=marker, **look)
    return line


def _dress(panel: Any, title: str, axis: str) -> None:
    from matplotlib.ticker import EngFormatter

    panel.set_title(title, loc="left", fontsize=11)
    panel.set_xlabel(AXIS_LABELS[axis])
    if axis == "samples":
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))  # 500k, 2M
    panel.margins(x=0.01)
    panel.set_xlim(left=0)
    panel.grid(color="0.9", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    if title.endswith("_rate"):
        panel.set_ylim(-0.03, 1.03)
