"""The Unitree G1 and Go2: what their sources state, and poses that agree with MuJoCo's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mimickit.characters import JointKind, Kinematics

LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = (
    "shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow",
    "wrist_roll", "wrist_pitch", "wrist_yaw",
)  # fmt: skip
# [kg]. Sources: mjlab 1.6.0, g1.xml; MuJoCo Menagerie 2ffe3e3, unitree_go2/go2.xml.
MASS = {"g1": 33.341, "go2": 15.206}
FREQUENCY, DAMPING_RATIO = 10.0, 2.0  # [Hz], mjlab's rule for gains


@pytest.fixture(params=["g1", "go2"])
def robot(request):
    """Each robot in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def compiled(robot):
    """MuJoCo's model of the robot's file, as it is."""
    mujoco = pytest.importorskip("mujoco")
    return mujoco.MjModel.from_xml_path(str(robot.model))


def test_g1_has_unitrees_joints_in_unitrees_order(g1):
    order = [f"{side}_{part}_joint" for side in ("left", "right") for part in LEG]
    order += ["waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint"]
    order += [f"{side}_{part}_joint" for side in ("left", "right") for part in ARM]
    assert [joint.name for joint in g1.movable_joints] == order
    assert (g1.num_bodies, g1.num_dofs) == (30, 29)


def test_go2_has_three_joints_and_a_foot_per_leg(go2):
    parts = [
        f"{leg}_{part}" for leg in ("FL", "FR", "RL", "RR") for part in ("hip", "thigh", "calf")
    ]
    assert [joint.name for joint in go2.movable_joints] == [f"{part}_joint" for part in parts]
    assert [j.name for j in go2.joints if j.kind is JointKind.FIXED] == list(go2.feet)
    assert (go2.num_bodies, go2.num_dofs) == (17, 12)


def test_masses_add_up_to_the_robots(robot, compiled):
    assert compiled.body_mass.sum() == pytest.approx(MASS[robot.name], abs=1e-3)


def test_gains_are_those_of_a_motor_at_ten_hertz(robot):
    """kp = armature * w^2 and kd = 2 * zeta * armature * w."""
    omega = 2.0 * math.pi * FREQUENCY
    for joint in robot.movable_joints:
        assert joint.kp == pytest.approx(joint.armature * omega**2, rel=1e-3), joint.name
        damping = 2.0 * DAMPING_RATIO * joint.armature * omega
        assert joint.kd == pytest.approx(damping, rel=1e-3), joint.name
    assert robot.effort_limited
    assert (robot.control_hz, robot.sim_hz) == (50.0, 200.0)


def test_an_ankle_is_driven_by_two_motors_of_the_elbows_kind(g1):
    joints = {joint.name: joint for joint in g1.movable_joints}
    ankle, elbow = joints["left_ankle_pitch_joint"], joints["left_elbow_joint"]
    assert ankle.torque_limit == 2 * elbow.torque_limit == 50
    assert ankle.armature == pytest.approx(2 * elbow.armature)


def test_right_mirrors_left(robot, compiled):
    """Limits, gains, and where bodies and their masses lie; turns about x and z change sense."""
    swap = ("left_", "right_") if robot.name == "g1" else ("L_", "R_")
    joints = {joint.name: joint for joint in robot.movable_joints}
    poses = {name: robot.default_dofs[joint.dofs][0] for name, joint in joints.items()}
    for name, left in joints.items():
        if swap[0] not in name:
            continue
        other = name.replace(*swap)
        right = joints[other]
        assert (right.kp, right.kd, right.torque_limit) == (left.kp, left.kd, left.torque_limit)
        (low, high), turned = left.limits[0], left.axis[1] == 0.0
        assert right.limits == (((-high, -low) if turned else (low, high)),)
        assert poses[other] == (-poses[name] if turned else poses[name])
        one, two = (compiled.body(robot.body_names[joint.body]) for joint in (left, right))
        for field in ("pos", "ipos"):
            mirrored = getattr(one, field) * [1, -1, 1]
            # Unitree's right shoulder is 10 micrometres nearer than the left.
            np.testing.assert_allclose(getattr(two, field), mirrored, atol=1.1e-5, err_msg=other)
        np.testing.assert_allclose(two.inertia, one.inertia, rtol=1e-4, err_msg=other)


