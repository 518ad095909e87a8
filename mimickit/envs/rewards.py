"""Tracking errors, squared and summed, as pure functions of a state and its reference.

A task's reward for each is weight * exp(-scale * error), in [0, weight].
Legend: N envs, J joints, D dofs, K key bodies. Source: DeepMimic (Peng et al. 2018), section 5.1;
the form and weights as in MimicKit f8d0d70 (mimickit/envs/deepmimic_env.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimickit.envs.observations import key_positions
from mimickit.geometry.quaternion import quat_angle, quat_multiply, quat_rotate
from mimickit.state import CharacterState

REWARD_TERMS = ("pose", "velocity", "root_pose", "root_velocity", "key_position")
ROOT_ANGLE_WEIGHT = 0.1  # [m^2/rad^2] of the root's rotation beside its place
ROOT_SPIN_WEIGHT = 0.1  # [m^2/rad^2] of the root's angular velocity beside its linear one


def tracking_errors(deviations: Tensor, weights: Tensor) -> Tensor:
    """How far states are off, per term of `REWARD_TERMS`: [N, 5].

    Pose: rad^2 of joint rotations. Velocity: rad^2/s^2 of dofs. Root pose: m^2, root velocity:
    m^2/s^2. Key positions: m^2 of end effectors, each relative to its root.

    Args:
        deviations: see `deviations`. weights: see `error_weights`.
    """
    return deviations.square() @ weights


def deviations(state: CharacterState, reference: CharacterState, key_bodies: Tensor) -> Tensor:
    """Angles and differences between states and references: [N, 10 + J + D + 3 K].

    Angles [rad] of the root's and the joints' rotations; the root's place [m] and velocities
    [m/s, rad/s]; dof velocities [rad/s]; key bodies relative to their root [m].

    Args:
        key_bodies: [K] indices.
    """
    angles = quat_angle(_rotations(state), _rotations(reference))
    differences = _vectors(state, key_bodies) - _vectors(reference, key_bodies)
    return torch.cat([angles, differences], dim=-1)


def error_weights(
    joint_weights: Tensor, dof_weights: Tensor, key_bodies: int, place: bool, height: bool
) -> Tensor:
    """What each squared deviation counts in each term, [10 + J + D + 3 K, 5].

    Args:
        joint_weights: per joint [J]; 0 ignores a joint. dof_weights: per dof [D], of its joint.
        key_bodies: K. place, height: whether x and y, and z, of the root's place count.
    """
    rows = (
        ("root_pose", [ROOT_ANGLE_WEIGHT]),
        ("pose", joint_weights.tolist()),
        ("root_pose", [float(place), float(place), float(height)]),
        ("root_velocity", [1.0] * 3 + [ROOT_SPIN_WEIGHT] * 3),
        ("velocity", dof_weights.tolist()),
        ("key_position", [1.0] * (3 * key_bodies)),
    )
    weights = torch.zeros(sum(len(values) for _, values in rows), len(REWARD_TERMS))
    first = 0
    for term, values in rows:
        last = first + len(values)
        weights[first:last, REWARD_TERMS.index(term)] = torch.tensor(values)
        first = last
    return weights.to(joint_weights.device)


def _rotations(state: CharacterState) -> Tensor:
    """Of the root and the joints, [N, 1 + J, 4]."""
    return torch.cat([state.root_rot.unsqueeze(1), state.joint_rot], dim=1)


def _vectors(state: CharacterState, key_bodies: Tensor) -> Tensor:
    key_pos = key_positions(state, key_bodies).flatten(1)
    parts = [state.root_pos, state.root_vel, state.root_ang_vel, state.dof_vel, key_pos]
    return torch.cat(parts, dim=-1)


def turned(state: CharacterState, turn: Tensor) -> CharacterState:
    """The state turned about its root by turn [N, 4], but for the bodies' rotations."""
    root = state.root_pos.unsqueeze(1)
    return CharacterState(
        root_pos=state.root_pos,
        root_rot=quat_multiply(turn, state.root_rot),
        root_vel=quat_rotate(turn, state.root_vel),
        root_ang_vel=quat_rotate(turn, state.root_ang_vel),
        joint_rot=state.joint_rot,
        dof_vel=state.dof_vel,
        body_pos=root + quat_rotate(turn.unsqueeze(1), state.body_pos - root),
        body_rot=state.body_rot,
        contact_force=state.contact_force,
    )
