"""The library plays clips: exactly at their frames, smoothly in between, for ever if they loop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.characters import Kinematics
from mimickit.errors import MotionError, UnknownBody
from mimickit.geometry.quaternion import (
    quat_angle,
    quat_conjugate,
    quat_from_exp_map,
    quat_from_heading,
    quat_multiply,
    quat_slerp,
    quat_to_exp_map,
)
from mimickit.motions import Clip, resampling, resolve_motions
from mimickit.motions.catalog import MOTIONS, MotionEntry, motion_names
from mimickit.motions.library import MotionLibrary
from mimickit.motions.resampling import STORED_RATE, build_table

TURN, STEP = 1.3, 0.8 - 0.3j  # one cycle of the synthetic clip: rad, then m
ALL_CLIPS = tuple(motion_names(MOTIONS / "humanoid"))


def turning_clip(humanoid, loop=True, frames=25, fps=24.0, turn=TURN, start=2.0 + 1.0j, name="arc"):
    """A smooth walk along an arc, wobbling; its last frame is its first, moved by (turn, STEP)."""
    phase = np.linspace(0.0, 1.0, frames)
    circle = 2.0 * math.pi * phase
    # Round a centre that "turn, then step" leaves in place, or straight on.
    if turn:
        centre = STEP / (1 - np.exp(1j * turn))
        path = centre + np.exp(1j * turn * phase) * (start - centre)
    else:
        path = start + phase * STEP
    path = path + 0.1 * np.sin(circle) * np.exp(1j * turn * phase)
    root_pos = np.stack([path.real, path.imag, 0.9 + 0.05 * np.sin(circle)], -1)
    yaw = torch.tensor(0.7 + turn * phase)
    wobble = np.stack([0.1 * np.sin(circle), 0.2 * np.cos(circle), 0 * circle], -1)
    root_rot = quat_multiply(quat_from_heading(yaw), quat_from_exp_map(torch.tensor(wobble)))
    dofs = torch.zeros(frames, humanoid.num_dofs, dtype=torch.float64)
    for dof in range(humanoid.num_dofs):
        swing = 0.5 * np.sin(circle + 0.4 * dof)
        dofs[:, dof] = torch.tensor(swing if dof not in (9, 13, 17, 24) else 0.8 + swing)
    joint_rot = Kinematics(humanoid, dtype=torch.float64).dof_to_rot(dofs)
    movable = [joint.body - 1 for joint in humanoid.movable_joints]
    return Clip(
        name=name,
        fps=fps,
        loop=loop,
        joint_names=tuple(joint.name for joint in humanoid.movable_joints),
        root_pos=root_pos,
        root_rot=root_rot.numpy(),
        joint_rot=joint_rot[:, movable].numpy(),
        provenance={"source": "made up"},
    )


def entry(clip, weight=1.0, may_touch_ground=None):
    return MotionEntry(clip.name, clip, weight, may_touch_ground)


def play(library, times, clip=0):
    times = torch.as_tensor(times, dtype=torch.float32)
    return library.lookup(torch.full(times.shape, clip, dtype=torch.long), times)


@pytest.fixture(scope="module")
def shipped(humanoid):
    return resolve_motions(list(ALL_CLIPS), humanoid)


@pytest.fixture(scope="module")
def library(humanoid, shipped):
    """All twenty clips that we ship."""
    return MotionLibrary(humanoid, shipped)


@pytest.fixture(scope="module")
def arc(humanoid):
    return MotionLibrary(humanoid, [entry(turning_clip(humanoid))])


@pytest.fixture(scope="module")
def held(humanoid):
    return MotionLibrary(humanoid, [entry(turning_clip(humanoid, loop=False))])


def original(entry, humanoid, dtype=torch.float32):
    clip = entry.clip
    return (
        torch.tensor(clip.root_pos, dtype=dtype),
        torch.tensor(clip.root_rot, dtype=dtype),
        torch.tensor(clip.joint_rot_for(humanoid), dtype=dtype),
    )


# ---------------------------------------------------------------------------------- poses


@pytest.mark.parametrize("index", range(len(ALL_CLIPS)), ids=ALL_CLIPS)
def test_at_a_clips_frames_its_frames_are_found(library, shipped, humanoid, index):
    root_pos, root_rot, joint_rot = original(shipped[index], humanoid)
    # Not the last one, which is the first of the next cycle where the clip loops.
    frames = torch.arange(len(root_pos) - 1)
    state = play(library, frames / shipped[index].clip.fps, index)
    # A time in float32 misses a frame by 2 s / 2^24 = 1e-7 s: 1 um at 10 m/s, 3e-6 rad at 30 rad/s.
    torch.testing.assert_close(state.root_pos, root_pos[frames], atol=5e-6, rtol=0)
    assert quat_angle(state.root_rot, root_rot[frames]).max() < 2e-5
    assert quat_angle(state.joint_rot, joint_rot[frames]).max() < 2e-5
    body_pos, body_rot = Kinematics(humanoid).forward(root_pos, root_rot, joint_rot)
    torch.testing.assert_close(state.body_pos, body_pos[frames], atol=2e-5, rtol=0)
    assert quat_angle(state.body_rot, body_rot[frames]).max() < 3e-5


@pytest.mark.parametrize("index", range(len(ALL_CLIPS)), ids=ALL_CLIPS)
def test_between_frames_it_is_slerp_to_a_milliradian(library, shipped, humanoid, index):
    root_pos, root_rot, joint_rot = original(shipped[index], humanoid, torch.float64)
    clip = shipped[index].clip
    place = torch.rand(300, dtype=torch.float64) * (clip.num_frames - 1)
    first, blend = place.floor().long(), place.frac()
    state = play(library, place / clip.fps, index)
    root_expected = quat_slerp(root_rot[first], root_rot[first + 1], blend)
    joint_expected = quat_slerp(
        joint_rot[first], joint_rot[first + 1], blend.unsqueeze(-1).expand(-1, 14)
    )
    assert quat_angle(state.root_rot.double(), root_expected).max() < 1e-3
    assert quat_angle(state.joint_rot.double(), joint_expected).max() < 1e-3
    expected = torch.lerp(root_pos[first], root_pos[first + 1], blend.unsqueeze(-1))
    torch.testing.assert_close(state.root_pos.double(), expected, atol=1e-5, rtol=0)


def test_bodies_hang_together_between_frames(library, humanoid):
    """Body poses are blended by themselves, and still are those of the joints."""
    clips = torch.arange(len(library)).repeat(100)
    state = library.lookup(clips, 3.0 * torch.rand(len(clips)))
    body_pos, body_rot = Kinematics(humanoid).forward(
        state.root_pos, state.root_rot, state.joint_rot
    )
    assert (state.body_pos - body_pos).norm(dim=-1).max() < 4e-3  # the hands of a backflip
    assert quat_angle(state.body_rot, body_rot).max() < 4e-3
    for rotations in (state.root_rot, state.joint_rot, state.body_rot):
        assert (rotations.norm(dim=-1) - 1).abs().max() < 1e-5


def test_the_table_is_at_least_as_fine_as_promised(humanoid):
    """16 frames/s are stored at 7 * 16 = 112 per second, so that frames stay frames."""
    assert STORED_RATE == 100.0
    coarse = turning_clip(humanoid, frames=5, fps=16.0)
    library = MotionLibrary(humanoid, [entry(coarse)])
    state = play(library, torch.arange(4) / 16.0)
    torch.testing.assert_close(
        state.root_pos, torch.tensor(coarse.root_pos[:4]), atol=1e-6, rtol=1e-6
    )


def test_a_blend_takes_the_shorter_arc_whatever_the_signs(humanoid):
    clip = turning_clip(humanoid)
    flipped = clip.joint_rot.copy()
    flipped[1::2] *= -1.0
    libraries = [
        MotionLibrary(humanoid, [entry(each)]) for each in (clip, replace(clip, joint_rot=flipped))
    ]
    a, b = (play(each, torch.linspace(-1.0, 2.0, 200)) for each in libraries)
    assert quat_angle(a.joint_rot, b.joint_rot).max() < 1e-5
    torch.testing.assert_close(a.dof_vel, b.dof_vel, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------- loops


def compose(state, cycles, turn=TURN):
    """The state moved by the cycle's motion, by hand: |cycles| times turn and step, or back."""
    place = torch.complex(state.root_pos[..., 0].double(), state.root_pos[..., 1].double())
    spin = complex(math.cos(turn), math.sin(turn))
    for _ in range(abs(cycles)):
        place = place * spin + STEP if cycles > 0 else (place - STEP) / spin
    yaw = quat_from_heading(torch.tensor(turn * cycles, dtype=torch.float64))
    root_pos = torch.stack([place.real, place.imag, state.root_pos[..., 2].double()], -1)
    return root_pos, quat_multiply(yaw, state.root_rot.double())


