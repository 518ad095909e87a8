"""A way back to a clip's first pose: where it leads, and that nothing jumps on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit.errors import ConfigError
from mimickit.motions import load_clip
from mimickit.motions.catalog import MOTIONS, list_motions, resolve_motions
from mimickit.motions.clip import content_hash
from mimickit.motions.library import MotionLibrary
from mimickit.motions.returning import returning

SECONDS = 0.5


@pytest.fixture(scope="module")
def kick():
    return load_clip(MOTIONS / "humanoid" / "kick.npz")


@pytest.fixture(scope="module")
def loop(kick):
    return returning(kick, SECONDS)


def speeds(clip):
    """How fast what of a clip goes from frame to frame, the loop's seam included."""
    joints = clip.joint_rot
    cosine = np.abs((joints[1:] * joints[:-1]).sum(-1)).clip(0.0, 1.0)
    return {
        "place": np.linalg.norm(np.diff(clip.root_pos, axis=0), axis=-1) * clip.fps,
        "joints": 2.0 * np.arccos(cosine).max(-1) * clip.fps,
    }


def test_it_ends_in_the_first_pose_somewhere_else(kick, loop):
    frames = round(SECONDS * kick.fps)
    assert loop.loop
    assert len(loop.root_pos) == len(kick.root_pos) + frames
    np.testing.assert_array_equal(loop.joint_rot[: len(kick.joint_rot)], kick.joint_rot)
    same = np.abs((loop.joint_rot[-1] * kick.joint_rot[0]).sum(-1))
    np.testing.assert_allclose(same, 1.0, atol=1e-9)
    assert loop.root_pos[-1, 2] == pytest.approx(kick.root_pos[0, 2], abs=1e-9)
    up = [2.0 * (q[1] * q[1] + q[0] * q[0]) for q in (loop.root_rot[-1], kick.root_rot[0])]
    assert up[0] == pytest.approx(up[1], abs=1e-9)  # leans as much, whichever way it faces


def test_nothing_is_faster_on_the_way_than_in_the_clip_and_at_its_ends_nothing_jumps(kick, loop):
    last = len(kick.root_pos) - 1
    for name, speed in speeds(loop).items():
        own, way = speed[:last], speed[last:]
        assert way.max() < own.max(), name
        # It begins at the clip's last speed and ends at its first, but for a frame of coasting.
        assert way[0] == pytest.approx(own[-1], rel=0.2), name
        assert way[-1] == pytest.approx(own[0], rel=0.2), name


def test_a_straight_line_by_hand(kick):
    """At 1 m/s along x it coasts: two thirds of the way are missing, since speed dips to zero."""
    count = 11
    still = replace(
        kick,
        fps=10.0,
        root_pos=np.stack([np.arange(count) * 0.1, np.zeros(count), np.ones(count)], -1),
        root_rot=np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)),
        joint_rot=np.tile(kick.joint_rot[:1], (count, 1, 1)),
    )
    loop = returning(still, 0.6)
    # Speed falls as (1 - t / T)^2 and rises as (t / T)^2: two times T / 3, 0.4 m in 0.6 s.
    np.testing.assert_allclose(loop.root_pos[-1], [1.4, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(loop.root_pos[-4], [1.2, 0.0, 1.0], atol=1e-12)  # half of it


def test_a_looping_library_plays_on_without_a_seam(humanoid):
    entries = resolve_motions({"name": "punch", "return_s": 0.6, "mirror": True}, humanoid)
    library = MotionLibrary(humanoid, entries)
    assert library.names == ["punch", "punch_mirrored"]
    assert library.all_loop
    end = library.durations[0].item()
    times = end + torch.linspace(-0.02, 0.02, 41)
    state = library.lookup(torch.zeros(41, dtype=torch.long), times)
    steps = state.body_pos.diff(dim=0).norm(dim=-1)  # [40, B] in a millisecond each
    assert steps.max() < 5e-3
    assert steps.diff(dim=0).abs().max() < 2e-3  # speeds change by less than 2 m/s in it


def test_it_says_what_was_added(kick, loop):
    assert loop.provenance["source_hash"] == content_hash(kick)
    assert loop.provenance["notes"].endswith("goes back to its first pose in 0.5 s")


def test_a_clip_that_loops_needs_none(humanoid):
    with pytest.raises(ConfigError, match="clip 'walk' loops as it is: it needs no return_s"):
        resolve_motions({"name": "walk", "return_s": 0.5}, humanoid)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"return_s": 0}, r"motion\[0\]\.return_s must be above 0 and at most 2.0 s, got 0"),
        ({"return_s": 3}, r"motion\[0\]\.return_s must be above 0 and at most 2.0 s, got 3"),
        ({"return_s": "1"}, r"motion\[0\]\.return_s must be above 0 and at most 2.0 s, got 1"),
        ({"return_s": 1, "loop": True}, r"motion\[0\]: return_s makes a clip loop; leave `loop`"),
    ],
)
def test_a_way_back_that_cannot_be_is_refused(humanoid, item, message):
    with pytest.raises(ConfigError, match=message):
        list_motions([{"name": "kick", **item}], humanoid)
