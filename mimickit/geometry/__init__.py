"""Rotations and frames: pure tensor functions, floor 0."""