@given(cycles=st.integers(-12, 12), phase=st.floats(0.02, 0.98))
def test_cycles_compose_turn_and_step_in_both_directions(arc, cycles, phase):
    duration = float(arc.durations[0])
    once = play(arc, [phase * duration])
    later = play(arc, [phase * duration + cycles * duration])
    root_pos, root_rot = compose(once, cycles)
    torch.testing.assert_close(later.root_pos.double(), root_pos, atol=1e-4, rtol=0)
    assert quat_angle(later.root_rot.double(), root_rot).max() < 1e-4
    # Joints repeat; world velocities and body offsets turn along; speeds stay.
    assert quat_angle(later.joint_rot, once.joint_rot).max() < 1e-4
    torch.testing.assert_close(later.dof_vel, once.dof_vel, atol=2e-3, rtol=0)
    torch.testing.assert_close(
        later.root_vel.norm(dim=-1), once.root_vel.norm(dim=-1), atol=1e-3, rtol=0
    )
    turn = complex(math.cos(TURN * cycles), math.sin(TURN * cycles))
    for name in ("root_vel", "root_ang_vel"):
        before, after = getattr(once, name)[0], getattr(later, name)[0]
        expected = complex(before[0], before[1]) * turn
        assert abs(complex(after[0], after[1]) - expected) < 2e-3, name
        assert after[2].item() == pytest.approx(before[2].item(), abs=2e-3)


