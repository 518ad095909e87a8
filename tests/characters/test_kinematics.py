"""Kinematics agree with MuJoCo, with finite differences, and with themselves there and back."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.characters import JointKind, Kinematics
from mimickit.geometry.quaternion import (
    quat_angle,
    quat_from_axis_angle,
    quat_from_exp_map,
    quat_multiply,
    quat_normalize,
    quat_rotate,
)

F64 = torch.float64


@pytest.fixture(scope="module")
def kinematics(humanoid):
    return Kinematics(humanoid, dtype=F64)


def random_dofs(humanoid, seed, num=8, scale=1.0):
    """Poses [num, D] within the joint limits."""
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(humanoid.dof_limits, dtype=F64).unbind(-1)
    random = torch.rand(num, humanoid.num_dofs, generator=generator, dtype=F64)
    return scale * (low + random * (high - low))


def random_root(seed, num=8):
    generator = torch.Generator().manual_seed(seed)
    rot = quat_normalize(torch.randn(num, 4, generator=generator, dtype=F64))
    return torch.randn(num, 3, generator=generator, dtype=F64), rot


def joint_index(humanoid, name):
    return [joint.name for joint in humanoid.joints].index(name)


def test_t_pose_stands_where_the_dimensions_say(humanoid, kinematics):
    root = torch.tensor([0.0, 0.0, 0.882416], dtype=F64)
    rot = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=F64)
    pos, body_rot = kinematics.forward(root, rot, kinematics.dof_to_rot(torch.zeros(28, dtype=F64)))
    by_name = dict(zip(humanoid.body_names, pos))
    # 0.882416 - 0.421546 - 0.40987 = 0.051: the ankle; its box reaches 0.0225 + 0.0275 below.
    torch.testing.assert_close(by_name["left_foot"][2].item(), 0.051, atol=1e-9, rtol=0)
    # 0.18311 + 0.274788 + 0.258947 = 0.716845 to the side, at the height of the shoulder.
    torch.testing.assert_close(
        by_name["left_hand"],
        torch.tensor([-0.02405, 0.716845, 0.882416 + 0.236151 + 0.2435], dtype=F64),
    )
    assert torch.equal(body_rot, rot.expand(15, 4))


def test_bent_elbow_brings_the_forearm_forward(humanoid, kinematics):
    dofs = torch.zeros(28, dtype=F64)
    dofs[humanoid.joints[joint_index(humanoid, "right_elbow")].dofs] = math.pi / 2
    rot = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=F64)
    pos, _ = kinematics.forward(torch.zeros(3, dtype=F64), rot, kinematics.dof_to_rot(dofs))
    by_name = dict(zip(humanoid.body_names, pos))
    # The right forearm points along -y; a quarter turn about z takes -y to +x.
    forearm = by_name["right_hand"] - by_name["right_lower_arm"]
    torch.testing.assert_close(forearm, torch.tensor([0.258947, 0.0, 0.0], dtype=F64))


@given(seed=st.integers(0, 2**31))
def test_forward_kinematics_agree_with_mujoco(humanoid, kinematics, seed):
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    data = mujoco.MjData(model)
    root_pos, root_rot = random_root(seed, num=1)
    joint_rot = kinematics.dof_to_rot(random_dofs(humanoid, seed, num=1))
    body_pos, body_rot = kinematics.forward(root_pos, root_rot, joint_rot)

    wxyz = [3, 0, 1, 2]
    data.qpos[:3], data.qpos[3:7] = root_pos[0], root_rot[0, wxyz]
    for i, joint in enumerate(humanoid.joints):
        if joint.kind is JointKind.BALL:
            data.joint(joint.name).qpos[:] = joint_rot[0, i, wxyz]
        elif joint.kind is JointKind.HINGE:
            # The vector part is the axis times the sine of half the angle.
            half = math.asin(float(joint_rot[0, i, :3] @ torch.tensor(joint.axis, dtype=F64)))
            data.joint(joint.name).qpos[:] = 2 * half
    mujoco.mj_kinematics(model, data)

    expected_pos = torch.tensor(data.xpos[1:])
    expected_rot = torch.tensor(data.xquat[1:])[:, [1, 2, 3, 0]]
    torch.testing.assert_close(body_pos[0], expected_pos, atol=1e-9, rtol=0)
    assert quat_angle(body_rot[0], expected_rot).max() < 1e-9


def test_float32_is_good_to_a_micrometre(humanoid, kinematics):
    root_pos, root_rot = random_root(0)
    dofs = random_dofs(humanoid, 0)
    single = Kinematics(humanoid)
    pos, rot = kinematics.forward(root_pos, root_rot, kinematics.dof_to_rot(dofs))
    pos32, rot32 = single.forward(
        root_pos.float(), root_rot.float(), single.dof_to_rot(dofs.float())
    )
    assert pos32.dtype == rot32.dtype == torch.float32
    assert (pos32 - pos).abs().max() < 1e-6
    assert quat_angle(rot32.double(), rot).max() < 2e-6


@given(seed=st.integers(0, 2**31))
def test_moving_the_root_moves_the_whole_body_rigidly(humanoid, kinematics, seed):
    root_pos, root_rot = random_root(seed)
    shift, turn = random_root(seed + 1)
    joint_rot = kinematics.dof_to_rot(random_dofs(humanoid, seed))
    pos, rot = kinematics.forward(root_pos, root_rot, joint_rot)
    moved_pos, moved_rot = kinematics.forward(
        quat_rotate(turn, root_pos) + shift, quat_multiply(turn, root_rot), joint_rot
    )
    torch.testing.assert_close(moved_pos, quat_rotate(turn[:, None], pos) + shift[:, None])
    torch.testing.assert_close(moved_rot, quat_multiply(turn[:, None], rot))


@given(seed=st.integers(0, 2**31))
def test_dofs_come_back_from_rotations(humanoid, kinematics, seed):
    # A corner of the shoulder's limits is an exp map longer than pi, which comes back as another;
    # 0.75 of any corner is shorter.
    dofs = random_dofs(humanoid, seed, scale=0.75)
    rot = kinematics.dof_to_rot(dofs)
    torch.testing.assert_close(kinematics.rot_to_dof(rot), dofs)
    torch.testing.assert_close(kinematics.rot_to_dof(-rot), dofs)  # the same rotations


def test_dofs_are_hinge_angles_and_exp_maps(humanoid, kinematics):
    dofs = random_dofs(humanoid, 3, num=2)
    rot = kinematics.dof_to_rot(dofs)
    for i, joint in enumerate(humanoid.joints):
        if joint.kind is JointKind.FIXED:
            expected = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=F64).expand(2, 4)
        elif joint.kind is JointKind.HINGE:
            axis = torch.tensor(joint.axis, dtype=F64).expand(2, 3)
            expected = quat_from_axis_angle(axis, dofs[:, joint.dofs.start])
        else:
            expected = quat_from_exp_map(dofs[:, joint.dofs])
        torch.testing.assert_close(rot[:, i], expected, msg=joint.name)


@given(seed=st.integers(0, 2**31), dt=st.floats(0.005, 0.1))
def test_dof_velocity_turns_one_pose_into_the_next(humanoid, kinematics, seed, dt):
    a, b = (kinematics.dof_to_rot(random_dofs(humanoid, seed + i, scale=0.5)) for i in range(2))
    velocity = kinematics.dof_velocity(a, b, dt)
    # Hinge angles and exp maps of constant angular velocity grow by velocity * dt.
    turned = quat_multiply(a, kinematics.dof_to_rot(velocity * dt))
    assert quat_angle(turned, b).max() < 1e-6


def test_dof_velocity_is_the_angular_velocity_in_the_child_frame(humanoid, kinematics):
    # A ball joint's is w with q' = q w / 2, the rotation being q(t) = q0 exp(w t).
    joint = joint_index(humanoid, "left_hip")
    dofs = humanoid.joints[joint].dofs
    w, dt = torch.tensor([0.3, -2.0, 1.1], dtype=F64), 1e-4
    a = kinematics.dof_to_rot(random_dofs(humanoid, 5, num=1)[0])
    b = a.clone()
    b[joint] = quat_multiply(a[joint], quat_from_exp_map(w * dt))
    velocity = kinematics.dof_velocity(a, b, dt)
    torch.testing.assert_close(velocity[dofs], w, atol=1e-6, rtol=0)
    velocity[dofs] = 0
    assert velocity.abs().max() < 1e-6


def test_dof_velocity_is_the_one_that_mujoco_integrates(humanoid, kinematics):
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    dt = 1 / 30
    a, b = (kinematics.dof_to_rot(random_dofs(humanoid, seed, scale=0.5)[0]) for seed in (1, 2))
    velocity = kinematics.dof_velocity(a, b, dt).numpy()

    def qpos(rot):
        q = model.qpos0.copy()
        for i, joint in enumerate(humanoid.joints):
            if joint.kind is JointKind.BALL:
                address = model.joint(joint.name).qposadr[0]
                q[address : address + 4] = rot[i, [3, 0, 1, 2]]
            elif joint.kind is JointKind.HINGE:
                q[model.joint(joint.name).qposadr[0]] = kinematics.rot_to_dof(rot)[joint.dofs]
        return q

    qvel = torch.zeros(model.nv, dtype=F64).numpy()
    qvel[6:] = velocity
    moved = qpos(a)
    mujoco.mj_integratePos(model, moved, qvel, dt)
    difference = torch.zeros(model.nv, dtype=F64).numpy()
    mujoco.mj_differentiatePos(model, difference, 1.0, moved, qpos(b))
    assert abs(difference).max() < 1e-9


def test_any_batch_shape_is_taken(humanoid, kinematics):
    dofs = random_dofs(humanoid, 0, num=6)
    rot = kinematics.dof_to_rot(dofs.view(2, 3, 28))
    assert rot.shape == (2, 3, 14, 4)
    torch.testing.assert_close(rot.view(6, 14, 4), kinematics.dof_to_rot(dofs))
    assert kinematics.rot_to_dof(rot).shape == (2, 3, 28)
    assert kinematics.dof_velocity(rot, rot, 0.1).shape == (2, 3, 28)
    root_pos, root_rot = random_root(0, num=6)
    pos, body_rot = kinematics.forward(root_pos.view(2, 3, 3), root_rot.view(2, 3, 4), rot)
    assert (pos.shape, body_rot.shape) == ((2, 3, 15, 3), (2, 3, 15, 4))
