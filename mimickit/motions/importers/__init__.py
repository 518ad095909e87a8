"""Readers of foreign motion formats; each returns a `Clip`."""

from mimickit.motions.importers.deepmimic import read_deepmimic
from mimickit.motions.importers.mimickit import read_mimickit

__all__ = ["read_deepmimic", "read_mimickit"]
