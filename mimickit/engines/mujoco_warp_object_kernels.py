# type: ignore  (what follows is Warp's language, which type checkers take for Python)
"""Warp kernels of the free objects that share a world with the character.

Legend: N worlds, B bodies of the character, O free objects, whose bodies, coordinates and dofs come
behind the character's. Conventions are those of `mujoco_warp_kernels`.
"""

from __future__ import annotations

import warp as wp

from mimickit.engines.mujoco_warp_kernels import CONSTRAINT, put_quat, quat_at

wp.set_module_options({"enable_backward": False})


@wp.kernel
def add_touch_forces(
    geom_body: wp.array(dtype=int),
    contacts: wp.array(dtype=int),
    contact_world: wp.array(dtype=int),
    contact_geoms: wp.array(dtype=wp.vec2i),
    contact_type: wp.array(dtype=int),
    contact_force: wp.array(dtype=wp.spatial_vector),
    touch_force: wp.array3d(dtype=wp.vec3),
) -> None:
    """Add the force [N] of each contact of a body with an object to its force on that, [N, O, B].

    Contacts are as for the forces of the ground.
    """
    contact = wp.tid()
    if contact >= contacts[0] or (contact_type[contact] & CONSTRAINT) == 0:
        return
    geoms, world = contact_geoms[contact], contact_world[contact]
    bodies = touch_force.shape[2]
    first, second = geom_body[geoms[0]] - 1, geom_body[geoms[1]] - 1  # MuJoCo's 0 is the world
    force = wp.spatial_top(contact_force[contact])
    if first >= 0 and first < bodies and second >= bodies:
        wp.atomic_add(touch_force, world, second - bodies, first, force)
    elif second >= 0 and second < bodies and first >= bodies:
        wp.atomic_sub(touch_force, world, first - bodies, second, force)


@wp.kernel
def write_objects(
    mask: wp.array2d(dtype=wp.bool),
    pos: wp.array2d(dtype=wp.vec3),
    rot: wp.array2d(dtype=wp.quat),
    vel: wp.array2d(dtype=wp.vec3),
    ang_vel: wp.array2d(dtype=wp.vec3),
    first_qpos: int,
    first_dof: int,
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    qacc_warmstart: wp.array2d(dtype=float),
    touch_force: wp.array3d(dtype=wp.vec3),
) -> None:
    """Put the masked objects [N, O] into a state; one row of it serves all worlds."""
    world, number = wp.tid()
    if not mask[world, number]:
        return
    row, start, dof = world % pos.shape[0], first_qpos + 7 * number, first_dof + 6 * number
    p, q, v = pos[row, number], rot[row, number], vel[row, number]
    spin = wp.quat_rotate_inv(q, ang_vel[row, number])  # MuJoCo's is in the body frame
    put_quat(qpos, world, start + 3, q)
    for i in range(3):
        qpos[world, start + i] = p[i]
        qvel[world, dof + i] = v[i]
        qvel[world, dof + 3 + i] = spin[i]
    for i in range(6):
        qacc_warmstart[world, dof + i] = 0.0
    for body in range(touch_force.shape[2]):
        touch_force[world, number, body] = wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def read_objects(
    qpos: wp.array2d(dtype=float),
    qvel: wp.array2d(dtype=float),
    first_qpos: int,
    first_dof: int,
    rot: wp.array2d(dtype=wp.quat),
    ang_vel: wp.array2d(dtype=wp.vec3),
) -> None:
    """Convert what differs in order or frame; all else is a view of MuJoCo's own arrays."""
    world, number = wp.tid()
    dof = first_dof + 6 * number
    q = quat_at(qpos, world, first_qpos + 7 * number + 3)
    spin = wp.vec3(qvel[world, dof + 3], qvel[world, dof + 4], qvel[world, dof + 5])
    rot[world, number] = q
    ang_vel[world, number] = wp.quat_rotate(q, spin)
