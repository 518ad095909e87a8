"""Readers of foreign motion formats; each returns clips."""

from mimickit.motions.importers.deepmimic import read_deepmimic
from mimickit.motions.importers.formats import FORMATS, Imported, import_motion
from mimickit.motions.importers.mimickit import read_mimickit
from mimickit.motions.importers.poses import ImportOptions

__all__ = [
    "FORMATS",
    "ImportOptions",
    "Imported",
    "import_motion",
    "read_deepmimic",
    "read_mimickit",
]
