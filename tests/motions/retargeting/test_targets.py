"""Where parts should go: scaled, on the ground, and as high in the air as gravity asks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit import launch
from mimickit.motions import resolve_motions
from mimickit.motions.measures import trace
from mimickit.motions.retargeting.parts import load_parts
from mimickit.motions.retargeting.targets import (
    Target,
    Targets,
    _fading,
    _flattened,
    fall_heights,
    make_targets,
    unroll,
)


@pytest.fixture(scope="module")
def parts():
    return load_parts(launch.make_character("humanoid"))


@pytest.fixture(scope="module")
def walk(parts):
    return resolve_motions("walk", parts.character)[0].clip


def test_the_own_motion_is_its_own_target_but_for_the_feet(parts, walk):
    targets = make_targets(walk, parts, parts)
    seen = trace(walk, parts.character)
    assert targets.scale == pytest.approx(1.0)
    for part in ("pelvis", "torso", "head", "left_hand", "right_shin"):
        body = parts.bodies[part]
        torch.testing.assert_close(targets.parts[part].rot, seen.body_rot[:, body])
        off = targets.parts[part].pos - seen.body_pos[:, body]
        assert off.norm(dim=-1).max() < 0.013  # [m], by which standing feet miss the ground
    for part in ("left_foot", "right_foot"):
        off = targets.parts[part].pos - seen.body_pos[:, parts.bodies[part]]
        assert off[:, :2].norm(dim=-1).max() < 0.012  # what laying them flat moves the ankle
        assert off[:, 2].abs().max() < 0.03  # and what it lowers a heel that has begun to lift


def test_a_standing_foot_is_level_and_still_where_the_source_is(parts, walk):
    target = load_parts(launch.make_character("g1"))
    targets = make_targets(walk, parts, target)
    foot = targets.parts["left_foot"]
    mine = trace(walk, parts.character).body_pos[:, parts.bodies["left_foot"]]
    standing = (targets.stands["left_foot"] > 0.999).nonzero().flatten()
    assert len(standing) > 10
    inner = standing[4:-4]  # from heel strike on until the heel lifts
    step, source_step = (
        (p[inner[1:], :2] - p[inner[:-1], :2]).norm(dim=-1) for p in (foot.pos, mine)
    )
    assert (step - targets.scale * source_step).abs().max() < 0.005


@pytest.mark.parametrize("name", ["walk", "turn_left1"])
def test_a_loop_unrolled_goes_on_where_it_ended(name, parts):
    clip = resolve_motions(name, parts.character)[0].clip
    rounds, middle = unroll(clip)
    frames, margin = clip.num_frames - 1, math.ceil(clip.fps)
    assert rounds.num_frames == clip.num_frames + 2 * margin
    np.testing.assert_allclose(rounds.root_pos[middle], clip.root_pos, atol=1e-6)
    steps = np.linalg.norm(np.diff(rounds.root_pos, axis=0), axis=-1)
    np.testing.assert_allclose(steps[:margin], steps[frames : frames + margin], atol=1e-5)
    np.testing.assert_allclose(steps[-margin:], steps[margin : 2 * margin], atol=1e-5)
    turns = np.abs((rounds.root_rot[1:] * rounds.root_rot[:-1]).sum(-1))
    np.testing.assert_allclose(turns[:margin], turns[frames : frames + margin], atol=1e-6)
    once = replace(clip, loop=False)
    assert unroll(once) == (once, slice(0, clip.num_frames))


def test_a_flight_rises_as_high_as_its_time_asks(parts):
    backflip = resolve_motions("backflip", parts.character)[0].clip
    rise = fall_heights(trace(backflip, parts.character))
    flying = (rise > 0).nonzero().flatten()
    time = (len(flying) + 1) / backflip.fps  # from the last grounded frame to the next
    # g / 2 * (T / 2)^2 at the apex, less what the frames miss of it.
    assert float(rise.max()) == pytest.approx(9.81 / 8 * time**2, rel=0.02)
    grounded = (rise == 0).nonzero().flatten()
    assert {0, len(rise) - 1} <= set(grounded.tolist())


def test_what_is_done_to_standing_feet_fades():
    stands = torch.tensor([False, False, False, True, True, False])
    share = _fading(stands, 2.0)
    torch.testing.assert_close(share, torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0, 0.5]).double())
    assert not _fading(torch.zeros(3, dtype=torch.bool), 2.0).any()


def test_small_tilts_are_laid_flat_and_large_ones_kept():
    half = torch.deg2rad(torch.tensor([4.0, 30.0, 4.0], dtype=torch.float64)) / 2.0
    turn = torch.zeros(3, 4, dtype=torch.float64)
    turn[:, 1], turn[:, 3] = half.sin(), half.cos()
    flat = _flattened(turn, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    torch.testing.assert_close(flat[0], torch.tensor([0.0, 0.0, 0.0, 1.0]).double())
    torch.testing.assert_close(flat[1:], turn[1:])


def test_raising_leaves_the_feet():
    pose = Target(torch.zeros(2, 3).double(), torch.zeros(2, 4).double())
    targets = Targets({"pelvis": pose, "left_foot": pose}, 1.0, torch.zeros(2), {})
    raised = targets.raised(torch.tensor([0.0, 0.1], dtype=torch.float64))
    assert raised.parts["pelvis"].pos[1].tolist() == [0.0, 0.0, 0.1]
    assert not raised.parts["left_foot"].pos.any()
