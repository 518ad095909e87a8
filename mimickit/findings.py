"""What a check found, one line each: how bad, about what, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"
SHOWN = 6  # names in one finding


@dataclass(frozen=True)
class Finding:
    """One line of a report.

    Attributes:
        level: `ok`, `note`, `warning` (looks wrong, yet works) or `problem` (would not work).
        subject: what was looked at, in a word.
        text: what is there.
        remedy: what to do about it, if anything.
    """

    level: str
    subject: str
    text: str
    remedy: str = ""


def table(findings: Sequence[Finding]) -> str:
    """One line per finding, in columns."""
    width = max((len(one.subject) for one in findings), default=0)
    return "\n".join(
        f"{one.level:<8} {one.subject:<{width}}  {one.text}"
        + (f" -> {one.remedy}" if one.remedy else "")
        for one in findings
    )


def shown(names: Iterable[str]) -> str:
    """The first few names, and how many there are beyond."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
