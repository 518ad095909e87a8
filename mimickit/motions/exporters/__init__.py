"""Writers of foreign motion formats."""

from mimickit.motions.exporters.any4hdmi import write_any4hdmi
from mimickit.motions.exporters.formats import EXPORTS, export_clips
from mimickit.motions.exporters.gmr import write_gmr
from mimickit.motions.exporters.mimickit import write_mimickit
from mimickit.motions.exporters.robot_csv import write_csv

__all__ = [
    "EXPORTS",
    "export_clips",
    "write_any4hdmi",
    "write_csv",
    "write_gmr",
    "write_mimickit",
]
