"""What every engine must do, whichever simulator is behind it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.geometry.quaternion import (
    quat_angle,
    quat_conjugate,
    quat_from_exp_map,
    quat_multiply,
    quat_normalize,
    quat_rotate_inverse,
    quat_to_exp_map,
)
from mimickit.state import CharacterState, Drawn
from tests.engines.states import same_bits

GRAVITY = 9.81
FAST = {"control_hz": 1000.0, "sim_hz": 1000.0}  # one substep per step: one instant of physics


def here(drawn):
    """Numbers drawn on the CPU, and so the same for all, where this test's tensors lie."""
    return drawn.to(torch.empty(0).device)


def everyone(engine):
    return torch.ones(engine.num_envs, dtype=torch.bool)


def random_state(character, num, seed=0, height=3.0, reach=0.6, speed=1.0):
    """States within the joint limits, with all velocities, high above the ground."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return here(torch.randn(*shape, generator=generator, device="cpu"))

    state = CharacterState.zeros(num, character.num_bodies, character.num_dofs)
    low, high = torch.tensor(character.dof_limits, dtype=torch.float32).unbind(-1)
    random = here(torch.rand(num, character.num_dofs, generator=generator, device="cpu"))
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    state.joint_rot.copy_(
        Kinematics(character).dof_to_rot(middle + reach * half * (2 * random - 1))
    )
    state.root_pos.copy_(normal(num, 3))
    state.root_pos[:, 2] += height
    state.root_rot.copy_(quat_normalize(normal(num, 4)))
    state.root_vel.copy_(speed * normal(num, 3))
    state.root_ang_vel.copy_(speed * normal(num, 3))
    state.dof_vel.copy_(speed * normal(num, character.num_dofs))
    return state


def at_rest(character, num, height):
    """The rest pose at a height."""
    state = CharacterState.zeros(num, character.num_bodies, character.num_dofs)
    state.root_pos[:, 2] = height
    return state


def default_command(character, num):
    return torch.tensor(character.default_dofs, dtype=torch.float32).repeat(num, 1)


def random_commands(character, num, steps, seed=0):
    """Targets about the default pose, [steps, num, D]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps, num, character.num_dofs, generator=generator, device="cpu")
    return default_command(character, num) + 0.3 * here(noise)


def run(engine, commands):
    for command in commands:
        engine.command(command)
        engine.step()


def tensors(saved):
    """All tensors of a nested state."""
    if isinstance(saved, torch.Tensor):
        return [saved]
    return [tensor for value in saved.values() for tensor in tensors(value)]


# ---------------------------------------------------------------------------------- state


def test_it_describes_itself(engine_factory, humanoid):
    engine = engine_factory(humanoid, 3, control_hz=30, sim_hz=120)
    assert (engine.character, engine.num_envs, engine.control_mode) == (humanoid, 3, "pos")
    assert engine.control_dt == pytest.approx(1 / 30)
    assert engine.sim_dt == pytest.approx(1 / 120)
    assert "contact_force" in engine.provides
    zeros = CharacterState.zeros(3, 15, 28)
    for name, tensor in vars(engine.state).items():
        expected = getattr(zeros, name)
        assert (tensor.shape, tensor.dtype) == (expected.shape, expected.dtype), name
    assert (engine.diverged.shape, engine.diverged.dtype) == ((3,), torch.bool)


