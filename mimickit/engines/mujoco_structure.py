"""Whether a robot's MJCF file can be a character: its tree, its joints, its names."""

from __future__ import annotations

from collections.abc import Iterator

import mujoco
import numpy as np

from mimickit.characters.mjcf import read_tree
from mimickit.engines.mujoco_model import FLOOR
from mimickit.engines.mujoco_robot import Robot
from mimickit.errors import CharacterError
from mimickit.findings import PROBLEM, WARNING, Finding, shown

SAME = 1e-5  # [m], [rad] and unitless, between what MuJoCo and our reader read


def check_structure(robot: Robot) -> list[Finding]:
    """Whether a robot can be a character at all; no problems mean that a config can be drafted."""
    found = [*_check_root(robot), *_check_joints(robot), *_check_names(robot), *_check_world(robot)]
    if not any(one.level == PROBLEM for one in found):
        found.extend(_check_reader(robot))
    return found


def _check_root(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    roots = [robot.body_name(b) for b in robot.bodies if model.body_parentid[b] == 0]
    if len(roots) > 1:
        yield Finding(
            PROBLEM, "root", f"{len(roots)} bodies hang on the world: {shown(roots)}",
            "keep one; the rest of a scene belongs in a file of its own",
        )  # fmt: skip
    if model.njnt == 0 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE:
        yield Finding(
            PROBLEM, "root", f"body '{roots[0]}' has no free joint",
            "make <freejoint/> its first element",
        )  # fmt: skip
    free = np.count_nonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if free > 1:
        yield Finding(PROBLEM, "root", f"{free} free joints", "only the root may have one")


def _check_joints(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    if not robot.joints:
        yield Finding(PROBLEM, "joints", "nothing moves", "give its bodies hinge or ball joints")
    several = {
        robot.body_name(body): range(first, first + count)
        for body, first, count in zip(robot.bodies, model.body_jntadr[1:], model.body_jntnum[1:])
        if count > 1
    }
    slides, shifted, displaced = [], [], []
    for joint in robot.joints:
        name = robot.joint_name(joint)
        kind, zero = model.jnt_type[joint], model.qpos0[model.jnt_qposadr[joint]]
        if kind == mujoco.mjtJoint.mjJNT_SLIDE:
            slides.append(name)
        elif kind == mujoco.mjtJoint.mjJNT_HINGE and zero != 0:
            shifted.append(f"{name} (ref={zero:g})")
        if np.abs(model.jnt_pos[joint]).max() > SAME:
            displaced.append(name)
    for names, text, remedy in (
        (
            [
                f"{body} ({shown(robot.joint_name(j) for j in ids)})"
                for body, ids in several.items()
            ],
            "bodies with several joints",
            "three hinges at one point: one ball joint; else a chain of bodies",
        ),
        (slides, "sliding joints", "use hinges, or weld the bodies"),
        (shifted, "zero is elsewhere", "leave ref away and turn the body instead"),
        (
            displaced,
            "joints not at their bodies' origins",
            "move the body there, and its geoms and children back",
        ),
    ):
        if names:
            yield Finding(PROBLEM, "joints", f"{text}: {shown(names)}", remedy)


def _check_names(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    bodies = [f"#{b} in {robot.body_name(model.body_parentid[b])}" for b in robot.bodies
              if not model.body(b).name]  # fmt: skip
    joints = [robot.joint_name(j) for j in robot.joints if not model.joint(j).name]
    for kind, unnamed in (("bodies", bodies), ("joints, in", joints)):
        if unnamed:
            text = f"{len(unnamed)} without: {kind} {shown(unnamed)}"
            yield Finding(PROBLEM, "names", text, "give each a name of its own")


def _check_world(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == 0 and g != robot.plane]
    if any(model.geom(g).name == FLOOR for g in geoms):
        yield Finding(
            PROBLEM, "world", f"a geom of the world is called '{FLOOR}', as every run's ground",
            "leave the file's ground away",
        )  # fmt: skip
    elif geoms:
        yield Finding(
            WARNING, "world", f"{len(geoms)} geoms beside the robot, which runs would collide with",
            "leave scenery away",
        )  # fmt: skip


def _check_reader(robot: Robot) -> Iterator[Finding]:
    """Whether clips and kinematics, which need no MuJoCo, see the same tree as MuJoCo."""
    model = robot.model
    try:
        tree = read_tree(robot.path)
    except CharacterError as error:
        yield Finding(PROBLEM, "file", str(error))
        return
    names = [model.body(b).name for b in robot.bodies]
    if [body.name for body in tree] != names:
        others = sorted(set(names) ^ {body.name for body in tree})
        yield Finding(
            PROBLEM, "file", f"MuJoCo and our reader find different bodies: {shown(others)}",
            "write each out: bodies of <frame>, <replicate>, <attach> and fusestatic are not read",
        )  # fmt: skip
        return
    different = set()
    for index, body in enumerate(tree):
        id_, (x, y, z, w) = index + 1, body.rotation
        rotation = np.array([w, x, y, z]) / np.linalg.norm(body.rotation)
        if index and not np.allclose(body.offset, model.body_pos[id_], atol=SAME):
            different.add(f"{body.name} (pos)")
        if index and abs(rotation @ model.body_quat[id_]) < 1 - SAME:
            different.add(f"{body.name} (rotation)")
        if body.joint is None or index == 0:
            continue
        joint = model.joint(body.joint.name)
        if body.joint.ball != (joint.type[0] == mujoco.mjtJoint.mjJNT_BALL):
            different.add(f"{joint.name} (type)")
        elif not body.joint.ball:
            if not np.allclose(body.joint.axis, joint.axis, atol=SAME):
                different.add(f"{joint.name} (axis)")
            limits = body.joint.limits
            stated = model.jnt_limited[joint.id] != 0
            if (limits is not None) != stated or (
                limits is not None and not np.allclose(limits, joint.range, atol=1e-4)
            ):
                different.add(f"{joint.name} (range)")
        if abs(body.joint.armature - model.dof_armature[joint.dofadr[0]]) > SAME:
            different.add(f"{joint.name} (armature)")
    if different:
        yield Finding(
            PROBLEM, "file", f"MuJoCo and our reader differ about {shown(sorted(different))}",
            "state these where the body or joint stands, in radians with <compiler "
            'angle="radian" autolimits="true"/>',
        )  # fmt: skip
