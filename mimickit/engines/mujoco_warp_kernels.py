# type: ignore  (what follows is Warp's language, which type checkers take for Python)
# ruff: noqa: UP018  (in a kernel float(2.0) declares a variable, and 2.0 a constant)
"""Warp kernels of the MuJoCo Warp engine: drives, checks, and conversions at its boundary.

Legend: N worlds, B bodies of the character, D dofs, C coordinates of qpos, O free objects, whose
bodies, coordinates and dofs come behind the character's. MuJoCo's arrays hold
quaternions as (w, x, y, z), whatever Warp calls their components; ours are (x, y, z, w).
The tables of the tree have one entry per body, the root's unused: number of dofs of the joint that
moves it (0 fixed, 1 hinge, 3 ball), its first coordinate in qpos, its first dof in the character's
order, and its axis.
"""

from __future__ import annotations

import mujoco_warp as mjw
import warp as wp

wp.set_module_options({"enable_backward": False})

# A command beyond this has no meaning. Source: MuJoCo, mjMAXVAL, which its own check applies.
MAX_COMMAND = wp.constant(1e10)
# A coordinate or velocity beyond this has blown up: a float32 of 1e6 m is 6 cm coarse.
MAX_STATE = wp.constant(1e6)

PLANE = wp.constant(int(mjw.GeomType.PLANE))
BOX = wp.constant(int(mjw.GeomType.BOX))
# Of a contact: the solver heeds it. Source: MuJoCo Warp 4.0, ContactType.CONSTRAINT (not exported).
CONSTRAINT = wp.constant(1)

ROWS_DROPPED = wp.constant(int(mjw.OverflowType.NEFC | mjw.OverflowType.NJMAX_NNZ))
CONTACTS_DROPPED = wp.constant(
    int(mjw.OverflowType.BROADPHASE | mjw.OverflowType.NARROWPHASE | mjw.OverflowType.CCD)
)


@wp.func
def from_mujoco(q: wp.quat) -> wp.quat:
    """(x, y, z, w) of MuJoCo's (w, x, y, z)."""
    return wp.quat(q[1], q[2], q[3], q[0])


@wp.func
def quat_at(qpos: wp.array2d(dtype=float), world: int, start: int) -> wp.quat:
    """The rotation that starts at a coordinate of one world, as (x, y, z, w)."""
    return wp.quat(
        qpos[world, start + 1], qpos[world, start + 2], qpos[world, start + 3], qpos[world, start]
    )


@wp.func
def put_quat(qpos: wp.array2d(dtype=float), world: int, start: int, q: wp.quat) -> None:
    """Write (x, y, z, w) in MuJoCo's order."""
    qpos[world, start] = q[3]
    qpos[world, start + 1] = q[0]
    qpos[world, start + 2] = q[1]
    qpos[world, start + 3] = q[2]


@wp.func
def exp_map_to_quat(e: wp.vec3) -> wp.quat:
    """Rotation by |e| rad about e / |e|."""
    angle = wp.length(e)
    scale = float(0.5)
    if angle > 1.0e-6:
        scale = wp.sin(0.5 * angle) / angle
    return wp.quat(scale * e, wp.cos(0.5 * angle))


@wp.func
def quat_to_exp_map(q: wp.quat) -> wp.vec3:
    """Exponential map of length at most pi."""
    v = wp.vec3(q[0], q[1], q[2])
    w = q[3]
    if w < 0.0:
        v = -v
        w = -w
    sine = wp.length(v)
    scale = float(2.0)
    if sine > 1.0e-6:
        scale = 2.0 * wp.atan2(sine, w) / sine
    return scale * v


@wp.func
def twist_angle(q: wp.quat, axis: wp.vec3) -> float:
    """Signed angle in (-pi, pi] of the part of q that turns about the unit axis."""
    sign = wp.where(q[3] < 0.0, -1.0, 1.0)
    return 2.0 * wp.atan2(sign * wp.dot(wp.vec3(q[0], q[1], q[2]), axis), sign * q[3])


@wp.func
def within(value: float, bound: float) -> bool:
    """Whether |value| <= bound; not a number is not."""
    return wp.abs(value) <= bound


@wp.kernel
def take_commands(
    command: wp.array2d(dtype=float),
    targets: wp.array2d(dtype=float),
    diverged: wp.array(dtype=wp.bool),
) -> None:
    """Hand each world its command [N, D], or zeros where it is unsound, which counts as diverged.

    Zeros, because a world of NaN would take contacts of all others' common pool.
    """
    world = wp.tid()
    sound = bool(True)
    for i in range(command.shape[1]):
        if not within(command[world, i], MAX_COMMAND):
            sound = False
    for i in range(command.shape[1]):
        targets[world, i] = wp.where(sound, command[world, i], 0.0)
    diverged[world] = not sound


