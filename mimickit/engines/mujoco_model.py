"""Compiles a character's MJCF into a MuJoCo model with ground, objects, drives and force sensors.

Position drives follow one law on every engine: torque = kp * log(q^-1 * target) - kd * velocity in
the joint's child frame, the P part recomputed each substep and the D part as joint damping, which
the implicitfast integrator takes implicitly. Nothing clamps the P part: a saturating clamp on a
stiff character's drive makes it chatter at 120 Hz.

Motors have limits: drives that keep within them (`limits_effort`) cut that torque, damping and all,
and take the damping implicitly only while they do not. This is stable while
kd * sim_dt < 2 * (armature + the inertia of what the joint moves).
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco

from mimickit.characters import Character, Joint, JointKind
from mimickit.engines.engine import limits_effort
from mimickit.errors import CharacterError
from mimickit.objects import ObjectSpec, free_objects

FLOOR = "floor"
OBJECT_PREFIX = "object/"  # of their bodies, or an obstacle's geom; no character's begin like this


def build_model(
    character: Character,
    sim_dt: float,
    control_mode: str,
    solver_iterations: int,
    line_search_iterations: int = 50,
    native_drives: bool = True,
    force_sensors: bool = True,
    objects: Sequence[ObjectSpec] = (),
) -> mujoco.MjModel:
    """A compiled model; its dofs after the free joint are the character's, in the same order.

    Behind them come those of the free objects, and behind the character's bodies theirs.

    Args:
        sim_dt: simulation time step [s].
        control_mode: see `mimickit.engines.engine.CONTROL_MODES`.
        solver_iterations: most Newton iterations of the contact solver per substep.
        line_search_iterations: most iterations of the line search within each of these.
        native_drives: whether MuJoCo computes the P part of position drives, and all of those that
            keep within limits; if not, there are no such drives, and an engine applies these
            torques to the dofs itself.
        force_sensors: whether MuJoCo measures the ground forces: 3 numbers [N] of sensordata for
            each body, in order, and behind them 3 of each body on each free object, object by
            object; if not, an engine sums up the contacts itself.
        objects: what else there is in the world.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(character.model))
    except ValueError as error:
        raise _refused(character, error) from None
    # Robots' files bring drives and sensors of their own, keyframes that fit them, and cameras and
    # lights, whose poses would be computed in every substep.
    for element in (*spec.keys, *spec.actuators, *spec.sensors, *spec.cameras, *spec.lights):
        spec.delete(element)
    spec.option.timestep = sim_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = solver_iterations
    spec.option.ls_iterations = line_search_iterations
    # The primitive box-box collider in place of the general convex one, on every engine.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_NATIVECCD
    floor = spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    floor.condim = 3
    floor.friction = [1.0, 0.05, 0.05]
    for joint in character.movable_joints:
        _drive(spec, joint, control_mode, limits_effort(character, control_mode), native_drives)
    for one in objects:
        _add_object(spec, one)
    if force_sensors:
        floor = (mujoco.mjtObj.mjOBJ_GEOM, FLOOR)
        for body in character.body_names:
            _force_sensor(spec, floor, body)
        for one in free_objects(objects):
            for body in character.body_names:
                _force_sensor(spec, (mujoco.mjtObj.mjOBJ_BODY, body), OBJECT_PREFIX + one.name)
    else:
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
    try:
        model = spec.compile()
    except ValueError as error:
        raise _refused(character, error) from None
    _check_order(model, character)
    return model


def _refused(character: Character, error: ValueError) -> CharacterError:
    reason = "; ".join(str(error).replace("Error: ", "", 1).split("\n"))
    return CharacterError(f"MuJoCo cannot use {character.model} (character.model): {reason}")


def _drive(spec: mujoco.MjSpec, joint: Joint, mode: str, limited: bool, native: bool) -> None:
    element = spec.joint(joint.name)
    element.damping[0] = joint.kd if mode == "pos" and not limited else 0.0
    # The file's own limit on a joint's drives would clamp the P part, where they are MuJoCo's.
    element.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE
    element.actgravcomp = False  # else it would need a drive to act through
    if mode == "none" or (mode in ("pos", "pd_1d") and not native):
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
        if limited:
            drive.set_to_position(kp=joint.kp, kv=joint.kd)
            drive.forcerange = [-limit, limit]
        elif mode == "pos":
            drive.set_to_position(kp=joint.kp)
        elif mode == "vel":
            drive.set_to_velocity(kv=joint.kd)
        else:
            drive.set_to_motor()
            drive.ctrlrange = [-limit, limit]
            drive.ctrllimited = True


def _add_object(spec: mujoco.MjSpec, one: ObjectSpec) -> None:
    """A geom of the world, or of a body with a free joint."""
    name, parent = OBJECT_PREFIX + one.name, spec.worldbody
    place = {"pos": one.pos, "quat": [one.rot[i] for i in (3, 0, 1, 2)]}
    if one.free:
        parent = spec.worldbody.add_body(name=name, **place)
        parent.add_freejoint(name=name)
        place = {"mass": one.mass}
    parent.add_geom(
        name=name,
        type=getattr(mujoco.mjtGeom, f"mjGEOM_{one.shape.upper()}"),
        size=[*one.size, 0.0, 0.0][:3],
        friction=[one.friction, 0.005, 0.0001],
        priority=1,  # its friction counts, not the larger one of two
        # MuJoCo's own, whatever the character's file makes the default of its geoms.
        contype=1,
        conaffinity=1,
        condim=3,
        margin=0.0,
        gap=0.0,
        solmix=1.0,
        solref=[0.02, 1.0],
        solimp=[0.9, 0.95, 0.001, 0.5, 2.0],
        **place,
    )


def _force_sensor(spec: mujoco.MjSpec, of: tuple[mujoco.mjtObj, str], on: str) -> None:
    """World-frame net contact force [N] of something on a body: 3 numbers of sensordata."""
    spec.add_sensor(
        name=f"force_{of[1]}_{on}",
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=of[0],
        objname=of[1],
        reftype=mujoco.mjtObj.mjOBJ_BODY,
        refname=on,
        intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3, 1],
    )


def _check_order(model: mujoco.MjModel, character: Character) -> None:
    expected = tuple(joint.name for joint in character.movable_joints)
    names = (model.body(i).name for i in range(1, model.nbody))
    bodies = tuple(name for name in names if not name.startswith(OBJECT_PREFIX))
    names = (model.joint(i).name for i in range(1, model.njnt))
    joints = tuple(name for name in names if not name.startswith(OBJECT_PREFIX))
    if bodies != character.body_names or joints != expected:
        raise CharacterError(
            f"{character.model}: MuJoCo orders its bodies or joints differently from the file: "
            f"{bodies} and {joints}, expected {character.body_names} and {expected}"
        )
