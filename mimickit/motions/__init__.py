"""Motion clips: one file format, a catalog of names, importers for foreign formats."""

from mimickit.motions.catalog import MotionEntry, motion_names, resolve_motions
from mimickit.motions.clip import Clip, load_clip, save_clip

__all__ = ["Clip", "MotionEntry", "load_clip", "motion_names", "resolve_motions", "save_clip"]