@wp.kernel
def drive_positions(
    qpos: wp.array2d(dtype=float),
    targets: wp.array2d(dtype=float),
    joint_dofs: wp.array(dtype=int),
    joint_qpos: wp.array(dtype=int),
    joint_dof: wp.array(dtype=int),
    joint_kp: wp.array(dtype=float),
    applied: wp.array2d(dtype=float),
) -> None:
    """The P part of the position drives: kp * log(q^-1 * target) [Nm], in the child frame.

    `applied` [N, 6 + D]: the generalised forces on MuJoCo's dofs, of which the root's stay zero.
    """
    world, body = wp.tid()
    dofs = joint_dofs[body]
    if dofs == 0:
        return
    kp, dof, start = joint_kp[body], joint_dof[body], joint_qpos[body]
    if dofs == 1:
        applied[world, 6 + dof] = kp * (targets[world, dof] - qpos[world, start])
        return
    target = wp.vec3(targets[world, dof], targets[world, dof + 1], targets[world, dof + 2])
    turn = wp.quat_inverse(quat_at(qpos, world, start)) * exp_map_to_quat(target)
    error = quat_to_exp_map(turn)
    for i in range(3):
        applied[world, 6 + dof + i] = kp * error[i]


@wp.kernel
def drive_hinges_within_limits(
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    targets: wp.array2d(dtype=float),
    joint_dofs: wp.array(dtype=int),
    joint_qpos: wp.array(dtype=int),
    joint_dof: wp.array(dtype=int),
    joint_kp: wp.array(dtype=float),
    joint_kd: wp.array(dtype=float),
    joint_limit: wp.array(dtype=float),
    applied: wp.array2d(dtype=float),
    damping: wp.array2d(dtype=float),
) -> None:
    """The drives of hinges, kp * (target - angle) - kd * speed [Nm], cut at +-limit.

    `applied`: as in `drive_positions`. `damping` [N, 6 + D], in Nm s/rad: MuJoCo's own of the dofs
    of each world. MuJoCo must find it zero when it adds up the forces, since `applied` has the
    damping's. It is set here, between that and the integration, which then takes it implicitly;
    but not that of a drive at its limit, whose torque no change of speed changes.

    Source: the rule of MuJoCo's own position actuators under its implicitfast integrator.
    """
    world, body = wp.tid()
    if joint_dofs[body] == 0:
        return
    dof = joint_dof[body]
    kd, limit = joint_kd[body], joint_limit[body]
    error = targets[world, dof] - qpos[world, joint_qpos[body]]
    torque = joint_kp[body] * error - kd * qvel[world, 6 + dof]
    applied[world, 6 + dof] = wp.clamp(torque, -limit, limit)
    damping[world, 6 + dof] = wp.where(wp.abs(torque) < limit, kd, 0.0)


@wp.kernel
def leave_out_upper_corners(
    geom_type: wp.array(dtype=int),
    geom_pos: wp.array2d(dtype=wp.vec3),
    contacts: wp.array(dtype=int),
    contact_world: wp.array(dtype=int),
    contact_geoms: wp.array(dtype=wp.vec2i),
    contact_distance: wp.array(dtype=float),
    contact_pos: wp.array(dtype=wp.vec3),
    contact_frame: wp.array(dtype=wp.mat33),
    contact_type: wp.array(dtype=int),
) -> None:
    """Take from the solver those corners of a box in a plane that lie above the box's centre.

    A foot that lands hard is deeper in the floor than it is thick. MuJoCo Warp then pushes at all
    eight corners, MuJoCo in C at the lower four only, and forces differ by up to a factor of two.

    Source: the rule of MuJoCo in C (mjc_PlaneBox).
    """
    contact = wp.tid()
    if contact >= contacts[0]:
        return
    geoms = contact_geoms[contact]
    if geoms[0] < 0 or geom_type[geoms[0]] != PLANE or geom_type[geoms[1]] != BOX:
        return
    frame = contact_frame[contact]
    normal = wp.vec3(frame[0, 0], frame[0, 1], frame[0, 2])
    # A contact lies halfway between its corner and the plane.
    offset = contact_pos[contact] - geom_pos[contact_world[contact], geoms[1]]
    if wp.dot(normal, offset) + 0.5 * contact_distance[contact] > 0.0:
        contact_type[contact] = contact_type[contact] & ~CONSTRAINT


@wp.kernel
def add_ground_forces(
    floor: int,
    geom_body: wp.array(dtype=int),
    contacts: wp.array(dtype=int),
    contact_world: wp.array(dtype=int),
    contact_geoms: wp.array(dtype=wp.vec2i),
    contact_type: wp.array(dtype=int),
    contact_force: wp.array(dtype=wp.spatial_vector),
    ground_force: wp.array2d(dtype=wp.vec3),
) -> None:
    """Add the force [N] of each contact with the floor to that on the body it acts on, [N, B].

    Contacts of all worlds share one array, of which the first `contacts[0]` count: more than it
    has room for where some were dropped. A contact's force is that of its first geom on its second,
    here in the world frame, before the torque.
    """
    contact = wp.tid()
    if contact >= contacts[0] or (contact_type[contact] & CONSTRAINT) == 0:
        return
    geoms, world = contact_geoms[contact], contact_world[contact]
    force = wp.spatial_top(contact_force[contact])
    if geoms[0] == floor:  # MuJoCo's body 0 is the world
        body = geom_body[geoms[1]] - 1
        if body < ground_force.shape[1]:  # else an object's
            wp.atomic_add(ground_force, world, body, force)
    elif geoms[1] == floor:
        body = geom_body[geoms[0]] - 1
        if body < ground_force.shape[1]:
            wp.atomic_sub(ground_force, world, body, force)