def test_one_cycle_by_hand(arc):
    """At the cycle's end: 1.3 rad further round, and at e^{1.3 i} (2 + i) + 0.8 - 0.3 i."""
    start, end = play(arc, [0.0]), play(arc, [float(arc.durations[0])])
    # cos 1.3 = 0.267499, sin 1.3 = 0.963558:
    # x = 2 * 0.267499 - 1 * 0.963558 + 0.8 = 0.371440
    # y = 2 * 0.963558 + 1 * 0.267499 - 0.3 = 1.894615
    torch.testing.assert_close(
        end.root_pos[0, :2], torch.tensor([0.371440, 1.894615]), atol=1e-5, rtol=0
    )
    turn = quat_to_exp_map(quat_multiply(end.root_rot, quat_conjugate(start.root_rot)))
    torch.testing.assert_close(turn[0], torch.tensor([0.0, 0.0, 1.3]), atol=1e-5, rtol=0)


def test_bodies_turn_with_the_cycles(arc, humanoid):
    state = play(arc, torch.linspace(-6.0, 9.0, 301))
    body_pos, body_rot = Kinematics(humanoid).forward(
        state.root_pos, state.root_rot, state.joint_rot
    )
    assert (state.body_pos - body_pos).norm(dim=-1).max() < 2e-3
    assert quat_angle(state.body_rot, body_rot).max() < 4e-3