def test_it_starts_in_the_default_pose_at_rest(engine_factory, humanoid):
    state = engine_factory(humanoid, 2).state
    torch.testing.assert_close(state.root_pos, torch.tensor([[0.0, 0.0, 0.882416]] * 2))
    dofs = Kinematics(humanoid).rot_to_dof(state.joint_rot)
    torch.testing.assert_close(dofs, default_command(humanoid, 2))
    for velocity in (state.root_vel, state.root_ang_vel, state.dof_vel, state.contact_force):
        assert (velocity == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_is_read_back(engine_factory, character, seed):
    engine = engine_factory(character, 8)
    state = random_state(character, 8, seed)
    engine.write(everyone(engine), state)
    for name in ("root_pos", "root_vel", "root_ang_vel", "dof_vel"):
        torch.testing.assert_close(
            getattr(engine.state, name), getattr(state, name), atol=1e-5, rtol=1e-6, msg=name
        )
    assert quat_angle(engine.state.root_rot, state.root_rot).max() < 1e-5
    assert quat_angle(engine.state.joint_rot, state.joint_rot).max() < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_body_poses_follow_from_what_is_written(engine_factory, character, seed):
    """In the character's order: a body or joint out of place would be off by far more."""
    engine = engine_factory(character, 8)
    state = random_state(character, 8, seed)
    engine.write(everyone(engine), state)
    body_pos, body_rot = Kinematics(character).forward(
        state.root_pos, state.root_rot, state.joint_rot
    )
    torch.testing.assert_close(engine.state.body_pos, body_pos, atol=1e-5, rtol=0)
    assert quat_angle(engine.state.body_rot, body_rot).max() < 1e-5


def test_after_a_step_body_poses_belong_to_the_joints_of_the_same_instant(
    engine_factory, character
):
    engine = engine_factory(character, 4)
    engine.write(everyone(engine), random_state(character, 4, speed=3.0))
    run(engine, random_commands(character, 4, 5))
    state = engine.state
    body_pos, body_rot = Kinematics(character).forward(
        state.root_pos, state.root_rot, state.joint_rot
    )
    torch.testing.assert_close(state.body_pos, body_pos, atol=1e-5, rtol=0)
    assert quat_angle(state.body_rot, body_rot).max() < 1e-5


def test_velocities_are_the_rates_of_the_poses(engine_factory, humanoid):
    """Root in the world frame, ball joints in the child frame, each dof in its place."""
    hz = 10_000.0
    engine = engine_factory(humanoid, 8, control_hz=hz, sim_hz=hz, control_mode="none")
    engine.write(everyone(engine), random_state(humanoid, 8, speed=2.0))
    before = engine.state.clone()
    engine.step()
    after = engine.state
    root_vel = (after.root_pos - before.root_pos) * hz
    spin = quat_to_exp_map(quat_multiply(after.root_rot, quat_conjugate(before.root_rot))) * hz
    dof_vel = Kinematics(humanoid).dof_velocity(before.joint_rot, after.joint_rot, 1 / hz)
    # Poses in float32: 3 m / 2^24 * 1e4 Hz = 2 mm/s. The rest is 1e-4 s of acceleration.
    torch.testing.assert_close(root_vel, after.root_vel, atol=1e-2, rtol=0)
    torch.testing.assert_close(spin, after.root_ang_vel, atol=2e-2, rtol=0)
    torch.testing.assert_close(dof_vel, after.dof_vel, atol=3e-2, rtol=0)


def test_quaternions_of_either_sign_are_the_same_state(engine_factory, humanoid):
    state = random_state(humanoid, 2)
    flipped = state.clone()
    flipped.root_rot.neg_()
    flipped.joint_rot.neg_()
    results = []
    for start in (state, flipped):
        engine = engine_factory(humanoid, 2)
        engine.write(everyone(engine), start)
        run(engine, random_commands(humanoid, 2, 3))
        results.append(engine.state)
    torch.testing.assert_close(results[0].body_pos, results[1].body_pos, atol=1e-5, rtol=0)


def test_buffers_stay_where_they_are(engine_factory, humanoid):
    engine = engine_factory(humanoid, 3)

    def pointers():
        tensors = {**vars(engine.state), "diverged": engine.diverged}
        return {name: tensor.data_ptr() for name, tensor in tensors.items()}

    view, before = engine.state, pointers()
    saved = engine.state_dict()
    run(engine, random_commands(humanoid, 3, 2))
    engine.write(torch.tensor([True, False, True]), random_state(humanoid, 3))
    run(engine, torch.full((1, 3, 28), float("nan")))
    engine.load_state_dict(saved)
    assert pointers() == before
    assert engine.state is view


# ---------------------------------------------------------------------------------- masks


def test_a_masked_write_leaves_the_others_bit_identical(engine_factory, humanoid):
    engine = engine_factory(humanoid, 4)
    run(engine, random_commands(humanoid, 4, 10))
    before, mask = engine.state.clone(), torch.tensor([False, True, False, True])
    engine.write(mask, random_state(humanoid, 4))
    assert same_bits(engine.state, before, ~mask)


def test_a_masked_write_changes_nothing_for_the_others_ever_after(engine_factory, humanoid, same):
    """On the ground and with forces."""
    commands = random_commands(humanoid, 4, 20)
    mask = torch.tensor([False, True, False, True])
    engines = [engine_factory(humanoid, 4) for _ in range(2)]
    for engine in engines:
        run(engine, commands[:10])
    engines[0].write(mask, random_state(humanoid, 4))
    for engine in engines:
        run(engine, commands[10:])
    assert same(engines[0].state, engines[1].state, ~mask)
    assert not same(engines[0].state, engines[1].state, mask)


def test_a_write_forgets_what_was_before(engine_factory, character, same):
    """A world that is reset goes on as a fresh one: no warm start, force or time is left."""
    state, commands = random_state(character, 2, height=1.0), random_commands(character, 2, 10)
    fresh, used = engine_factory(character, 2), engine_factory(character, 2)
    run(used, random_commands(character, 2, 15, seed=1))
    for engine in (fresh, used):
        engine.write(everyone(engine), state)
        run(engine, commands)
    assert same(fresh.state, used.state)


def test_states_drawn_ahead_are_written_as_any_others(engine_factory, character, same):
    """Two of five at a time, then from the next five."""
    first, later = random_state(character, 5, height=1.0), random_state(character, 5, 1, height=1.0)
    plain, ahead = engine_factory(character, 4), engine_factory(character, 4)
    for states, start in ((first, 0), (first, 2), (later, 1)):
        state, mask = plain.state.clone(), torch.tensor([False, True, False, True])
        for name, tensor in vars(state).items():
            tensor[mask] = getattr(states, name)[start : start + 2].to(tensor.device)
        plain.write(mask, state)
        ahead.write(mask, state, Drawn(states, start))
        assert same(plain.state, ahead.state)
        for engine in (plain, ahead):
            run(engine, random_commands(character, 4, 2))


def test_writing_nobody_changes_nothing(engine_factory, humanoid):
    engine = engine_factory(humanoid, 2)
    run(engine, random_commands(humanoid, 2, 5))
    before = engine.state.clone()
    engine.write(torch.zeros(2, dtype=torch.bool), random_state(humanoid, 2))
    assert same_bits(before, engine.state)


def test_the_written_state_is_not_mutated(engine_factory, humanoid):
    engine = engine_factory(humanoid, 2)
    state = random_state(humanoid, 2)
    before = state.clone()
    engine.write(everyone(engine), state)
    engine.step()
    assert same_bits(before, state)


# ---------------------------------------------------------------------------------- physics


def test_an_undriven_character_falls_freely(engine_factory, humanoid):
    engine = engine_factory(humanoid, 1, control_mode="none")
    state = at_rest(humanoid, 1, 5.0)
    elbows = torch.zeros(1, 28)
    elbows[0, 9], elbows[0, 13] = 1.0, -1.0  # away from their stops, which would push
    state.joint_rot.copy_(Kinematics(humanoid).dof_to_rot(elbows))
    state.root_vel[0, 0] = 0.5
    engine.write(everyone(engine), state)
    start = engine.state.body_pos.clone()
    for step in range(1, 21):
        engine.step()
        time = step / 30
        fallen = start[0, :, 2] - engine.state.body_pos[0, :, 2]
        # Euler's error of z is g t dt / 2 either way.
        slack = 0.5 * GRAVITY * time * engine.sim_dt + 1e-4
        assert (fallen - 0.5 * GRAVITY * time**2).abs().max() < slack
        torch.testing.assert_close(
            engine.state.root_vel, torch.tensor([[0.5, 0.0, -GRAVITY * time]]), atol=1e-3, rtol=0
        )
    assert (engine.state.contact_force == 0).all()
    torch.testing.assert_close(engine.state.body_pos[..., 0], start[..., 0] + 0.5 * time)


def test_the_drives_settle_on_the_target_pose(engine_factory, humanoid):
    engine = engine_factory(humanoid, 8)
    kinematics = Kinematics(humanoid)
    engine.write(everyone(engine), random_state(humanoid, 8, height=100.0, reach=0.2, speed=0.5))
    target = kinematics.rot_to_dof(random_state(humanoid, 8, seed=5, reach=0.2).joint_rot)
    run(engine, target.expand(60, -1, -1))
    error = quat_angle(engine.state.joint_rot, kinematics.dof_to_rot(target))
    assert error.max() < 0.02
    assert engine.state.dof_vel.abs().max() < 0.1


def one_step(engine_factory, character, mode, state, command):
    """Dof velocities after 1 ms."""
    engine = engine_factory(character, len(command), control_mode=mode, **FAST)
    engine.write(everyone(engine), state)
    engine.command(command)
    engine.step()
    return engine.state.dof_vel


def toy_state(toy, num, seed=0):
    state = random_state(toy, num, seed, height=20.0, reach=0.8)
    state.root_ang_vel.zero_()
    return state


GAIN = [2.0, 2.0, 2.0, 3.0]  # kp of the toy's neck and axle
DAMP = [0.2, 0.2, 0.2, 0.1]  # kd
LIMIT = [0.5, 0.5, 0.5, 0.25]  # torque_limit


@pytest.mark.parametrize("seed", range(3))
def test_position_drives_follow_the_geodesic_law(engine_factory, toy, inertia, seed):
    """torque = kp log(q^-1 target) - kd w, in the child frame, the damping taken implicitly.

    I (v' - v) / dt = kp log(q^-1 target) - kd v'  =>  v' = (I v + dt kp log) / (I + dt kd).
    The torques reach 2 Nm/rad * 3 rad = 6 Nm, twelve times the limit of mode `torque`: here
    nothing clamps.
    """
    state, targets = toy_state(toy, 16, seed), toy_state(toy, 16, seed + 10)
    command = Kinematics(toy).rot_to_dof(targets.joint_rot)
    got = one_step(engine_factory, toy, "pos", state, command)
    q, target = state.joint_rot[:, 0], quat_from_exp_map(command[:, :3])
    turn = quat_to_exp_map(quat_multiply(quat_conjugate(q), target))
    angle = Kinematics(toy).rot_to_dof(state.joint_rot)[:, 3:]
    error = torch.cat([turn, command[:, 3:] - angle], dim=-1)
    gain, damp = torch.tensor(GAIN), torch.tensor(DAMP)
    expected = (inertia * state.dof_vel + 1e-3 * gain * error) / (inertia + 1e-3 * damp)
    torch.testing.assert_close(got, expected, atol=2e-3, rtol=2e-3)


@pytest.fixture(params=["pd_1d", "pos"])
def limited(request, wheels):
    """A character and a control mode, in which drives keep within 0.25 Nm."""
    return replace(wheels, effort_limited=request.param == "pos"), request.param


def test_velocity_drives_pull_with_kd(engine_factory, toy, inertia):
    """I (v' - v) / dt = kd (command - v')  =>  v' = (I v + dt kd command) / (I + dt kd)."""
    state = toy_state(toy, 8)
    command = 5.0 * torch.randn(8, 4)
    got = one_step(engine_factory, toy, "vel", state, command)
    damp = torch.tensor(DAMP)
    expected = (inertia * state.dof_vel + 1e-3 * damp * command) / (inertia + 1e-3 * damp)
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def test_torques_act_in_the_child_frame_within_the_limits(engine_factory, toy, inertia):
    """I (v' - v) / dt = command, cut to +-0.5 Nm at the neck and +-0.25 Nm at the axle."""
    state = toy_state(toy, 8)
    command, limit = torch.randn(8, 4), torch.tensor(LIMIT)
    assert (command.abs() > limit).any()
    assert (command.abs() < limit).any()
    got = one_step(engine_factory, toy, "torque", state, command)
    expected = state.dof_vel + 1e-3 * command.clamp(-limit, limit) / inertia
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def test_mode_none_ignores_commands_and_does_not_brake(engine_factory, toy):
    state = toy_state(toy, 8)
    got = one_step(engine_factory, toy, "none", state, 100.0 * torch.randn(8, 4))
    torch.testing.assert_close(got, state.dof_vel, atol=1e-3, rtol=1e-3)


def test_drives_cut_the_whole_torque_at_the_limit(engine_factory, limited, inertia):
    """Both hinges at rest at 0: 3 Nm/rad * 0.01 rad = 0.03 Nm, and 3 * 1 rad cut to 0.25 Nm."""
    character, mode = limited
    state = at_rest(character, 1, 20.0)
    got = one_step(engine_factory, character, mode, state, torch.tensor([[0.01, 1.0]]))
    free = 1e-3 * 0.03 / (inertia + 1e-3 * 0.1)
    torch.testing.assert_close(got[0, 0].item(), free, atol=1e-5, rtol=1e-3)
    # No damping in the implicit part, which would take off 1e-3 * 0.1 / 0.014 = 0.7 %.
    torch.testing.assert_close(got[0, 1].item(), 1e-3 * 0.25 / inertia, atol=0, rtol=1e-3)


def test_the_damping_counts_within_the_limit(engine_factory, limited, inertia):
    """On target but turning at 20 rad/s: -0.1 * 20 = -2 Nm of braking, cut to -0.25 Nm."""
    character, mode = limited
    state = at_rest(character, 1, 20.0)
    state.dof_vel[0] = 20.0
    got = one_step(engine_factory, character, mode, state, torch.zeros(1, 2))
    braked = 20.0 - 1e-3 * 0.25 / inertia
    torch.testing.assert_close(got, torch.full((1, 2), braked), atol=2e-3, rtol=0)


def test_a_drive_leaves_its_limit_as_it_came(engine_factory, limited, inertia):
    """Held at 0.25 Nm for four substeps, then on its way back at 3 * 0.05 = 0.15 Nm at most.

    Whether a drive was at its limit must not count any more in the next substep.
    """
    character, mode = limited
    engine = engine_factory(character, 1, control_mode=mode, control_hz=250.0, sim_hz=1000.0)
    engine.write(everyone(engine), at_rest(character, 1, 20.0))
    engine.command(torch.tensor([[1.0, 1.0]]))
    engine.step()
    speed = 4e-3 * 0.25 / inertia
    expected = torch.full((1, 2), speed)
    torch.testing.assert_close(engine.state.dof_vel, expected, atol=0, rtol=2e-3)
    angle, speeds = 1e-3 * 0.25 / inertia * 1e-3 * 10, []  # 1 + 2 + 3 + 4 substeps of growing speed
    for _ in range(4):
        speed = (inertia * speed + 1e-3 * 3.0 * (0.05 - angle)) / (inertia + 1e-3 * 0.1)
        angle += 1e-3 * speed
        speeds.append(speed)
    engine.command(torch.tensor([[0.05, 0.05]]))
    engine.step()
    torch.testing.assert_close(
        engine.state.dof_vel, torch.full((1, 2), speeds[-1]), atol=1e-4, rtol=2e-3
    )


def test_commands_hold_until_set_again(engine_factory, toy):
    engines = [engine_factory(toy, 1, control_mode="torque") for _ in range(2)]
    command = torch.tensor([[0.1, -0.2, 0.1, 0.05]])
    engines[0].command(command)
    for step in range(3):
        if step:
            engines[1].step()
        engines[0].step()
    engines[1].write(everyone(engines[1]), at_rest(toy, 1, 3.0))
    run(engines[1], command.expand(3, 1, -1))
    torch.testing.assert_close(engines[0].state.dof_vel, engines[1].state.dof_vel)


# ---------------------------------------------------------------------------------- contact


def test_the_ground_carries_the_weight_of_what_rests_on_it(engine_factory, toy):
    engine = engine_factory(toy, 2)
    engine.write(everyone(engine), at_rest(toy, 2, 0.5))
    run(engine, torch.zeros(45, 2, 4))
    # 10,002 kg * 9.81 m/s^2 = 98,120 N, upwards, on the base alone.
    force = engine.state.contact_force
    torch.testing.assert_close(
        force[:, 0], torch.tensor([[0.0, 0.0, 98_119.62]] * 2), atol=100.0, rtol=0
    )
    assert (force[:, 1:] == 0).all()


def test_a_standing_humanoid_is_carried_by_its_feet(engine_factory, humanoid):
    engine = engine_factory(humanoid, 1)
    run(engine, default_command(humanoid, 1).expand(20, -1, -1))
    force = engine.state.contact_force[0]
    feet = humanoid.body_ids(humanoid.feet, "")
    assert (force[feet, 2] > 100.0).all()  # about half of 50 kg on each
    torch.testing.assert_close(force[:, 2].sum().item(), 50.05 * GRAVITY, rtol=0.03, atol=0)
    others = [b for b in range(15) if b not in feet]
    assert (force[others] == 0).all()


def test_friction_turns_sliding_into_rolling(engine_factory, toy):
    """Pushed against its slip, a solid sphere rolls once it has lost 2/7 of its speed."""
    engine = engine_factory(toy, 1)
    state = at_rest(toy, 1, 0.499)
    state.root_vel[0, 0] = 0.5
    engine.write(everyone(engine), state)
    pushed = 0.0
    for _ in range(10):
        engine.step()
        pushed += float(engine.state.contact_force[0, 0, 0])
    assert pushed < 0
    torch.testing.assert_close(engine.state.root_vel[0, 0].item(), 5 / 7 * 0.5, rtol=0.02, atol=0)
    spin = 5 / 7 * 0.5 / 0.5  # v / r, about +y
    torch.testing.assert_close(engine.state.root_ang_vel[0, 1].item(), spin, rtol=0.02, atol=0)


def test_a_write_clears_the_contact_forces(engine_factory, humanoid):
    engine = engine_factory(humanoid, 2)
    run(engine, default_command(humanoid, 2).expand(5, -1, -1))
    assert (engine.state.contact_force[:, :, 2].sum(-1) > 100).all()
    kept = engine.state.contact_force[1].clone()
    state = engine.state.clone()
    engine.write(torch.tensor([True, False]), state)  # not even moved
    assert (engine.state.contact_force[0] == 0).all()
    assert torch.equal(engine.state.contact_force[1], kept)


def test_bodies_that_touch_each_other_feel_no_ground(engine_factory, hands):
    engine = engine_factory(hands, 1, control_mode="none")
    engine.write(everyone(engine), at_rest(hands, 1, 10.0))
    engine.step()
    left, right = engine.state.dof_vel[0]
    assert left > 0.05  # the hands did push each other apart
    assert right < -0.05
    assert (engine.state.contact_force == 0).all()


# ---------------------------------------------------------------------------------- repetition


def test_equal_commands_give_equal_runs(engine_factory, character, same):
    engines = [engine_factory(character, 8) for _ in range(2)]
    for engine in engines:
        run(engine, random_commands(character, 8, 40))
    assert same(engines[0].state, engines[1].state)
    assert (engines[0].state.contact_force != 0).any()


def test_worlds_do_not_depend_on_their_neighbours(engine_factory, humanoid, same):
    commands, others = (random_commands(humanoid, 5, 30, seed) for seed in (0, 1))
    equal = torch.tensor([False, True, False, True, True])
    others[:, equal] = commands[:, equal]
    engines = [engine_factory(humanoid, 5) for _ in range(2)]
    run(engines[0], commands)
    run(engines[1], others)
    assert same(engines[0].state, engines[1].state, equal)
    assert not same(engines[0].state, engines[1].state, ~equal)


def test_a_saved_engine_goes_on_as_it_did(engine_factory, character, same):
    commands = random_commands(character, 4, 35)
    original, copy = engine_factory(character, 4), engine_factory(character, 4)
    run(original, commands[:20])
    saved = original.state_dict()
    state = original.state.clone()
    run(original, commands[20:])
    run(copy, random_commands(character, 4, 7, seed=9))  # has its own past
    copy.load_state_dict(saved)
    assert same_bits(copy.state, state)
    # Hidden parts as well, in the simulator's own precision: a solver's warm start, for one.
    for one, other in zip(tensors(saved), tensors(copy.state_dict())):
        assert torch.equal(one, other)
    run(copy, commands[20:])
    assert same(copy.state, original.state)


def test_a_saved_engine_keeps_the_command(engine_factory, humanoid, same):
    original, copy = engine_factory(humanoid, 2), engine_factory(humanoid, 2)
    run(original, random_commands(humanoid, 2, 3))
    copy.load_state_dict(original.state_dict())
    for engine in (original, copy):
        engine.step()
    assert same(copy.state, original.state)


def test_the_saved_state_is_a_copy_that_loads_without_pickle(engine_factory, humanoid, tmp_path):
    engine = engine_factory(humanoid, 2)
    run(engine, random_commands(humanoid, 2, 3))
    saved, state = engine.state_dict(), engine.state.clone()
    run(engine, random_commands(humanoid, 2, 3))
    torch.save(saved, tmp_path / "engine.pt")
    engine.load_state_dict(torch.load(tmp_path / "engine.pt", weights_only=True))
    assert same_bits(engine.state, state)


# ---------------------------------------------------------------------------------- divergence


def test_a_world_given_nan_diverges_alone(engine_factory, humanoid, same):
    commands = random_commands(humanoid, 3, 6)
    bad = commands.clone()
    bad[3, 1, 5] = float("nan")
    harmed, sound = engine_factory(humanoid, 3), engine_factory(humanoid, 3)
    run(sound, commands)
    run(harmed, bad[:3])
    assert harmed.diverged.tolist() == [False, False, False]
    run(harmed, bad[3:4])
    assert harmed.diverged.tolist() == [False, True, False]
    run(harmed, bad[4:])
    assert harmed.diverged.tolist() == [False, False, False]  # of the last step only
    others = torch.tensor([True, False, True])
    assert same(harmed.state, sound.state, others)
    for name, tensor in vars(harmed.state).items():
        assert torch.isfinite(tensor).all(), name


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_every_step_that_diverges_is_told(engine_factory, humanoid, value):
    engine = engine_factory(humanoid, 2, control_mode="vel")
    command = torch.zeros(2, 28)
    command[0] = value
    for _ in range(4):
        run(engine, command.unsqueeze(0))
        assert engine.diverged.tolist() == [True, False]
        for name, tensor in vars(engine.state).items():
            assert torch.isfinite(tensor).all(), name


def test_a_write_makes_a_diverged_world_sound_again(engine_factory, humanoid, same):
    engine, fresh = engine_factory(humanoid, 2), engine_factory(humanoid, 2)
    run(engine, torch.full((1, 2, 28), float("nan")))
    assert engine.diverged.all()
    state = random_state(humanoid, 2, height=1.0)
    commands = random_commands(humanoid, 2, 5)
    for each in (engine, fresh):
        each.write(everyone(each), state)
        assert not each.diverged.any()
        run(each, commands)
        assert not each.diverged.any()
    assert same(engine.state, fresh.state)


def test_loading_forgets_a_divergence(engine_factory, humanoid):
    engine = engine_factory(humanoid, 1)
    saved = engine.state_dict()
    run(engine, torch.full((1, 1, 28), float("nan")))
    engine.load_state_dict(saved)
    run(engine, default_command(humanoid, 1).unsqueeze(0))
    assert not engine.diverged.any()


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_envs": 0}, ConfigError, "num_envs must be at least 1, got 0"),
        ({"sim_hz": 100}, ConfigError, "engine.sim_hz=100 must be a whole multiple"),
        ({"control_hz": 0}, ConfigError, "must be finite and > 0"),
        ({"control_mode": "pd"}, ConfigError, "engine.control_mode=pd: choose one of none, pos"),
        ({"control_mode": "pd_1d"}, IncompatibleParts, "needs hinges only"),
    ],
)
def test_settings_that_cannot_work_are_refused(engine_factory, humanoid, settings, error, message):
    with pytest.raises(error, match=message):
        engine_factory(humanoid, **{"num_envs": 1, **settings})


def test_a_limit_of_zero_is_refused_where_drives_keep_within_it(engine_factory, wheels):
    powerless = replace(wheels.joints[0], torque_limit=0.0)
    character = replace(wheels, joints=(powerless, wheels.joints[1]), effort_limited=True)
    with pytest.raises(
        ConfigError, match=r"character\.joints\.left\.torque_limit must be > 0 where"
    ):
        engine_factory(character, 1)
    engine_factory(character, 1, control_mode="vel")


def test_gravity_points_down_for_a_turned_character(engine_factory, humanoid):
    """Root velocities are of the world: a character on its side falls along -z all the same."""
    engine = engine_factory(humanoid, 1, control_mode="none")
    state = random_state(humanoid, 1, height=20.0, speed=0.0)
    engine.write(everyone(engine), state)
    engine.step()
    expected = torch.tensor([[0.0, 0.0, -GRAVITY / 30]])
    torch.testing.assert_close(engine.state.root_vel, expected, atol=5e-3, rtol=0)
    local = quat_rotate_inverse(engine.state.root_rot, engine.state.root_vel)
    assert math.isclose(float(local.norm()), GRAVITY / 30, rel_tol=0.02)
