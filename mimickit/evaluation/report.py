"""evaluation.json, and the same as a table for people with the paper's figures beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Optional

from rich.console import Console
from rich.table import Table

from mimickit.errors import RunError
from mimickit.evaluation.clips import worst_clips
from mimickit.evaluation.published import Published, published
from mimickit.loggers.logger import replace_file

NAME = "evaluation.json"
SHOWN = 20  # rows of clips in the table; evaluation.json has all


def write_report(
    folder: Path, results: Mapping[str, Mapping], facts: Mapping[str, Any], name: str = NAME
) -> str:
    """Write evaluation.json atomically; the table to print.

    Args:
        folder: the run's.
        results: as `Evaluator.run` returns them.
        facts: method, character, and whatever else identifies the evaluation.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(folder) / name
    text = json.dumps({**results, "about": dict(facts)}, indent=2) + "\n"
    try:
        replace_file(path, text)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None
    return table(results, str(facts["method"]), str(facts["character"]))


def table(results: Mapping[str, Mapping], method: str, character: str) -> str:
    """A row per clip: our figures that there are, and the paper's; of many, the worst."""
    clips = results["clips"]
    names = list(clips) if len(clips) <= SHOWN else worst_clips(clips, SHOWN)
    rows = {name: clips[name] for name in names}
    if len(clips) != 1:
        rows["overall"] = results["overall"]
    cells = {
        clip: {
            "episodes": str(row["episodes"]),
            "success": f"{100 * row['success_rate']:.1f}%",
            **_tracking_cells(row, published(method, character, clip)),
            **_figure_cells(row),
            "episode s": f"{row['episode_length_s']:.2f}",
        }
        for clip, row in rows.items()
    }
    grid = Table(title=f"{method} on {character}, deterministic", title_justify="left")
    grid.add_column("clip")
    for column in next(iter(cells.values())):
        grid.add_column(column.strip(), justify="right")
    for clip, row in cells.items():
        grid.add_row(clip, *row.values())
    text = StringIO()
    Console(file=text, width=120).print(grid)
    if len(clips) > len(names):
        text.write(f"the {len(names)} worst of {len(clips)} clips; {NAME} has all\n")
    return text.getvalue()


def _tracking_cells(row: Mapping[str, float], paper: Optional[Published]) -> dict[str, str]:
    """By heading; none where distance from the clip was not measured."""
    if "position_error_m" not in row:
        return {}
    return {
        "position error m": f"{row['position_error_m']:.3f}",
        "paper": f"{paper.position_error_m:.3f}" if paper else "-",
        "dof velocity error rad/s": f"{row['dof_velocity_error_rad_s']:.3f}",
        " paper": f"{paper.dof_velocity_error_rad_s:.3f}" if paper else "-",
        "per dof": f"{row['dof_velocity_error_per_dof_rad_s']:.3f}",
    }


def _figure_cells(row: Mapping[str, float]) -> dict[str, str]:
    """By heading: how well the goal was pursued, and the return; none without a goal."""
    figures = [name for name in row if name.startswith("goal_")]
    if not figures:
        return {}
    cells = {heading(name): f"{row[name]:.3f}" for name in figures}
    return {**cells, "return": f"{row['return']:.1f}"}


def heading(figure: str) -> str:
    """A figure's name for people: goal_velocity_error_m_s is 'goal velocity error m/s'."""
    return figure.replace("_m_s", "_m/s").replace("_", " ")
