"""A conf/character file to start from, measured from a robot's MJCF file.

Where the file states gains and torque limits, those are taken; the rest follows from rules, and
says so in a comment beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import yaml

from mimickit.engines.mujoco_robot import HANDS, HEAD, Robot

# Gains by the armature. Source: mjlab 1.6.0 (mujocolab/mjlab, asset_zoo/robots/unitree_g1).
FREQUENCY, DAMPING_RATIO = 2.0 * math.pi * 10.0, 2.0  # [rad/s], unitless
LEAST_ARMATURE = 0.003  # [kg m^2] for that rule, and for a drive that does not chatter
# Gains by the torque limit: what a quarter of a radian asks for in full. Source: the median over
# the joints of MimicKit's humanoid, whose kd is a tenth of kp.
FULL_TORQUE_ANGLE, KD_PER_KP = 0.25, 0.1  # [rad], [s]
LEVER = 0.25  # of the root's height, at which a guessed torque limit holds the whole weight
GRAVITY = 9.81
FREE_RANGE = 3.14  # [rad] either way, for hinges without limits
BALL_RANGE = 1.57  # [rad] per axis, for ball joints without one
MOTOR_RATES = (50, 200)  # [Hz] of control and simulation. Source: mjlab 1.6.0
ARMATURE_RULE, TORQUE_RULE, GUESS = "by the armature", "by the torque limit", "a guess"


@dataclass(frozen=True)
class Drive:
    """Gains and torque limit of one joint, and where each comes from, in words."""

    kp: float
    kd: float
    torque_limit: float
    gains_from: str
    limit_from: str


def config_text(robot: Robot, name: str) -> str:
    """A complete conf/character file for a robot whose structure is sound.

    Args:
        robot: see `read_robot`.
        name: of the character; the folder of its clips under motions/.
    """
    model, height = robot.model, robot.height
    drives = {joint: drive_of(robot, joint) for joint in robot.joints}
    width = max((len(word(robot.joint_name(joint))) for joint in drives), default=0) + 1
    lines = [joint_line(robot, joint, drive, width) for joint, drive in drives.items()]
    feet, hands, head = robot.feet(), robot.called(HANDS), robot.called(HEAD)
    limited = has_motors(robot)
    control_hz, sim_hz = MOTOR_RATES if limited else (30, 120)
    hinges = [model.jnt_range[j] for j in drives if model.jnt_limited[j]]
    balls = any(model.jnt_type[j] == mujoco.mjtJoint.mjJNT_BALL for j in drives)
    centred = not balls and all(low < 0 < high for low, high in hinges)
    turned = [f"    {entry}" for entry in joints_of_pose(robot)]
    pose = commented("  joints", "" if turned else "{}", robot.pose)
    settings = [
        ("tracking_weights", "null", "per body; null = 1 each"),
        ("termination_distance", f"{min(1.0, 2.0 * height):.1f}", "[m]"),
        ("zero_center_action", str(centred).lower(), ""),
        ("exploration_std", "0.05", "fraction of the action's half range"),
        ("motion", "walk", "the clip to imitate when none is asked for"),
        ("contact_height", f"{min(0.3, 0.55 * height):.2f}", "[m]"),
        ("effort_limited", str(limited).lower(), "whether drives keep within torque_limit"),
        ("control_hz", str(control_hz), ""),
        ("sim_hz", str(sim_hz), ""),
    ]
    return f"""\
# Written by scripts/check_character.py from {robot.path.name}. Look at what is a guess.
# Gains {ARMATURE_RULE}: kp = armature * w^2, kd = 2 * zeta * armature * w; w 63 rad/s, zeta 2.
# Gains {TORQUE_RULE}: kp = torque_limit / {FULL_TORQUE_ANGLE} rad, kd = kp * {KD_PER_KP} s.
defaults:
  - base
  - _self_

name: {word(name)}
model: {word(str(robot.path.resolve()))}

# kp [Nm/rad], kd [Nm s/rad], torque_limit [Nm]; limits [rad] where the MJCF states none.
joints:
{chr(10).join(lines)}

default_pose:
{commented("  height", f"{height:.4f}", f"{1000 * lowest(robot):.0f} mm of air below")}
{chr(10).join([pose, *turned])}

bodies:
{commented("  feet", listed(feet), "a guess: what is near the ground")}
{commented("  hands", listed(hands), "a guess by name")}
{commented("  head", listed(head), "a guess by name")}
  key_bodies: {listed(dict.fromkeys([*head, *hands, *feet]))}
  may_touch_ground: {listed(feet)}

