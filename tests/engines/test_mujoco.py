"""What only the MuJoCo engine promises: threads, and the model it compiles."""

from __future__ import annotations

import sys

import pytest
import torch

from mimickit.characters import JointKind, Kinematics
from mimickit.errors import ConfigError, EngineError
from mimickit.geometry.quaternion import (
    quat_angle,
    quat_conjugate,
    quat_multiply,
    quat_normalize,
    quat_to_exp_map,
)

pytestmark = pytest.mark.engine("mujoco")
mujoco = pytest.importorskip("mujoco", minversion="4.0")


@pytest.fixture
def build(tmp_path, monkeypatch):
    from mimickit.engines.mujoco import MujocoEngine

    monkeypatch.chdir(tmp_path)
    return MujocoEngine


def test_threads_do_not_change_a_bit(build, humanoid):
    """Falls, contacts and a reset in the middle."""
    engines = [build(humanoid, 13, threads=threads) for threads in (1, 2)]
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(13, generator=generator) < 0.5
    for step in range(40):
        command = 0.5 * torch.randn(13, 28, generator=generator)
        for engine in engines:
            engine.command(command)
            engine.step()
            if step == 20:
                engine.write(mask, engine.state.clone())
    for name, tensor in vars(engines[0].state).items():
        assert torch.equal(tensor, getattr(engines[1].state, name)), name


def test_neither_does_the_number_of_worlds(build, humanoid):
    generator = torch.Generator().manual_seed(0)
    many, one = build(humanoid, 5), build(humanoid, 1)
    for _ in range(30):
        command = 0.5 * torch.randn(5, 28, generator=generator)
        for engine, part in ((many, command), (one, command[3:4])):
            engine.command(part)
            engine.step()
    for name, tensor in vars(one.state).items():
        assert torch.equal(tensor[0], getattr(many.state, name)[3]), name


