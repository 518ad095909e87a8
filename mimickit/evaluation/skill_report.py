"""skills.json, and the same for people: a line per figure, a row per clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Optional

from rich.console import Console
from rich.table import Table

from mimickit.errors import RunError
from mimickit.loggers.logger import replace_file

NAME = "skills.json"
SHOWN = 3  # clips that a row names as what comes after


def write_skill_report(
    folder: Path, figures: Mapping[str, Any], facts: Mapping[str, Any], name: str = NAME
) -> str:
    """Write skills.json atomically; the text to print.

    Args:
        folder: the run's.
        figures: as `skill_figures` returns them.
        facts: method, character, and whatever else identifies the evaluation.

    Raises:
        RunError: the file cannot be written.
    """
    path = Path(folder) / name
    text = json.dumps({**figures, "about": dict(facts)}, indent=2, allow_nan=False) + "\n"
    try:
        replace_file(path, text)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}") from None
    return skill_text(figures, str(facts["method"]), str(facts["character"]))


def skill_text(figures: Mapping[str, Any], method: str, character: str) -> str:
    """What was found, in lines, and a table of the clips."""
    episodes, encoder = figures["episodes"], figures["encoder"]
    originals, variety = figures["coverage"]["originals"], figures["diversity"]
    moves, data = figures["transitions"], figures["data"]
    lines = [
        f"{method} on {character}: {episodes['count']} episodes of {episodes['latents']} random "
        "latents",
        f"  stays up for {episodes['seconds']:g} s: {_percent(episodes['stays_up'])}",
        f"  coverage: {originals['matched']} of {len(originals['labels'])} clips, least "
        f"{originals['least']} with {_percent(originals['min_share'])}; entropy "
        f"{originals['entropy']:.2f} of {originals['even_entropy']:.2f}",
        f"  diversity: {_number(variety['different'])} between latents, "
        f"{_number(variety['same'])} within one",
        f"  encoder: right in {_percent(encoder['accuracy'])} of {encoder['candidates']} "
        f"({_percent(encoder['chance'])} by chance); dot product "
        f"{_number(encoder['dot_product'])}, shuffled {_number(encoder['shuffled_dot_product'])}",
        f"  change of latent: {_percent(moves['success_rate'])} stay up for "
        f"{moves['seconds']:g} s more; {_percent(moves['pairs'])} of the pairs of clips occur",
        f"  distance from the data: {_number(data['distance'])}, of the data from itself "
        f"{_number(data['floor'])}",
    ]
    return "\n".join(lines) + "\n" + _table(originals["labels"], moves["matrix"])


def _table(labels: Mapping[str, Mapping], matrix: Mapping[str, Mapping]) -> str:
    grid = Table()
    grid.add_column("nearest clip")
    for heading in ("of the data", "of the latents", "changes", "stay up"):
        grid.add_column(heading, justify="right")
    grid.add_column("after a change")
    for name, label in labels.items():
        row = matrix.get(name)
        to = sorted(row["to"].items(), key=lambda pair: -pair[1])[:SHOWN] if row else []
        grid.add_row(
            name,
            _percent(label["weight"]),
            _percent(label["share"]),
            str(row["episodes"]) if row else "0",
            _percent(row["success_rate"]) if row else "-",
            ", ".join(f"{other} {_percent(share)}" for other, share in to),
        )
    text = StringIO()
    Console(file=text, width=120).print(grid)
    return text.getvalue()


def _percent(share: Optional[float]) -> str:
    return "-" if share is None else f"{100 * share:.1f}%"


def _number(value: Optional[float]) -> str:
    return "-" if value is None else f"{value:.3f}"
