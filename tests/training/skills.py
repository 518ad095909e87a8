"""Tiny low levels and high levels: the least that trains."""

from __future__ import annotations

from tests.training.runs import build

# Of ASE's parts as little as there can be.
SMALL = (
    "method=ase",
    "method.parts.style.hidden=[16]",
    "method.parts.style.replay_capacity=256",
    "method.parts.skill.hidden=[16]",
    "task.episode_length_s=1",
)


def train_low(folder, *overrides, iterations=1):
    """A low level of 64 samples per iteration; the folder."""
    build(folder, *SMALL, *overrides, iterations=iterations).start()
    return folder


def build_high(folder, skills, *overrides, iterations=2):
    """A high level over it, of 320 samples per iteration."""
    options = ("method=ase_hlc", f"skills={skills}", "task.episode_length_s=1")
    return build(folder, *options, *overrides, iterations=5 * iterations)
