"""What looks wrong in the physics of a robot's MJCF file, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mujoco
import numpy as np
import torch

from mimickit.characters import Character, load_character
from mimickit.engines.mujoco import MujocoEngine
from mimickit.engines.mujoco_draft import (
    GUESS,
    LEAST_ARMATURE,
    MOTOR_RATES,
    TORQUE_RULE,
    Drive,
    config_text,
    drive_of,
    has_motors,
    read_config,
)
from mimickit.engines.mujoco_robot import HANDS, HEAD, Robot, ancestors
from mimickit.engines.mujoco_structure import check_structure
from mimickit.errors import CharacterError
from mimickit.findings import NOTE, OK, PROBLEM, WARNING, Finding, shown

MASSES, HEIGHTS = (0.5, 150.0), (0.1, 1.5)  # [kg], [m] of what stands to reason
LIMIT_TOLERANCE = 1e-5  # [rad]
LEAST_INERTIA, LARGEST_GYRATION = 1e-7, 0.1  # [kg m^2], [m] of a body whose size is not known
MANY_GEOMS = 50
# Kinds whose contacts engines compute alike, and fast; the others go through solvers for any convex
# shape, whose answers differ. Source: resynchronised steps of MuJoCo and MuJoCo Warp.
PRIMITIVES = ("PLANE", "SPHERE", "CAPSULE", "BOX")
TRIAL_S, WILD, GIVES_WAY = 1.0, 30.0, 0.25  # [s] of standing, [rad/s], of the root's height


def check_robot(robot: Robot, name: str) -> tuple[list[Finding], str]:
    """All findings about a robot, and the text of its conf/character file.

    The text is empty if there is a problem.

    Args:
        robot: see `read_robot`.
        name: for the config.
    """
    findings = check_structure(robot)
    if not _has_problem(findings):
        findings += check_physics(robot)
    if _has_problem(findings):
        return findings, ""
    text = config_text(robot, name)
    findings += check_trial(read_config(text))
    return findings, "" if _has_problem(findings) else text


def _has_problem(findings: list[Finding]) -> bool:
    return any(one.level == PROBLEM for one in findings)


def check_physics(robot: Robot) -> list[Finding]:
    """What looks wrong in a robot whose structure is sound."""
    return [
        *_check_size(robot),
        *_check_inertia(robot),
        *_check_limits(robot),
        *_check_drives(robot),
        *_check_passive(robot),
        *_check_geoms(robot),
        *_check_pose(robot),
        *_check_bodies(robot),
    ]


def check_trial(facts: Mapping[str, Any]) -> list[Finding]:
    """Load the character and let it stand for a second.

    Args:
        facts: arguments of `load_character`.
    """
    try:
        character = load_character(**facts)
        engine = MujocoEngine(
            character, 1, control_hz=character.control_hz, sim_hz=character.sim_hz
        )
    except CharacterError as error:
        return [Finding(PROBLEM, "trial", str(error))]
    fastest, sunk = _stand_still(engine, character)
    text = (
        f"left alone for {TRIAL_S:g} s: sank {100 * sunk:.1f} cm, joints up to {fastest:.1f} rad/s"
    )
    if not fastest < WILD:
        remedy = "more armature, lower gains, or a higher sim_hz"
        return [Finding(WARNING, "trial", f"{text}: its drives blow up", remedy)]
    if sunk > GIVES_WAY * character.default_height:
        remedy = "higher gains, or a keyframe 'home' in which it stands"
        return [Finding(NOTE, "trial", f"{text}: it gives way", remedy)]
    return [Finding(OK, "trial", text)]


def _check_size(robot: Robot) -> Iterator[Finding]:
    for what, value, (low, high), unit in (
        ("mass", robot.mass, MASSES, "kg"),
        ("root height", robot.height, HEIGHTS, "m"),
    ):
        level = OK if low <= value <= high else WARNING
        remedy = "" if level == OK else "check the file's units: kg, m and rad are assumed"
        yield Finding(level, "size", f"{what} {value:.4g} {unit}", remedy)
    gravity = float(np.linalg.norm(robot.model.opt.gravity))
    if abs(gravity - 9.81) > 0.1:
        yield Finding(
            WARNING, "size", f"gravity {gravity:.4g} m/s^2", "leave the file's gravity away"
        )


def _check_inertia(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    tiny, huge = [], []
    for body in robot.bodies:
        welded = model.body_weldid[body] != body
        inertia, mass = model.body_inertia[body], float(model.body_mass[body])
        if welded and mass == 0:
            continue  # a frame that is fixed to another body
        if inertia.min() < LEAST_INERTIA:
            tiny.append(robot.body_name(body))
        elif np.sqrt(inertia.max() / mass) > max(2.0 * _reach(robot, body), LARGEST_GYRATION):
            huge.append(f"{robot.body_name(body)} ({inertia.max():.3g} kg m^2 at {mass:.3g} kg)")
    if tiny:
        yield Finding(
            WARNING, "inertia", f"nearly none: {shown(tiny)}",
            "state their <inertial>, or weld them to their parents",
        )  # fmt: skip
    if huge:
        yield Finding(
            WARNING, "inertia", f"more than bodies of their size can have: {shown(huge)}",
            "look for a mistyped number in <inertial>",
        )  # fmt: skip


def _reach(robot: Robot, body: int) -> float:
    """How far a body's geoms, and the joints of its children, are from its centre of mass [m]."""
    model, centre = robot.model, robot.model.body_ipos[body]
    distances = [0.0]
    for geom in np.flatnonzero(model.geom_bodyid == body):
        distance = float(np.linalg.norm(model.geom_pos[geom] - centre))
        distances.append(distance + float(model.geom_rbound[geom]))
    for child in np.flatnonzero(model.body_parentid == body):
        distances.append(float(np.linalg.norm(model.body_pos[child] - centre)))
    return max(distances)


