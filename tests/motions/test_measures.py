"""Figures of clips whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimickit.motions import Clip, resolve_motions
from mimickit.motions.measures import (
    GRAVITY,
    center_of_mass,
    flights,
    free_fall,
    limit_excess,
    penetration,
    skating,
    slip_speed,
    stretches,
    touching,
    trace,
)

FPS = 30.0
STANDING = 0.881416  # [m] root height at which the humanoid's soles touch the ground


def gliding(humanoid, height, velocity=0.0, frames=10, fps=FPS):
    """The zero pose at a root height [T] or number, moving along x."""
    names = tuple(joint.name for joint in humanoid.movable_joints)
    pos = np.zeros((frames, 3))
    pos[:, 0] = velocity * np.arange(frames) / fps
    pos[:, 2] = height
    still = np.tile([0.0, 0.0, 0.0, 1.0], (frames, len(names), 1))
    return Clip("glide", fps, False, names, pos, still[:, 0], still, {})


def test_soles_are_as_deep_as_the_root_is_low(humanoid):
    found = trace(gliding(humanoid, STANDING - 0.03), humanoid)
    torch.testing.assert_close(
        penetration(found), torch.full((10,), 0.03).double(), atol=1e-6, rtol=0
    )
    assert touching(found) == ("right_foot", "left_foot")
    assert touching(trace(gliding(humanoid, STANDING + 0.02), humanoid)) == ()


def test_a_gliding_foot_skates_with_its_speed(humanoid):
    glide = trace(gliding(humanoid, STANDING, velocity=0.4), humanoid)
    assert skating(glide, humanoid.feet) == pytest.approx(0.4, rel=1e-5)
    # Half way up to 2.5 cm a foot stands by 2 - 2^0.5, beyond not at all.
    half = trace(gliding(humanoid, STANDING + 0.0125, velocity=0.4), humanoid)
    _, share = slip_speed(half, humanoid.feet)
    torch.testing.assert_close(share, torch.full((9, 2), 2 - 2**0.5).double(), atol=1e-4, rtol=0)
    assert skating(trace(gliding(humanoid, STANDING + 0.03, 0.4), humanoid), humanoid.feet) == 0.0


def test_a_shape_that_rolls_does_not_skate(humanoid):
    """The pelvis, a ball here, rolls on the ground: 0.09 m radius, half a turn a second."""
    frames, radius, rate = 31, 0.09, np.pi
    clip = gliding(humanoid, 0.0, frames=frames)
    angle = rate * np.arange(frames) / FPS
    rot = np.zeros((frames, 4))
    rot[:, 1], rot[:, 3] = np.sin(angle / 2), np.cos(angle / 2)
    middle = np.array([0.07 * np.sin(angle), 0 * angle, 0.07 * np.cos(angle)]).T  # of the ball
    pos = np.zeros((frames, 3))
    pos[:, 0], pos[:, 2] = radius * angle, radius
    rolling = Clip("roll", FPS, False, clip.joint_names, pos - middle, rot, clip.joint_rot, {})
    speed, share = slip_speed(trace(rolling, humanoid), ["pelvis"])
    # A point that touched moves on a cycloid: by r (a - sin a) in a step of 6 degrees, 0.017 mm.
    # Only at first: later the other ball of the pelvis is the lower one.
    assert float(speed[:3].max()) < 0.001
    assert float(share[:3].min()) > 0.99


def test_thrown_bodies_fall_with_gravity(humanoid):
    time = np.arange(20) / FPS
    height = STANDING + 0.1 + 3.0 * time - 0.5 * GRAVITY * time**2
    found = trace(gliding(humanoid, height, frames=20), humanoid)
    ((first, last),) = flights(found, 0.05)
    assert first == 0
    acceleration, error = free_fall(center_of_mass(found)[first : last + 1, 2], FPS)
    assert acceleration == pytest.approx(GRAVITY, abs=0.01)
    assert error < 0.01


def test_what_is_beyond_a_limit_is_beyond_by_the_difference(humanoid):
    dof = torch.zeros(1, humanoid.num_dofs)
    knee = next(j for j in humanoid.joints if j.name == "right_knee")
    dof[0, knee.dofs] = -0.2
    excess = limit_excess(dof, humanoid)
    assert float(excess[0, knee.dofs]) == pytest.approx(0.2)
    assert float(excess.sum()) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("mask", "runs"),
    [([0, 1, 1, 0, 1], [(1, 2), (4, 4)]), ([1, 1], [(0, 1)]), ([0, 0], [])],
)
def test_stretches_are_found_with_both_ends(mask, runs):
    assert stretches(torch.tensor(mask, dtype=torch.bool)) == runs


def test_the_jump_falls_with_gravity_and_the_walk_never_flies(humanoid):
    clips = {entry.name: entry.clip for entry in resolve_motions(["jump", "walk"], humanoid)}
    jump, walk = (trace(clips[name], humanoid) for name in ("jump", "walk"))
    assert flights(walk, 0.03) == []
    ((first, last),) = flights(jump, 0.03)
    acceleration, _ = free_fall(center_of_mass(jump)[first : last + 1, 2], 60.0)
    assert acceleration == pytest.approx(GRAVITY, abs=0.3)
