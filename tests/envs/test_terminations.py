"""When episodes end, and which reason wins."""

from __future__ import annotations

import itertools

import pytest
import torch

from mimickit.envs.terminations import (
    contact_limits,
    done_flags,
    far_from_reference,
    forbidden_contact,
)
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_from_heading
from mimickit.state import CharacterState, Done
from tests.envs.parts import moved, random_state

X = torch.tensor([1.0, 0.0, 0.0])


def touching(body, force):
    state = CharacterState.zeros(1, 4, 6)
    state.contact_force[0, body] = torch.tensor(force)
    return state


@pytest.mark.parametrize(
    ("body", "force", "ends"),
    [
        (1, [0.0, 0.0, 0.11], True),
        (1, [0.0, -0.11, 0.0], True),  # any component, either sign
        (1, [0.09, 0.09, 0.09], False),  # 0.156 N in all, but no component is over 0.1
        (1, [0.0, 0.0, 0.0], False),
        (2, [0.0, 0.0, 500.0], False),  # may touch the ground
    ],
)
def test_a_body_that_may_not_touch_the_ground_ends_the_episode(body, force, ends):
    allowed = torch.tensor([[False, False, True, True]])
    limits = contact_limits(allowed, 0.1)
    assert forbidden_contact(touching(body, force), limits).tolist() == [ends]


def test_each_env_has_its_own_allowed_bodies():
    state = CharacterState.zeros(2, 4, 6)
    state.contact_force[:, 1, 2] = 10.0
    allowed = torch.tensor([[False] * 4, [True] * 4])
    assert forbidden_contact(state, contact_limits(allowed, 0.1)).tolist() == [True, False]


@pytest.mark.parametrize("frame", ["world", "world_axes", "root"])
def test_one_body_too_far_is_enough(humanoid, frame):
    """0.99 m away goes on, 1.01 m ends; over the distance, not per component."""
    reference = random_state(humanoid, 1)
    for offset, ends in ((0.99, False), (1.01, True)):
        state = reference.clone()
        state.body_pos[0, 7] += offset * torch.tensor([0.6, 0.0, 0.8])
        assert far_from_reference(state, reference, 1.0, frame).tolist() == [ends]


def test_the_root_counts_only_in_the_world(humanoid):
    reference = random_state(humanoid, 1)
    state = moved(reference, quat_from_heading(torch.tensor(0.0)), torch.tensor([0.0, 1.5, 0.0]))
    assert far_from_reference(state, reference, 1.0, "world").tolist() == [True]
    assert far_from_reference(state, reference, 1.0, "world_axes").tolist() == [False]
    assert far_from_reference(state, reference, 1.0, "root").tolist() == [False]


def test_the_roots_rotation_does_not_count_in_its_own_frame(humanoid):
    """A somersault of the whole pose is no error there; relative to the root it moves bodies."""
    reference = random_state(humanoid, 1)
    turn = quat_from_axis_angle(X, torch.tensor(2.5))
    state = moved(reference, turn, torch.zeros(3))
    limit = 0.3
    assert far_from_reference(state, reference, limit, "root").tolist() == [False]
    assert far_from_reference(state, reference, limit, "world_axes").tolist() == [True]


def test_fail_beats_success_beats_time():
    cases = list(itertools.product([False, True], repeat=3))
    time_up, succeeded, failed = (torch.tensor(column) for column in zip(*cases))
    expected = [
        Done.FAIL if f else Done.SUCC if s else Done.TIME if t else Done.NULL for t, s, f in cases
    ]
    done = done_flags(time_up, succeeded, failed)
    assert done.tolist() == [int(flag) for flag in expected]
    assert done.dtype == torch.int64