def test_a_straight_loop_moves_on_by_its_step(humanoid):
    """No turn: n cycles are n steps, also beside a clip that turns."""
    straight = turning_clip(humanoid, turn=0.0, name="straight")
    alone = MotionLibrary(humanoid, [entry(straight)])
    mixed = MotionLibrary(humanoid, [entry(turning_clip(humanoid)), entry(straight)])
    duration = straight.duration
    for library, clip in ((alone, 0), (mixed, 1)):
        start = play(library, [0.3], clip).root_pos[0]
        for cycles in (-7, 1, 40):
            moved = play(library, [0.3 + cycles * duration], clip).root_pos[0] - start
            expected = torch.tensor([cycles * STEP.real, cycles * STEP.imag, 0.0])
            torch.testing.assert_close(moved, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", ["arc", "walk", "run", "spinkick", "backflip", "turn_left0"])
def test_nothing_jumps_at_the_seam(arc, library, name):
    which, clip = (arc, 0) if name == "arc" else (library, ALL_CLIPS.index(name))
    duration = float(which.durations[clip])
    assert which.loops[clip]
    h = 1e-4
    for cycle in (-2, 0, 1, 5):
        seam = cycle * duration
        near = play(which, [seam - h, seam + h], clip)
        # Speeds of up to 8 m/s and 30 rad/s within 2e-4 s, twice over for slack.
        assert (near.body_pos[1] - near.body_pos[0]).norm(dim=-1).max() < 4e-3
        assert quat_angle(near.body_rot[1], near.body_rot[0]).max() < 2e-2
        # Accelerations of up to 200 m/s^2 and 2,500 rad/s^2.
        assert (near.root_vel[1] - near.root_vel[0]).abs().max() < 0.05
        assert (near.root_ang_vel[1] - near.root_ang_vel[0]).abs().max() < 0.5
        assert (near.dof_vel[1] - near.dof_vel[0]).abs().max() < 0.5


@pytest.mark.parametrize("field", ["root_vel", "root_ang_vel", "dof_vel"])
def test_velocity_is_continuous_everywhere(arc, field):
    """Ten times finer steps make ten times smaller changes, over three cycles and two seams."""
    duration = float(arc.durations[0])

    def largest_change(count):
        velocity = getattr(play(arc, torch.linspace(-duration, 2 * duration, count)), field)
        return (velocity[1:] - velocity[:-1]).abs().max()

    coarse, fine = largest_change(1001), largest_change(10001)
    assert fine < 0.2 * coarse


# ---------------------------------------------------------------------------------- velocities


def test_the_velocity_at_a_frame_is_the_mean_over_its_two_intervals(arc, humanoid):
    """By hand from the clip's frames: (p[i + 1] - p[i - 1]) fps / 2, at i = 7."""
    clip = turning_clip(humanoid)
    state = play(arc, [7 / 24.0])
    expected = (clip.root_pos[8] - clip.root_pos[6]) * 24.0 / 2.0
    torch.testing.assert_close(state.root_vel[0], torch.tensor(expected), atol=1e-4, rtol=0)
    rot = torch.tensor(clip.root_rot[[6, 7, 8]], dtype=torch.float64)
    spins = quat_to_exp_map(quat_multiply(rot[1:], quat_conjugate(rot[:-1]))) * 24.0
    torch.testing.assert_close(state.root_ang_vel[0], spins.mean(0).float(), atol=2e-4, rtol=0)
    joints = torch.tensor(clip.joint_rot_for(humanoid)[[6, 7, 8]], dtype=torch.float64)
    speeds = Kinematics(humanoid, dtype=torch.float64).dof_velocity(joints[:-1], joints[1:], 1 / 24)
    torch.testing.assert_close(state.dof_vel[0], speeds.mean(0).float(), atol=2e-4, rtol=0)


@given(start=st.floats(-3.0, 3.0))
def test_velocities_are_the_rates_of_the_poses(arc, humanoid, start):
    """Over one stored frame, within what 24 frames/s leave of a smooth motion's curvature."""
    h = 1.0 / 48.0
    state = play(arc, [start - h, start, start + h])
    root_vel = (state.root_pos[2] - state.root_pos[0]) / (2 * h)
    spin = quat_to_exp_map(quat_multiply(state.root_rot[2:], quat_conjugate(state.root_rot[:1])))
    dof_vel = Kinematics(humanoid).dof_velocity(state.joint_rot[0], state.joint_rot[2], 2 * h)
    torch.testing.assert_close(state.root_vel[1], root_vel, atol=0.05, rtol=0)
    torch.testing.assert_close(state.root_ang_vel[1], spin[0] / (2 * h), atol=0.12, rtol=0)
    torch.testing.assert_close(state.dof_vel[1], dof_vel, atol=0.25, rtol=0)


@pytest.mark.parametrize("name", ["walk", "run", "jump", "spinkick"])
def test_velocity_adds_up_to_the_displacement_of_a_cycle(library, shipped, name):
    clip = ALL_CLIPS.index(name)
    assert shipped[clip].clip.loop
    frames, fps = shipped[clip].clip.num_frames, shipped[clip].clip.fps
    state = play(library, torch.arange(frames - 1) / fps, clip)
    moved = torch.tensor(shipped[clip].clip.root_pos[-1] - shipped[clip].clip.root_pos[0])
    # The seam is closed in place and heading; a turn of the cycle would not add up like this.
    torch.testing.assert_close(state.root_vel.sum(0) / fps, moved, atol=0.02, rtol=0)


# ---------------------------------------------------------------------------------- holding


def test_a_clip_that_does_not_loop_holds_its_ends(held):
    duration = float(held.durations[0])
    first, last = play(held, [0.0]), play(held, [duration])
    for end, times in ((first, [-5.0, -0.01]), (last, [duration + 0.01, duration + 100.0])):
        state = play(held, times)
        for name in ("root_pos", "root_rot", "joint_rot", "body_pos", "body_rot"):
            torch.testing.assert_close(
                getattr(state, name), getattr(end, name).expand_as(getattr(state, name))
            )
        for name in ("root_vel", "root_ang_vel", "dof_vel"):
            assert (getattr(state, name) == 0).all(), name


def test_a_clip_that_does_not_loop_moves_up_to_its_ends(held):
    duration = float(held.durations[0])
    state = play(held, [0.0, 0.5 * duration, duration])
    assert (state.root_vel.norm(dim=-1) > 0.1).all()
    assert (state.dof_vel.norm(dim=-1) > 0.1).all()


# ---------------------------------------------------------------------------------- many clips


def test_clips_of_different_rates_do_not_mix(humanoid):
    clips = [
        turning_clip(humanoid, name="a"),
        turning_clip(humanoid, loop=False, frames=90, fps=120.0, start=0j, name="b"),
        turning_clip(humanoid, frames=2, fps=30.0, turn=-0.5, name="c"),
    ]
    together = MotionLibrary(humanoid, [entry(clip) for clip in clips])
    assert together.names == ["a", "b", "c"]
    assert len(together) == 3
    torch.testing.assert_close(together.durations, torch.tensor([1.0, 89 / 120, 1 / 30]))
    assert together.loops.tolist() == [True, False, True]
    which = torch.randint(3, (60,))
    times = 6.0 * torch.rand(60) - 3.0
    state = together.lookup(which, times)
    for index, clip in enumerate(clips):
        rows = which == index
        alone = play(MotionLibrary(humanoid, [entry(clip)]), times[rows])
        for name, tensor in vars(alone).items():
            torch.testing.assert_close(getattr(state, name)[rows], tensor, msg=name)


def test_clips_made_many_at_a_time_are_those_made_alone(humanoid, shipped, monkeypatch):
    clips = [each.clip for each in shipped]
    whole = build_table(clips, humanoid)
    monkeypatch.setattr(resampling, "CHUNK", 500)  # some clips are longer, some fit in twos
    parts = build_table(clips, humanoid)
    assert parts.counts == whole.counts
    assert len(whole.rows) == sum(whole.counts)
    torch.testing.assert_close(parts.rows, whole.rows, atol=1e-6, rtol=0)
    torch.testing.assert_close(parts.loop_steps, whole.loop_steps)
    alone = torch.cat([build_table([clip], humanoid).rows for clip in clips])
    torch.testing.assert_close(alone, whole.rows, atol=1e-6, rtol=0)


@pytest.mark.gpu
def test_a_table_made_on_cuda_is_that_of_the_cpu(humanoid, shipped):
    clips = [each.clip for each in shipped]
    expected, found = (build_table(clips, humanoid, device) for device in ("cpu", "cuda"))
    assert found.rows.is_cuda
    torch.testing.assert_close(found.rows.cpu(), expected.rows, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.loop_turns.cpu(), expected.loop_turns)


def test_a_second_of_motion_takes_808_bytes_a_row(humanoid):
    """202 columns: 4 + 14 x 4 + 15 x 4 rotations, 3 + 15 x 3 places, 3 + 3 + 28 velocities."""
    table = build_table([turning_clip(humanoid, frames=31, fps=30.0)], humanoid)
    assert table.rows.shape == (121, 202)  # 30 fps four times over
    assert table.rates == [120.0]


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 2), (0,)])
def test_states_take_the_shape_of_the_query(library, shape):
    clips, times = torch.randint(20, shape), torch.rand(shape)
    state = library.lookup(clips, times)
    assert state.root_pos.shape == (*shape, 3)
    assert state.joint_rot.shape == (*shape, 14, 4)
    assert state.dof_vel.shape == (*shape, 28)
    assert state.body_pos.shape == (*shape, 15, 3)
    assert state.contact_force.shape == (*shape, 15, 3)
    flat = library.lookup(clips.reshape(-1), times.reshape(-1))
    assert torch.equal(state.body_pos.reshape(-1, 15, 3), flat.body_pos)