def test_actuator_forces_are_kp_times_the_geodesic_error(build, humanoid):
    """All 28 dofs at once, against the simulator's own account of its actuators."""
    engine = build(humanoid, 1)
    kinematics = Kinematics(humanoid, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    low, high = torch.tensor(humanoid.dof_limits).unbind(-1)
    pose, target = (low + (high - low) * torch.rand(2, 28, generator=generator)).unbind(0)
    data = mujoco.MjData(engine.model)
    data.qpos[:7] = [0, 0, 5, 1, 0, 0, 0]
    rot = kinematics.dof_to_rot(pose)
    for joint in humanoid.movable_joints:
        ball = joint.kind is JointKind.BALL
        value = rot[joint.body - 1, [3, 0, 1, 2]] if ball else pose[joint.dofs]
        data.joint(joint.name).qpos[:] = value
    data.ctrl[:] = target
    mujoco.mj_forward(engine.model, data)
    target_rot = kinematics.dof_to_rot(target)
    for joint in humanoid.movable_joints:
        start, end = rot[joint.body - 1], target_rot[joint.body - 1]
        error = quat_to_exp_map(quat_multiply(quat_conjugate(start), end))
        if joint.kind is JointKind.HINGE:
            error = target[joint.dofs] - pose[joint.dofs]
        force = torch.tensor(data.joint(joint.name).qfrc_actuator)
        torch.testing.assert_close(force, joint.kp * error, atol=1e-6, rtol=1e-6)


def test_the_model_has_the_characters_gains_and_masses(build, humanoid):
    model = build(humanoid, 1).model
    dofs = slice(6, None)
    gains = humanoid.per_dof([joint.kd for joint in humanoid.joints])
    torch.testing.assert_close(torch.tensor(model.dof_damping[dofs]), torch.tensor(gains))
    armature = humanoid.per_dof([joint.armature for joint in humanoid.joints])
    torch.testing.assert_close(torch.tensor(model.dof_armature[dofs]), torch.tensor(armature))
    assert model.body_mass.sum() == pytest.approx(50.05, abs=0.01)
    assert model.opt.timestep == pytest.approx(1 / 120)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert (model.jnt_stiffness == 0).all()


@pytest.mark.parametrize("mode", ["none", "vel", "torque"])
def test_only_position_drives_damp_the_joints(build, humanoid, mode):
    assert (build(humanoid, 1, control_mode=mode).model.dof_damping == 0).all()


def test_negative_threads_are_refused(build, humanoid):
    with pytest.raises(ConfigError, match=r"engine.threads must be >= 0 .*got -1"):
        build(humanoid, 1, threads=-1)


def test_a_missing_simulator_is_told_with_what_to_install(build, humanoid, monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(EngineError, match=r"pip install mujoco==4\.0\.0"):
        build(humanoid, 1)


def test_no_solver_iterations_are_refused(build, humanoid):
    with pytest.raises(ConfigError, match=r"engine.solver_iterations must be at least 1, got 0"):
        build(humanoid, 1, solver_iterations=0)


EXTRAS = """
  <actuator><motor joint="axle" gear="100"/></actuator>
  <sensor><jointpos joint="axle"/></sensor>
  <worldbody><camera pos="0 0 3"/><light pos="0 0 3"/></worldbody>
  <keyframe><key qpos="0 0 1 1 0 0 0 1 0 0 0 0" ctrl="1"/></keyframe>
</mujoco>
"""


def test_a_files_own_actuators_and_sensors_do_not_get_in_the_way(build, toy):
    """Robots' files bring them; commands and ground forces are the same with and without.

    So are those of a joint that the file lets do no more than 0.01 Nm.
    """
    engines = []
    for extras in ("", EXTRAS):
        mjcf = toy.model.read_text()
        if extras:
            mjcf = mjcf.replace("range=", 'actuatorfrcrange="-0.01 0.01" range=')
            mjcf = mjcf.replace("</mujoco>", extras)
        toy.model.write_text(mjcf)
        engine = build(toy, 2)
        engine.command(torch.tensor([[0.1, 0.2, 0.3, 1.0]] * 2))
        state = engine.state.clone()
        state.root_pos[:, 2] = 0.5
        engine.write(torch.tensor([True, False]), state)
        for _ in range(15):
            engine.command(torch.tensor([[0.1, 0.2, 0.3, 1.0]] * 2))
            engine.step()
        engines.append(engine)
    assert (engines[0].state.contact_force[0, 0, 2] > 9e4).all()
    assert (engines[1].model.ncam, engines[1].model.nlight) == (0, 0)
    assert Kinematics(toy).rot_to_dof(engines[0].state.joint_rot)[1, 3] > 0.8
    for name, tensor in vars(engines[0].state).items():
        assert torch.equal(tensor, getattr(engines[1].state, name)), name


def test_body_poses_after_steps_are_those_of_mujocos_own_kinematics(build, humanoid):
    engine = build(humanoid, 3)
    engine.command(torch.rand(3, 28, generator=torch.Generator().manual_seed(0)) - 0.5)
    for _ in range(5):
        engine.step()
    data = mujoco.MjData(engine.model)
    for world, qpos in enumerate(engine.state_dict()["worlds"]["qpos"]):
        data.qpos[:] = qpos.numpy()
        mujoco.mj_kinematics(engine.model, data)
        body_pos = torch.from_numpy(data.xpos[1:]).float()
        torch.testing.assert_close(engine.state.body_pos[world], body_pos, atol=1e-5, rtol=0)
        body_rot = torch.from_numpy(data.xquat[1:][:, [1, 2, 3, 0]]).float()
        assert quat_angle(engine.state.body_rot[world], body_rot).max() < 1e-5


@pytest.mark.parametrize("name", ["g1", "go2"])
def test_robots_thrown_about_by_random_efforts_do_not_blow_up(build, request, name):
    """Targets that ask for anything up to the torque limits, for three steps each, after a drop."""
    robot = request.getfixturevalue(name)
    engine = build(robot, 64, control_hz=robot.control_hz, sim_hz=robot.sim_hz)
    state = engine.state.clone()
    state.root_pos[:, 2] += 0.5
    state.root_rot.copy_(quat_normalize(torch.randn(64, 4)))
    engine.write(torch.ones(64, dtype=torch.bool), state)
    reach = [joint.torque_limit / joint.kp if joint.kp > 0 else 0.0 for joint in robot.joints]
    reach = torch.tensor(robot.per_dof(reach), dtype=torch.float32)
    default = torch.tensor(robot.default_dofs, dtype=torch.float32)
    for _ in range(33):
        engine.command(default + (2 * torch.rand(64, robot.num_dofs) - 1) * reach)
        for _ in range(3):
            engine.step()
            assert not engine.diverged.any()
            assert engine.state.dof_vel.abs().max() < 100.0


def test_motors_are_mujocos_own_position_actuators(build, g1):
    model = build(g1, 1).model
    assert (model.dof_damping == 0).all()
    for joint in g1.movable_joints:
        actuator = model.actuator(joint.name)
        assert actuator.gainprm[0] == joint.kp
        assert actuator.biasprm[1:3].tolist() == [-joint.kp, -joint.kd]
        assert actuator.forcerange.tolist() == [-joint.torque_limit, joint.torque_limit]
