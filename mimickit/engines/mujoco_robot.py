"""A robot's MJCF file as MuJoCo reads it, set on the ground in its starting pose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from mimickit.errors import CharacterError, closest_beside

AIR = 0.001  # [m] between the lowest geom and the ground
NEAR = 0.03  # of the root's height: how far above the lowest geom a foot's may be
FARTHEST = 100.0  # [m] that distances are looked for
POSES = ("home", "stand", "standing", "default", "init")  # keyframes to start from, in this order
HANDS, HEAD = r"hand|wrist|palm|gripper|paw", r"head|skull"


@dataclass(frozen=True)
class Robot:
    """One compiled file. Its root is upright over the origin, its lowest geom just above z = 0.

    Attributes:
        path: the file.
        model: as MuJoCo compiled it, with one plane more, which touches nothing.
        data: in the pose to start from, `mj_forward` called.
        plane: geom that stands for the ground.
        pose: where the pose comes from, in words.
    """

    path: Path
    model: mujoco.MjModel
    data: mujoco.MjData
    plane: int
    pose: str

    @property
    def bodies(self) -> range:
        """All bodies but the world."""
        return range(1, self.model.nbody)

    @property
    def joints(self) -> list[int]:
        """All joints but free ones."""
        free = mujoco.mjtJoint.mjJNT_FREE
        return [i for i in range(self.model.njnt) if self.model.jnt_type[i] != free]

    @property
    def geoms(self) -> list[int]:
        """The geoms of bodies that can touch the ground, which is of collision type 1."""
        model = self.model
        bits = model.geom_contype | model.geom_conaffinity
        return [i for i in range(model.ngeom) if model.geom_bodyid[i] > 0 and bits[i] & 1]

    @property
    def height(self) -> float:
        """Of the root's origin [m]."""
        return float(self.data.xpos[1][2])

    @property
    def mass(self) -> float:
        """Of all bodies [kg]."""
        return float(self.model.body_mass[1:].sum())

    def clearance(self, geom: int) -> float:
        """Distance of a geom from the ground [m], negative within it."""
        return mujoco.mj_geomDistance(self.model, self.data, geom, self.plane, FARTHEST, None)

    def body_name(self, body: int) -> str:
        """Its name, or #index if it has none."""
        return self.model.body(body).name or f"#{body}"

    def joint_name(self, joint: int) -> str:
        """Its name, or that of its body."""
        return self.model.joint(joint).name or self.body_name(self.model.jnt_bodyid[joint])

    def feet(self) -> list[str]:
        """Bodies with a geom near the ground: a guess."""
        margin = NEAR * self.height
        near = {self.model.geom_bodyid[g] for g in self.geoms if self.clearance(g) < margin}
        return [self.body_name(body) for body in sorted(near)]

    def called(self, pattern: str) -> list[str]:
        """Bodies whose names match a pattern, the outermost of each chain: a guess."""
        parents = self.model.body_parentid
        matching = [b for b in self.bodies if re.search(pattern, self.body_name(b).lower())]
        inner = {ancestor for body in matching for ancestor in ancestors(parents, body)}
        return [self.body_name(body) for body in matching if body not in inner]


def read_robot(path: Path) -> Robot:
    """Compile an MJCF file, includes, meshes, default classes and all.

    Raises:
        CharacterError: there is no such file, MuJoCo refuses it, or it has no bodies.
    """
    if not path.is_file():
        raise CharacterError(f"there is no file {path}.{closest_beside(path)}")
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        plane = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
        plane.contype = plane.conaffinity = 0
        model = spec.compile()
    except ValueError as error:
        reason = "; ".join(str(error).replace("Error: ", "", 1).split("\n"))
        raise CharacterError(f"MuJoCo cannot use {path}: {reason}") from None
    if model.nbody < 2:
        raise CharacterError(f"{path} has no bodies")
    data = mujoco.MjData(model)
    robot = Robot(path, model, data, plane.id, start(model, data))
    stand(robot)
    return robot


def start(model: mujoco.MjModel, data: mujoco.MjData) -> str:
    """Put the joints into a keyframe, else to zero or the nearest limit; says which, in words."""
    key = starting_key(model)
    if key is not None:
        data.qpos[:] = model.key_qpos[key]
        return f"keyframe '{model.key(key).name or key}'"
    hinges = np.flatnonzero((model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & model.jnt_limited)
    where = model.jnt_qposadr[hinges]
    nearest = np.clip(data.qpos[where], *model.jnt_range[hinges].T)
    moved = bool((nearest != data.qpos[where]).any())
    data.qpos[where] = nearest
    return "all joints at zero, or at the nearest limit" if moved else "all joints at zero"


def starting_key(model: mujoco.MjModel) -> int | None:
    """The keyframe to start from: one that is called so, else the first, if any."""
    names = [model.key(i).name for i in range(model.nkey)]
    known = [names.index(name) for name in POSES if name in names]
    return known[0] if known else (0 if names else None)


def stand(robot: Robot) -> None:
    """Put the root upright over the origin, at the height where the lowest geom is just free."""
    model, data = robot.model, robot.data
    if model.njnt == 0 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        mujoco.mj_forward(model, data)
        return
    start = model.jnt_qposadr[0]
    data.qpos[start : start + 7] = (0, 0, 0, 1, 0, 0, 0)
    mujoco.mj_forward(model, data)
    lowest = min((robot.clearance(geom) for geom in robot.geoms), default=0.0)
    data.qpos[start + 2] = AIR - lowest
    mujoco.mj_forward(model, data)


def ancestors(parents: Sequence[int] | np.ndarray, body: int) -> list[int]:
    """The bodies between a body and the world, nearest first."""
    found = []
    while parents[body] > 0:
        body = int(parents[body])
        found.append(body)
    return found