def _check_limits(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    ball = mujoco.mjtJoint.mjJNT_BALL
    unlimited = [robot.joint_name(j) for j in robot.joints
                 if model.jnt_type[j] != ball and not model.jnt_limited[j]]  # fmt: skip
    balls = [robot.joint_name(j) for j in robot.joints if model.jnt_type[j] == ball]
    if unlimited:
        yield Finding(
            WARNING, "limits", f"none: {shown(unlimited)}",
            "state `range`; the action space is as wide as the limits",
        )  # fmt: skip
    if balls:
        yield Finding(
            NOTE, "limits", f"ball joints, whose limits per axis MJCF cannot state: {shown(balls)}",
            "set them in the config; the action space is as wide as the largest",
        )  # fmt: skip


def _check_drives(robot: Robot) -> Iterator[Finding]:
    drives = {robot.joint_name(joint): drive_of(robot, joint) for joint in robot.joints}

    def having(test: Callable[[Drive], bool]) -> list[str]:
        return [name for name, drive in drives.items() if test(drive)]

    sources = sorted({drive.gains_from for drive in drives.values()})
    yield Finding(NOTE, "gains", "; ".join(
        f"{source}: {shown(having(lambda d, s=source: d.gains_from == s))}" for source in sources
    ))  # fmt: skip
    if any(drive.gains_from == TORQUE_RULE for drive in drives.values()):
        yield Finding(
            WARNING, "gains", "some joints state neither gains nor armature",
            "state armature: the rotor's inertia times the gear ratio squared",
        )  # fmt: skip
    guessed = having(lambda d: d.limit_from == GUESS)
    if guessed:
        yield Finding(
            WARNING, "torque limits", f"none: {shown(guessed)}",
            "state actuatorfrcrange at the joint, or correct the config's guess",
        )  # fmt: skip
    model = robot.model
    light = [robot.joint_name(j) for j in robot.joints
             if model.dof_armature[model.jnt_dofadr[j]] < LEAST_ARMATURE]  # fmt: skip
    if light:
        yield Finding(
            WARNING, "armature", f"below {LEAST_ARMATURE} kg m^2: {shown(light)}",
            "state it; stiff drives chatter without",
        )  # fmt: skip
    if has_motors(robot):
        yield from _check_limited_drives(robot, drives)


def _check_limited_drives(robot: Robot, drives: Mapping[str, Drive]) -> Iterator[Finding]:
    """A drive at its limit brakes explicitly: kd * sim_dt must stay below twice the inertia."""
    model = robot.model
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, robot.data, full)
    unstable = []
    for joint in robot.joints:
        name, dof = robot.joint_name(joint), model.jnt_dofadr[joint]
        # The inertia that one joint alone feels, all others free: the least there is.
        inertia = 1.0 / np.linalg.inv(full)[dof, dof]
        if drives[name].kd / MOTOR_RATES[1] > 2.0 * inertia:
            unstable.append(name)
    if unstable:
        yield Finding(
            WARNING, "gains", f"kd too high to keep within torque limits at {MOTOR_RATES[1]} Hz: "
            f"{shown(unstable)}", "lower kd, or effort_limited: false",
        )  # fmt: skip


def _check_passive(robot: Robot) -> Iterator[Finding]:
    model = robot.model
    springs = [robot.joint_name(j) for j in robot.joints if model.jnt_stiffness[j] != 0]
    if springs:
        yield Finding(
            WARNING, "springs", f"stiffness stays, beside the drives: {shown(springs)}",
            "set it to 0 where the file means the P gain by it",
        )  # fmt: skip
    rubbing = [robot.joint_name(j) for j in robot.joints
               if model.dof_frictionloss[model.jnt_dofadr[j]] != 0]  # fmt: skip
    if rubbing:
        yield Finding(
            NOTE, "friction", f"frictionloss costs a constraint row each: {shown(rubbing)}"
        )
    if model.neq or model.ntendon:
        yield Finding(
            WARNING, "loops", f"{model.neq} equalities and {model.ntendon} tendons, which physics "
            "knows and kinematics does not", "clips move all joints: leave loops open",
        )  # fmt: skip
    ignored = {"actuators": model.nu, "sensors": model.nsensor, "keyframes": model.nkey}
    present = [f"{count} {kind}" for kind, count in ignored.items() if count]
    if present:
        yield Finding(NOTE, "own", f"{', '.join(present)}: runs replace them by their own")