def test_the_default_pose_stands_one_millimetre_above_the_ground(robot, compiled):
    mujoco = pytest.importorskip("mujoco")
    data = mujoco.MjData(compiled)
    data.qpos[2], data.qpos[7:] = robot.default_height, robot.default_dofs
    mujoco.mj_forward(compiled, data)
    lowest = {}
    for geom in range(compiled.ngeom):
        sort = int(compiled.geom_type[geom])
        sizes, up = compiled.geom_size[geom], data.geom_xmat[geom].reshape(3, 3)[2]
        reach = {
            int(mujoco.mjtGeom.mjGEOM_SPHERE): sizes[0],
            int(mujoco.mjtGeom.mjGEOM_CAPSULE): sizes[0] + abs(up[2]) * sizes[1],
            int(mujoco.mjtGeom.mjGEOM_BOX): abs(up) @ sizes,
        }[sort]
        body = compiled.body(compiled.geom_bodyid[geom]).name
        lowest[body] = min(lowest.get(body, math.inf), data.geom_xpos[geom, 2] - reach)
    for foot in robot.feet:
        assert lowest.pop(foot) == pytest.approx(1e-3, abs=2e-4), foot
    assert min(lowest.values()) > 0.02


@pytest.mark.parametrize("pose", ["default", "zero"])
def test_no_body_touches_another(robot, compiled, pose):
    mujoco = pytest.importorskip("mujoco")
    data = mujoco.MjData(compiled)
    if pose == "default":
        data.qpos[7:] = robot.default_dofs
    mujoco.mj_forward(compiled, data)
    assert data.ncon == 0


def test_files_have_no_meshes_and_few_shapes_to_touch_the_ground_with(robot, compiled):
    assert compiled.nmesh == 0
    ids = [compiled.body(foot).id for foot in robot.feet]
    assert sum(compiled.geom_bodyid[g] in ids for g in range(compiled.ngeom)) == 4


def test_forward_kinematics_agree_with_mujoco(robot, compiled):
    """Of hinges on bodies that are turned in their parents at rest, as the G1's hips and shoulders.

    MuJoCo normalises the quaternions of files, which have six digits; without that, the G1's hands
    are a micrometre elsewhere.
    """
    mujoco = pytest.importorskip("mujoco")
    data, kinematics = mujoco.MjData(compiled), Kinematics(robot, dtype=torch.float64)
    low, high = torch.tensor(robot.dof_limits).unbind(-1)
    dofs = low + (high - low) * torch.rand(20, robot.num_dofs, dtype=torch.float64)
    root_rot = torch.nn.functional.normalize(torch.randn(20, 4, dtype=torch.float64), dim=-1)
    root_pos = torch.randn(20, 3, dtype=torch.float64)
    body_pos, body_rot = kinematics.forward(root_pos, root_rot, kinematics.dof_to_rot(dofs))
    for i in range(20):
        data.qpos[:3], data.qpos[3:7] = root_pos[i], root_rot[i, [3, 0, 1, 2]]
        data.qpos[7:] = dofs[i]
        mujoco.mj_kinematics(compiled, data)
        np.testing.assert_allclose(body_pos[i], data.xpos[1:], atol=1e-9)
        same = (body_rot[i].numpy() * data.xquat[1:][:, [1, 2, 3, 0]]).sum(-1)
        np.testing.assert_allclose(abs(same), 1.0, atol=1e-12)


def test_hinge_angles_come_back_from_rotations(robot):
    kinematics = Kinematics(robot, dtype=torch.float64)
    low, high = torch.tensor(robot.dof_limits).unbind(-1)
    dofs = low + (high - low) * torch.rand(50, robot.num_dofs, dtype=torch.float64)
    torch.testing.assert_close(kinematics.rot_to_dof(kinematics.dof_to_rot(dofs)), dofs)
