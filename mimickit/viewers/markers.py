"""Turns markers into shapes to draw: flat discs and arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from mimickit.state import Marker

DISC_HEIGHT = 0.02  # [m]


class Shape(NamedTuple):
    """One marker of one character.

    Attributes:
        tail, head: [3] m: ends of an arrow, middles of a disc's faces.
        radius: [m]. arrow: with a point at its head. color: red, green, blue, opacity.
    """

    tail: np.ndarray
    head: np.ndarray
    radius: float
    arrow: bool
    color: np.ndarray


def shapes(markers: Sequence[Marker], offsets: np.ndarray) -> list[Shape]:
    """The shapes of N characters that are drawn at `offsets` [N, 3] m from where they are."""
    found = []
    for marker in markers:
        tails = marker.pos.detach().cpu().double().numpy() + offsets
        if marker.arrow is None:
            steps = np.broadcast_to([0.0, 0.0, DISC_HEIGHT], tails.shape)
        else:
            steps = marker.arrow.detach().cpu().double().numpy()
        found += [
            Shape(
                tail, tail + step, marker.radius, marker.arrow is not None, np.array(marker.color)
            )
            for tail, step in zip(tails, steps)
        ]
    return found


def arrow_lines(shape: Shape) -> np.ndarray:
    """An arrow on the ground as lines, [3, 2, 3] m: its shaft and the two sides of its point."""
    step = shape.head - shape.tail
    length = max(float(np.linalg.norm(step)), 1e-9)
    along = step / length * min(0.15, 0.5 * length)
    side = 0.6 * np.array([-along[1], along[0], 0.0])
    ends = [shape.tail, shape.head - along + side, shape.head - along - side]
    return np.stack([np.stack([end, shape.head]) for end in ends]).astype(np.float32)


def add_markers(drawing: mujoco.MjvScene, markers: Sequence[Marker], offsets: np.ndarray) -> None:
    """Draw markers besides what a drawing holds, as far as it has room for them."""
    for shape in shapes(markers, offsets)[: drawing.maxgeom - drawing.ngeom]:
        kind = mujoco.mjtGeom.mjGEOM_ARROW if shape.arrow else mujoco.mjtGeom.mjGEOM_CYLINDER
        geom = drawing.geoms[drawing.ngeom]
        mujoco.mjv_initGeom(
            geom, kind.value, np.zeros(3), np.zeros(3), np.eye(3).ravel(),
            shape.color.astype(np.float32),
        )  # fmt: skip
        mujoco.mjv_connector(geom, kind.value, shape.radius, shape.tail, shape.head)
        drawing.ngeom += 1