def _check_geoms(robot: Robot) -> Iterator[Finding]:
    model, geoms = robot.model, robot.geoms
    if not geoms:
        yield Finding(
            PROBLEM, "geoms", "nothing collides with the ground",
            'state geoms without contype="0" conaffinity="0", at the feet at least',
        )  # fmt: skip
        return
    odd: dict[str, list[str]] = {}
    for geom in geoms:
        kind = mujoco.mjtGeom(int(model.geom_type[geom])).name.replace("mjGEOM_", "")
        if kind not in PRIMITIVES:
            owner = robot.body_name(model.geom_bodyid[geom])
            odd.setdefault(kind.lower(), []).append(model.geom(geom).name or owner)
    for kind, names in odd.items():
        yield Finding(
            WARNING, "geoms", f"{len(names)} of kind {kind} collide: {shown(names)}",
            "replace by spheres, capsules and boxes: engines agree about these, and they are fast",
        )  # fmt: skip
    level = WARNING if len(geoms) > MANY_GEOMS else OK
    remedy = "a few per body are enough" if level == WARNING else ""
    yield Finding(level, "geoms", f"{len(geoms)} collide", remedy)
    bare = [robot.body_name(b) for b in robot.bodies
            if model.body_weldid[b] == b and b not in model.geom_bodyid[geoms]]  # fmt: skip
    if bare:
        yield Finding(
            NOTE, "geoms", f"nothing collides of {shown(bare)}: they sink into what they meet"
        )


def _check_pose(robot: Robot) -> Iterator[Finding]:
    model, data = robot.model, robot.data
    pairs = {}
    for contact in data.contact:
        names = sorted(robot.body_name(model.geom_bodyid[geom]) for geom in contact.geom)
        if 0 not in model.geom_bodyid[list(contact.geom)]:
            key = f"{names[0]} and {names[1]}"
            pairs[key] = max(pairs.get(key, 0.0), -1000.0 * contact.dist)
    if pairs:
        listed = [f"{key} by {depth:.1f} mm" for key, depth in pairs.items()]
        yield Finding(
            WARNING, "pose", f"{len(pairs)} pairs of bodies touch: {shown(listed)}",
            '<contact><exclude body1="..." body2="..."/></contact>, or smaller geoms',
        )  # fmt: skip
    beyond = []
    for joint in robot.joints:
        low, high = model.jnt_range[joint]
        angle = data.qpos[model.jnt_qposadr[joint]]
        hinge = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
        if (
            hinge
            and model.jnt_limited[joint]
            and not low - LIMIT_TOLERANCE <= angle <= high + LIMIT_TOLERANCE
        ):
            beyond.append(f"{robot.joint_name(joint)} at {angle:.3g} in [{low:.3g}, {high:.3g}]")
    if beyond:
        yield Finding(
            WARNING, "pose", f"beyond the limits: {shown(beyond)}",
            "state a keyframe 'home' within them, or edit default_pose",
        )  # fmt: skip
    yield Finding(OK, "pose", f"{robot.pose}, root {robot.height:.3f} m above the ground")


def _check_bodies(robot: Robot) -> Iterator[Finding]:
    feet = robot.feet()
    parents = robot.model.body_parentid
    ids = [robot.model.body(name).id for name in feet]
    trunk = [name for name, id_ in zip(feet, ids) if not ancestors(parents, id_)]
    if trunk:
        yield Finding(
            WARNING, "feet", f"the root '{trunk[0]}' lies on the ground in this pose",
            "state a keyframe 'home' in which it stands",
        )  # fmt: skip
    guesses = {"feet": feet, "hands": robot.called(HANDS), "head": robot.called(HEAD)}
    text = "; ".join(f"{kind}: {shown(names) or 'none'}" for kind, names in guesses.items())
    yield Finding(NOTE, "bodies", f"guesses: {text}", "correct them in the config")


def _stand_still(engine: MujocoEngine, character: Character) -> tuple[float, float]:
    """Fastest joint [rad/s], infinite if it diverged, and how far the root sank [m]."""
    engine.command(torch.tensor(character.default_dofs, dtype=torch.float32)[None])
    fastest = 0.0
    for _ in range(round(TRIAL_S * character.control_hz)):
        engine.step()
        fastest = max(fastest, float(engine.state.dof_vel.abs().max()))
        if engine.diverged.any():
            return float("inf"), 0.0
    return fastest, character.default_height - float(engine.state.root_pos[0, 2])
