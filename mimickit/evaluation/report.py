"""evaluation.json, and the same as a table for people with the paper's figures beside ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mimickit.errors import RunError
from mimickit.evaluation.clips import worst_clips
from mimickit.evaluation.published import published
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
    """A row per clip: our figures, and the paper's where it has any; of many, the worst."""
    grid = Table(title=f"{method} on {character}, deterministic", title_justify="left")
    for heading in ("clip", "episodes", "success", "position error m", "paper"):
        grid.add_column(heading, justify="left" if heading == "clip" else "right")
    for heading in ("dof velocity error rad/s", "paper", "per dof", "episode s"):
        grid.add_column(heading, justify="right")
    clips = results["clips"]
    names = list(clips) if len(clips) <= SHOWN else worst_clips(clips, SHOWN)
    rows = {name: clips[name] for name in names}
    if len(clips) != 1:
        rows["overall"] = results["overall"]
    for clip, row in rows.items():
        paper = published(method, character, clip)
        grid.add_row(
            clip,
            str(row["episodes"]),
            f"{100 * row['success_rate']:.1f}%",
            _number(row, "position_error_m"),
            f"{paper.position_error_m:.3f}" if paper else "-",
            _number(row, "dof_velocity_error_rad_s"),
            f"{paper.dof_velocity_error_rad_s:.3f}" if paper else "-",
            _number(row, "dof_velocity_error_per_dof_rad_s"),
            f"{row['episode_length_s']:.2f}",
        )
    text = StringIO()
    Console(file=text, width=120).print(grid)
    if len(clips) > len(names):
        text.write(f"the {len(names)} worst of {len(clips)} clips; {NAME} has all\n")
    return text.getvalue()


def _number(row: Mapping[str, float], name: str) -> str:
    return f"{row[name]:.3f}" if name in row else "-"
