"""Viewers: draw character states as a film, a window or a page; they know no engine."""

from mimickit.viewers.present import present
from mimickit.viewers.viewer import Frame, Viewer, moved, play

__all__ = ["Frame", "Viewer", "moved", "play", "present"]
