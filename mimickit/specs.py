"""What a named tensor looks like before it exists: shapes that models are built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class GroupSpec:
    """One named group of observations.

    Attributes:
        size: width of the group's last axis.
        parts: (label, width) of each stretch, in order; their widths add up to `size`.
        scale: what models multiply it with; None: they standardise it by its running statistics.
            For what is made on a known scale and must mean the same at all times.
    """

    size: int
    parts: tuple[tuple[str, int], ...] = ()
    scale: Optional[float] = None

    @staticmethod
    def of(*parts: tuple[str, int]) -> GroupSpec:
        """A group that concatenates labelled stretches; stretches of width 0 are left out."""
        kept = tuple((label, width) for label, width in parts if width > 0)
        return GroupSpec(sum(width for _, width in kept), kept)