@wp.kernel
def judge_worlds(
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    ground_force: wp.array2d(dtype=wp.vec3),
    overflow: wp.array(dtype=int),
    diverged: wp.array(dtype=wp.bool),
    overflows: wp.array(dtype=wp.int64),
) -> None:
    """Mark the worlds that blew up or lost constraints, and count the latter.

    `overflows`: how often a world lost constraint rows, and contacts, within a control step.
    """
    world = wp.tid()
    bad = bool(diverged[world])
    if (overflow[world] & ROWS_DROPPED) != 0:
        wp.atomic_add(overflows, 0, wp.int64(1))
        bad = True
    if (overflow[world] & CONTACTS_DROPPED) != 0:
        wp.atomic_add(overflows, 1, wp.int64(1))
        bad = True
    overflow[world] = 0
    for i in range(qpos.shape[1]):
        if not within(qpos[world, i], MAX_STATE):
            bad = True
    for i in range(qvel.shape[1]):
        if not within(qvel[world, i], MAX_STATE):
            bad = True
    for i in range(ground_force.shape[1]):
        if not wp.isfinite(ground_force[world, i]):
            bad = True
    diverged[world] = bad


@wp.kernel
def write_worlds(
    mask: wp.array(dtype=wp.bool),
    root_pos: wp.array(dtype=wp.vec3),
    root_rot: wp.array(dtype=wp.quat),
    root_vel: wp.array(dtype=wp.vec3),
    root_ang_vel: wp.array(dtype=wp.vec3),
    joint_rot: wp.array2d(dtype=wp.quat),
    dof_vel: wp.array2d(dtype=float),
    joint_dofs: wp.array(dtype=int),
    joint_qpos: wp.array(dtype=int),
    joint_dof: wp.array(dtype=int),
    joint_axis: wp.array(dtype=wp.vec3),
    verdict: bool,
    time: wp.array(dtype=float),
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    qacc_warmstart: wp.array2d(dtype=float),
    ground_force: wp.array2d(dtype=wp.vec3),
    command: wp.array2d(dtype=float),
    diverged: wp.array(dtype=wp.bool),
) -> None:
    """Put the masked worlds into a state and forget their past; one row of state serves all.

    What else MuJoCo keeps is recomputed each substep, or never used: no drive has an activation.
    """
    world, body = wp.tid()
    if not mask[world]:
        return
    row = world % root_pos.shape[0]
    ground_force[world, body] = wp.vec3(0.0, 0.0, 0.0)
    if body == 0:
        pos, rot, vel = root_pos[row], root_rot[row], root_vel[row]
        spin = wp.quat_rotate_inv(rot, root_ang_vel[row])  # MuJoCo's is in the body frame
        put_quat(qpos, world, 3, rot)
        for i in range(3):
            qpos[world, i] = pos[i]
            qvel[world, i] = vel[i]
            qvel[world, 3 + i] = spin[i]
        for i in range(6):
            qacc_warmstart[world, i] = 0.0
        time[world] = 0.0
        diverged[world] = verdict
        return
    dofs, dof, start = joint_dofs[body], joint_dof[body], joint_qpos[body]
    q = joint_rot[row, body - 1]
    if dofs == 1:
        qpos[world, start] = twist_angle(q, joint_axis[body])
    if dofs == 3:
        put_quat(qpos, world, start, q)
    for i in range(dofs):
        qvel[world, 6 + dof + i] = dof_vel[row, dof + i]
        qacc_warmstart[world, 6 + dof + i] = 0.0
        command[world, dof + i] = 0.0


@wp.kernel
def read_worlds(
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    xquat: wp.array2d(dtype=wp.quat),
    joint_dofs: wp.array(dtype=int),
    joint_qpos: wp.array(dtype=int),
    joint_axis: wp.array(dtype=wp.vec3),
    root_rot: wp.array(dtype=wp.quat),
    root_ang_vel: wp.array(dtype=wp.vec3),
    joint_rot: wp.array2d(dtype=wp.quat),
    body_rot: wp.array2d(dtype=wp.quat),
) -> None:
    """Convert what differs in order or frame; all else is a view of MuJoCo's own arrays."""
    world, body = wp.tid()
    body_rot[world, body] = from_mujoco(xquat[world, body + 1])  # MuJoCo's body 0 is the world
    if body == 0:
        rot = quat_at(qpos, world, 3)
        spin = wp.vec3(qvel[world, 3], qvel[world, 4], qvel[world, 5])
        root_rot[world] = rot
        root_ang_vel[world] = wp.quat_rotate(rot, spin)
        return
    dofs, start = joint_dofs[body], joint_qpos[body]
    q = wp.quat_identity()
    if dofs == 1:
        q = wp.quat_from_axis_angle(joint_axis[body], qpos[world, start])
    if dofs == 3:
        q = quat_at(qpos, world, start)
    joint_rot[world, body - 1] = q