{chr(10).join(commented(*setting) for setting in settings)}
"""


def read_config(text: str) -> dict[str, Any]:
    """The arguments of `load_character` in a file that `config_text` wrote."""
    facts = yaml.safe_load(text)
    del facts["defaults"]
    return facts


def has_motors(robot: Robot) -> bool:
    """Whether all joints are hinges with stated torque limits, which drives should keep then."""
    hinge = mujoco.mjtJoint.mjJNT_HINGE
    return all(
        robot.model.jnt_type[joint] == hinge and torque_limit(robot, joint)[1] != GUESS
        for joint in robot.joints
    )


def drive_of(robot: Robot, joint: int) -> Drive:
    """Gains and torque limit of a joint, from the file as far as it states them."""
    model = robot.model
    dof = model.jnt_dofadr[joint]
    armature, damping = float(model.dof_armature[dof]), float(model.dof_damping[dof])
    limit, limit_from = torque_limit(robot, joint)
    for actuator in actuators_of(model, joint):
        gear = float(np.linalg.norm(model.actuator_gear[actuator, :3]))
        kp, kv = (-float(gain) * gear**2 for gain in model.actuator_biasprm[actuator, 1:3])
        if model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_AFFINE and kp > 0:
            kd = kv + damping
            return Drive(kp, kd if kd > 0 else KD_PER_KP * kp, limit, "of its actuator", limit_from)
    stiffness = float(model.jnt_stiffness[joint])
    if stiffness > 0 and damping > 0:  # MimicKit's way to state gains
        return Drive(stiffness, damping, limit, "its stiffness and damping", limit_from)
    if armature >= LEAST_ARMATURE:
        kp, kd = armature * FREQUENCY**2, 2.0 * DAMPING_RATIO * armature * FREQUENCY
        return Drive(kp, kd, limit, ARMATURE_RULE, limit_from)
    kp = limit / FULL_TORQUE_ANGLE
    return Drive(kp, KD_PER_KP * kp, limit, TORQUE_RULE, limit_from)


def torque_limit(robot: Robot, joint: int) -> tuple[float, str]:
    """Greatest torque [Nm] per degree of freedom, and where it comes from."""
    model = robot.model
    found = []
    for actuator in actuators_of(model, joint):
        gear = float(np.abs(model.actuator_gear[actuator, :3]).max())
        motor = model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_NONE
        if model.actuator_forcelimited[actuator]:
            found.append(float(np.abs(model.actuator_forcerange[actuator]).max()) * gear)
        elif motor and model.actuator_ctrllimited[actuator]:
            gain = float(model.actuator_gainprm[actuator, 0])
            found.append(float(np.abs(model.actuator_ctrlrange[actuator]).max()) * gain * gear)
    if model.jnt_actfrclimited[joint]:
        found.append(float(np.abs(model.jnt_actfrcrange[joint]).max()))
    found = [limit for limit in found if limit > 0]
    if found:
        return min(found), "stated"
    return LEVER * robot.height * robot.mass * GRAVITY, GUESS


def actuators_of(model: mujoco.MjModel, joint: int) -> list[int]:
    """The actuators that drive a joint directly."""
    kind = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
    return [int(i) for i in np.flatnonzero(kind & (model.actuator_trnid[:, 0] == joint))]


def joint_line(robot: Robot, joint: int, drive: Drive, width: int) -> str:
    """One joint as YAML, with where its numbers come from."""
    model = robot.model
    numbers = f"kp: {drive.kp:.5g}, kd: {drive.kd:.5g}, torque_limit: {drive.torque_limit:.4g}"
    notes = [f"gains {drive.gains_from}"]
    if drive.limit_from == GUESS:
        notes.append("torque_limit a guess")
    if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
        reach = float(model.jnt_range[joint, 1]) if model.jnt_limited[joint] else BALL_RANGE
        numbers += f", limits: [{', '.join([f'[{-reach:.4g}, {reach:.4g}]'] * 3)}]"
        notes.append("limits a guess")
    elif not model.jnt_limited[joint]:
        numbers += f", limits: [-{FREE_RANGE}, {FREE_RANGE}]"
        notes.append("limits a guess")
    key = f"{word(robot.joint_name(joint))}:"
    return f"  {key:<{width}} {{{numbers}}}  # {', '.join(notes)}"


def joints_of_pose(robot: Robot) -> list[str]:
    """The joints that are not at zero in the pose, as entries of a YAML mapping."""
    model, data = robot.model, robot.data
    entries = []
    for joint in robot.joints:
        start = model.jnt_qposadr[joint]
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
            turn = np.zeros(3)
            mujoco.mju_quat2Vel(turn, data.qpos[start : start + 4], 1.0)
        else:
            turn = data.qpos[start : start + 1]
        if np.abs(turn).max() > 5e-5:
            numbers = ", ".join(f"{value:.4g}" for value in turn)
            value = f"[{numbers}]" if len(turn) > 1 else numbers
            entries.append(f"{word(robot.joint_name(joint))}: {value}")
    return entries


def lowest(robot: Robot) -> float:
    """Clearance of the lowest geom [m]."""
    return min((robot.clearance(geom) for geom in robot.geoms), default=0.0)


def listed(names: Any) -> str:
    """Names as a YAML list in one line."""
    return f"[{', '.join(word(name) for name in names)}]"


def word(text: str) -> str:
    """Text as a YAML scalar, quoted where it must be."""
    return yaml.safe_dump(text, width=math.inf, allow_unicode=True).split("\n...")[0].strip()


def commented(key: str, value: str, comment: str) -> str:
    """A line of YAML, its comment in the column where those of conf/ stand."""
    line = f"{key}: {value}".rstrip()
    return f"{line:<35} # {comment}" if comment else line
