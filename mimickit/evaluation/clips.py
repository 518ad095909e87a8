"""What an evaluation says of single clips, in no more than a log or a reader can take."""

from __future__ import annotations

from typing import Mapping

LOGGED = 32  # clips whose own figures are logged; of more, only how many fail
FIGURES = ("success_rate", "position_error_m")

Rows = Mapping[str, Mapping[str, float]]  # figures by clip, as `Evaluator.results` gives them


def clip_metrics(rows: Rows) -> dict[str, float]:
    """What to log of the clips of one evaluation; nothing where there is only one.

    Returns:
        `eval/clips`, how many were judged; `eval/clips_failed`, the share of them without any
        success; and of up to `LOGGED` clips `clip/<figure>/<name>` for each of `FIGURES`.
    """
    if len(rows) < 2:
        return {}
    failed = sum(row["success_rate"] == 0.0 for row in rows.values())
    metrics = {"eval/clips": float(len(rows)), "eval/clips_failed": failed / len(rows)}
    if len(rows) <= LOGGED:
        for name, row in rows.items():
            metrics.update({f"clip/{key}/{name}": row[key] for key in FIGURES if key in row})
    return metrics


def worst_clips(rows: Rows, most: int) -> list[str]:
    """Names of at most that many clips: least success first, then greatest position error."""

    def badness(name: str) -> tuple[float, float]:
        row = rows[name]
        return (row["success_rate"], -row.get("position_error_m", 0.0))

    return sorted(rows, key=badness)[:most]
