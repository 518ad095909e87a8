"""Compiles a character's MJCF into a MuJoCo model with ground, drives and ground-force sensors.

Position drives follow one law on every engine: torque = kp * log(q^-1 * target) - kd * velocity in
the joint's child frame, the P part recomputed each substep and the D part as joint damping, which
the implicitfast integrator takes implicitly. Nothing clamps the P part: a saturating clamp on a
stiff character's drive makes it chatter at 120 Hz.
"""

from __future__ import annotations

import mujoco

from mimickit.characters import Character, Joint, JointKind
from mimickit.errors import CharacterError

FLOOR = "floor"


def build_model(
    character: Character, sim_dt: float, control_mode: str, solver_iterations: int
) -> mujoco.MjModel:
    """A compiled model; its dofs after the free joint are the character's, in the same order.

    Args:
        sim_dt: simulation time step [s].
        control_mode: see `mimickit.engines.engine.CONTROL_MODES`.
        solver_iterations: most Newton iterations of the contact solver per substep.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(character.model))
    except ValueError as error:
        raise _refused(character, error) from None
    # Robots' files bring drives and sensors of their own, and keyframes that fit them.
    for element in (*spec.keys, *spec.actuators, *spec.sensors):
        spec.delete(element)
    spec.option.timestep = sim_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = solver_iterations
    # The primitive box-box collider in place of the general convex one, on every engine.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD
    floor = spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    floor.condim = 3
    floor.friction = [1.0, 0.05, 0.05]
    for joint in character.movable_joints:
        _drive(spec, joint, control_mode)
    for body in character.body_names:
        _ground_force_sensor(spec, body)
    try:
        model = spec.compile()
    except ValueError as error:
        raise _refused(character, error) from None
    _check_order(model, character)
    return model


def _refused(character: Character, error: ValueError) -> CharacterError:
    reason = "; ".join(str(error).replace("Error: ", "", 1).split("\n"))
    return CharacterError(f"MuJoCo cannot use {character.model} (character.model): {reason}")


def _drive(spec: mujoco.MjSpec, joint: Joint, mode: str) -> None:
    damped = mode == "pos"
    spec.joint(joint.name).damping[0] = joint.kd if damped else 0.0
    if mode == "none":
        return
    limit = joint.torque_limit
    ball = joint.kind is JointKind.BALL
    if ball and mode == "pos":
        drive = spec.add_actuator(
            name=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=joint.name
        )
        drive.set_to_orientation(kp=joint.kp)
        return
    for axis in range(joint.kind.value):
        gear = [float(axis == i) for i in range(6)] if ball else [1.0, 0, 0, 0, 0, 0]
        drive = spec.add_actuator(
            name=f"{joint.name}_{'xyz'[axis]}" if ball else joint.name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            target=joint.name,
            gear=gear,
        )
        if mode == "pos":
            drive.set_to_position(kp=joint.kp)
        elif mode == "pd_1d":
            drive.set_to_position(kp=joint.kp, kv=joint.kd)
            drive.forcerange = [-limit, limit]
        elif mode == "vel":
            drive.set_to_velocity(kv=joint.kd)
        else:
            drive.set_to_motor()
            drive.ctrlrange = [-limit, limit]
            drive.ctrllimited = True


def _ground_force_sensor(spec: mujoco.MjSpec, body: str) -> None:
    """World-frame net force [N] of the floor on one body: 3 numbers of sensordata."""
    spec.add_sensor(
        name=f"ground_{body}",
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=FLOOR,
        reftype=mujoco.mjtObj.mjOBJ_BODY,
        refname=body,
        intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3, 1],
    )


def _check_order(model: mujoco.MjModel, character: Character) -> None:
    bodies = tuple(model.body(i).name for i in range(1, model.nbody))
    joints = tuple(model.joint(i).name for i in range(1, model.njnt))
    expected = tuple(joint.name for joint in character.movable_joints)
    if bodies != character.body_names or joints != expected:
        raise CharacterError(
            f"{character.model}: MuJoCo orders its bodies or joints differently from the file: "
            f"{bodies} and {joints}, expected {character.body_names} and {expected}"
        )
