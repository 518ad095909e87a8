"""Retargeting: a clip of one character becomes the same motion of another (docs/retargeting.md)."""

from mimickit.motions.retargeting.parts import Parts, load_parts
from mimickit.motions.retargeting.report import Report, figures, table
from mimickit.motions.retargeting.retarget import Retargeted, retarget

__all__ = ["Parts", "Report", "Retargeted", "figures", "load_parts", "retarget", "table"]
