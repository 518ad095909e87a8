"""Smooth, slow enough and within limits: the nearest such course of one number, solved at once."""

from __future__ import annotations

import math

import numpy as np

CUTOFF = 8.0  # [Hz] oscillations of this frequency are halved
TIGHT = 0.999  # speeds are held to this fraction of their limit, so that rounding breaks none


def smooth_course(
    values: np.ndarray,
    fps: float,
    loop: bool,
    cutoff: float = CUTOFF,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    speed: float = math.inf,
) -> np.ndarray:
    """The course x nearest to `values` that is smooth and keeps to its limits.

    Minimises |x - values|^2 + w |second difference of x|^2 with x within `bounds` and its steps no
    faster than `speed`; w halves oscillations at the cutoff, slower ones less. In a loop the last
    value is the first, and smoothness and speed count across the seam.

    Args:
        values: [T]. fps: frames per second. cutoff: [Hz]; inf, or what the frames cannot show
            (fps / 2), smooths nothing. speed: units per second.

    Raises:
        ValueError: no course keeps to the limits.

    Source: Whittaker 1923, "On a new method of graduation", with constraints; its frequency
    response 1 / (1 + w (2 sin(pi f / fps))^4) gives w.
    """
    count = len(values) - 1 if loop else len(values)
    wanted = values[:count].copy()
    if loop:
        wanted[0] = 0.5 * (values[0] + values[-1])
    steps = _differences(count, loop)
    smooth = np.eye(count)
    if cutoff < 0.5 * fps:
        bends = _differences(len(steps), loop) @ steps
        smooth += bends.T @ bends / (2.0 * math.sin(math.pi * cutoff / fps)) ** 4
    course = np.linalg.solve(smooth, wanted)
    farthest = TIGHT * speed / fps
    outside = course.min() < bounds[0] or course.max() > bounds[1]
    if outside or np.abs(steps @ course).max() > farthest:
        course = _constrained(smooth, wanted, steps, farthest, bounds)
    return np.append(course, course[0]) if loop else course


def unwound(exp_maps: np.ndarray) -> np.ndarray:
    """Exp maps [T, 3] rad of the same rotations, without jumps from pi to -pi."""
    course = exp_maps.copy()
    for frame in range(1, len(course)):
        angle = np.linalg.norm(course[frame])
        if angle > 1e-6:
            axis = course[frame] / angle
            turns = np.round((course[frame - 1] @ axis - angle) / (2.0 * math.pi))
            course[frame] += 2.0 * math.pi * turns * axis
    return course


def _differences(count: int, loop: bool) -> np.ndarray:
    """The matrix that takes values to their steps: [count, count] in a loop, else one row less."""
    if loop:
        return np.roll(np.eye(count), 1, axis=1) - np.eye(count)
    return np.diff(np.eye(count), axis=0)


def _constrained(
    smooth: np.ndarray,
    wanted: np.ndarray,
    steps: np.ndarray,
    farthest: float,
    bounds: tuple[float, float],
) -> np.ndarray:
    import qpsolvers

    limited = math.isfinite(farthest)
    result = qpsolvers.solve_qp(
        smooth,
        -wanted,
        G=np.vstack([steps, -steps]) if limited else None,
        h=np.full(2 * len(steps), farthest) if limited else None,
        lb=np.full(len(wanted), bounds[0]),
        ub=np.full(len(wanted), bounds[1]),
        solver="daqp",
    )
    if result is None:
        raise ValueError(
            f"no course of {len(wanted)} values keeps within {bounds} and steps of {farthest:.4f}"
        )
    return result