def test_everything_is_float32(library):
    for name, tensor in vars(play(library, [0.1])).items():
        assert tensor.dtype == torch.float32, name


def test_weights_are_shares(humanoid):
    clips = [turning_clip(humanoid, name=name) for name in "abc"]
    library = MotionLibrary(
        humanoid, [entry(clip, weight) for clip, weight in zip(clips, (3.0, 0.0, 1.0))]
    )
    torch.testing.assert_close(library.weights, torch.tensor([0.75, 0.0, 0.25]))


def test_each_clip_says_what_may_touch_the_ground(humanoid):
    clip = turning_clip(humanoid)
    library = MotionLibrary(
        humanoid,
        [entry(clip), entry(clip, 1.0, ()), entry(clip, 1.0, ("left_hand", "head"))],
    )
    allowed = [
        {humanoid.body_names[b] for b in row.nonzero().squeeze(-1).tolist()}
        for row in library.may_touch_ground
    ]
    assert allowed[0] == {"left_foot", "right_foot"}  # the character's own
    assert allowed[1] == set(humanoid.body_names)  # an empty list allows all
    assert allowed[2] == {"left_hand", "head"}


def test_a_body_that_does_not_exist_is_told_with_its_clip(humanoid):
    with pytest.raises(UnknownBody, match=r"'left_hnad'.*of clip 'arc'.*Closest: left_hand"):
        MotionLibrary(humanoid, [entry(turning_clip(humanoid), 1.0, ("left_hnad",))])


def test_a_clip_of_another_character_is_refused(humanoid):
    clip = turning_clip(humanoid)
    renamed = replace(clip, joint_names=("waist", *clip.joint_names[1:]))
    with pytest.raises(MotionError, match=r"'arc' is not for character 'humanoid'.*abdomen"):
        MotionLibrary(humanoid, [entry(renamed)])
