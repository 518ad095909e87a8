"""Turns markers and objects into shapes to draw: flat discs, arrows, and what is really there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from mimickit.objects import Solid
from mimickit.state import Marker
from mimickit.viewers.viewer import Drawn

DISC_HEIGHT = 0.02  # [m]
FREE_COLOR = (0.82, 0.42, 0.20, 1.0)
FIXED_COLOR = (0.55, 0.58, 0.62, 1.0)


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


class Block(NamedTuple):
    """One object of one world.

    Attributes:
        kind, size: MuJoCo's, of a geom. pos: [3] m. quat: MuJoCo's (w, x, y, z).
        color: red, green, blue, opacity.
    """

    kind: mujoco.mjtGeom
    size: np.ndarray
    pos: np.ndarray
    quat: np.ndarray
    color: np.ndarray


def shapes(markers: Sequence[Drawn], offsets: np.ndarray) -> list[Shape]:
    """The shapes of N characters that are drawn at `offsets` [N, 3] m from where they are."""
    found = []
    for marker in markers:
        if not isinstance(marker, Marker):
            continue
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


def blocks(markers: Sequence[Drawn], offsets: np.ndarray) -> list[Block]:
    """The objects of N worlds that are drawn at `offsets` [N, 3] m from where they are."""
    found = []
    for solid in markers:
        if not isinstance(solid, Solid):
            continue
        kind = getattr(mujoco.mjtGeom, f"mjGEOM_{solid.spec.shape.upper()}")
        size = np.array([*solid.spec.size, 0.0, 0.0][:3])
        color = np.array(FREE_COLOR if solid.spec.free else FIXED_COLOR)
        places = solid.pos.cpu().double().numpy() + offsets
        turns = solid.rot.cpu().double().numpy()[:, [3, 0, 1, 2]]
        found += [Block(kind, size, pos, quat, color) for pos, quat in zip(places, turns)]
    return found


def flat_arrow(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """A level arrow as triangles: vertices [7, 3] m and faces [3, 3]."""
    step = shape.head - shape.tail
    length = float(np.linalg.norm(step))
    ahead = step / length if length > 0.0 else np.array([1.0, 0.0, 0.0])
    left = shape.radius * np.array([-ahead[1], ahead[0], 0.0])
    neck = shape.head - min(4.0 * shape.radius, 0.5 * length) * ahead
    tail = shape.tail
    corners = [
        tail + left, tail - left, neck - left, neck + left,
        neck + 3.0 * left, neck - 3.0 * left, shape.head,
    ]  # fmt: skip
    return np.array(corners, dtype=np.float32), np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]])


def add_markers(drawing: mujoco.MjvScene, markers: Sequence[Drawn], offsets: np.ndarray) -> None:
    """Draw markers and objects besides what a drawing holds, as far as it has room for them."""
    for block in blocks(markers, offsets)[: drawing.maxgeom - drawing.ngeom]:
        turn = np.empty(9)
        mujoco.mju_quat2Mat(turn, block.quat)
        mujoco.mjv_initGeom(
            drawing.geoms[drawing.ngeom], block.kind.value, block.size, block.pos, turn,
            block.color.astype(np.float32),
        )  # fmt: skip
        drawing.ngeom += 1
    for shape in shapes(markers, offsets)[: drawing.maxgeom - drawing.ngeom]:
        kind = mujoco.mjtGeom.mjGEOM_ARROW if shape.arrow else mujoco.mjtGeom.mjGEOM_CYLINDER
        geom = drawing.geoms[drawing.ngeom]
        mujoco.mjv_initGeom(
            geom, kind.value, np.zeros(3), np.zeros(3), np.eye(3).ravel(),
            shape.color.astype(np.float32),
        )  # fmt: skip
        mujoco.mjv_connector(geom, kind.value, shape.radius, shape.tail, shape.head)
        drawing.ngeom += 1
