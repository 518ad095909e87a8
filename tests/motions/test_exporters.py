"""What is written in a foreign format comes back as it was, to 1e-6; other rates, other seams."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit.errors import ConfigError, MotionError, UnknownName
from mimickit.geometry.quaternion import quat_angle
from mimickit.motions import Clip
from mimickit.motions.exporters import EXPORTS, export_clips
from mimickit.motions.importers import ImportOptions, import_motion
from mimickit.motions.importers.resampling import resample
from tests.motions.foreign import walk_pose


def made_up(character, name="made_up", fps=29.93, loop=False) -> Clip:
    pose = walk_pose(character)
    movable = character.movable_joints
    return Clip(
        name=name,
        fps=fps,
        loop=loop,
        joint_names=tuple(joint.name for joint in movable),
        root_pos=pose.root_pos,
        root_rot=pose.root_rot,
        joint_rot=pose.joint_rot[:, [joint.body - 1 for joint in movable]],
        provenance={"source": "made up"},
    )


def farthest(a: Clip, b: Clip) -> float:
    """The greatest difference [m or rad] of two clips of the same joints."""
    order = [b.joint_names.index(name) for name in a.joint_names]
    pairs = ((a.root_rot, b.root_rot), (a.joint_rot, b.joint_rot[:, order]))
    turns = [
        float(quat_angle(*(torch.from_numpy(x).double() for x in pair)).max()) for pair in pairs
    ]
    return max(float(np.abs(a.root_pos - b.root_pos).max()), *turns)


def told(format_name, clip) -> ImportOptions:
    """What the format cannot state."""
    if format_name == "mimickit":
        return ImportOptions()
    fps = clip.fps if format_name == "csv" else None
    return ImportOptions(fps=fps, loop=clip.loop, quat_order="xyzw" if fps else None)


CASES = [
    ("mimickit", "g1"), ("gmr", "g1"), ("csv", "g1"), ("any4hdmi", "g1"),
    ("mimickit", "humanoid"), ("any4hdmi", "humanoid"), ("mimickit", "go2"), ("gmr", "go2"),
]  # fmt: skip


@pytest.mark.parametrize(("format_name", "character"), CASES)
@pytest.mark.parametrize("loop", [True, False])
def test_what_is_exported_comes_back(tmp_path, request, format_name, character, loop):
    character = request.getfixturevalue(character)
    clip = made_up(character, loop=loop)
    (written,) = export_clips(tmp_path / "out", [clip], character, format_name)
    (imported,) = import_motion(written, character, told(format_name, clip))
    back = imported.clip
    assert imported.format == format_name
    assert (back.name, back.loop) == (clip.name, loop)
    assert back.fps == pytest.approx(clip.fps, rel=1e-9)
    assert farthest(clip, back) < 1e-6


def test_a_turn_by_more_than_half_comes_back(tmp_path, humanoid):
    clip = made_up(humanoid)
    clip = replace(clip, root_rot=-clip.root_rot)  # the same turns, with w < 0
    (written,) = export_clips(tmp_path, [clip], humanoid, "mimickit")
    (imported,) = import_motion(written, humanoid)
    assert farthest(clip, imported.clip) < 1e-6


@pytest.mark.parametrize("format_name", ["gmr", "csv"])
def test_ball_joints_do_not_fit_one_angle_per_joint(tmp_path, humanoid, format_name):
    with pytest.raises(MotionError, match=rf"{format_name} has one angle per joint.*abdomen, neck"):
        export_clips(tmp_path, [made_up(humanoid)], humanoid, format_name)
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_no_file_unasked(tmp_path, g1):
    export_clips(tmp_path, [made_up(g1)], g1, "csv")
    with pytest.raises(MotionError, match=r"made_up\.csv exists; replace it with --overwrite"):
        export_clips(tmp_path, [made_up(g1)], g1, "csv")
    export_clips(tmp_path, [made_up(g1)], g1, "csv", overwrite=True)


def test_a_format_that_is_not_written_is_named(tmp_path, g1):
    with pytest.raises(UnknownName, match=r"'bvh'.*All: any4hdmi, csv, gmr, mimickit"):
        export_clips(tmp_path, [made_up(g1)], g1, "bvh")
    assert set(EXPORTS) == {"any4hdmi", "csv", "gmr", "mimickit"}


def test_a_dataset_has_one_rate_and_names_its_columns(tmp_path, g1):
    clips = [made_up(g1, "a"), made_up(g1, "b", fps=60.0)]
    with pytest.raises(MotionError, match=r"one frame rate, got a 29.93 Hz, b 60 Hz"):
        export_clips(tmp_path / "set", clips, g1, "any4hdmi")
    with pytest.raises(MotionError, match="two of the clips have one name"):
        export_clips(tmp_path / "set", [clips[0], clips[0]], g1, "any4hdmi")
    (folder,) = export_clips(tmp_path / "set", [clips[0], made_up(g1, "b")], g1, "any4hdmi")
    assert [each.clip.name for each in import_motion(folder, g1)] == ["a", "b"]
    with pytest.raises(MotionError, match="holds a dataset already"):
        export_clips(tmp_path / "set", [clips[0]], g1, "any4hdmi")


# --- resampling ------------------------------------------------------------------------------


def turning(fps=10.0, frames=11, loop=False) -> Clip:
    """One joint and the root turn at 1 rad/s about z, and the root moves at 2 m/s along x."""
    time = np.arange(frames) / fps
    rot = np.stack([0 * time, 0 * time, np.sin(time / 2), np.cos(time / 2)], axis=-1)
    pos = np.stack([2 * time, 0 * time, 0 * time + 1], axis=-1)
    return Clip("turning", fps, loop, ("joint",), pos, rot, rot[:, None], {"notes": "made up"})


@pytest.mark.parametrize("fps", [7.0, 10.0, 25.0])
def test_resampling_keeps_constant_speeds(fps):
    clip = resample(turning(), fps)
    assert clip.fps == fps
    assert clip.num_frames == int(1.0 * fps + 1e-6) + 1
    time = np.arange(clip.num_frames) / fps
    np.testing.assert_allclose(clip.root_pos[:, 0], 2 * time, atol=1e-6)
    np.testing.assert_allclose(clip.joint_rot[:, 0, 2], np.sin(time / 2), atol=1e-6)
    assert clip.provenance["notes"] == f"made up; resampled from 10 to {fps:g} Hz"


def test_resampling_does_not_mind_signs_that_flip():
    clip = turning()
    signs = np.where(np.arange(11) % 2, -1.0, 1.0)[:, None]
    flipped = replace(
        clip, root_rot=clip.root_rot * signs, joint_rot=clip.joint_rot * signs[:, None]
    )
    assert farthest(resample(clip, 33.0), resample(flipped, 33.0)) < 1e-6


def test_resampling_a_loop_keeps_its_seam():
    clip = resample(turning(loop=True), 7.3)
    assert clip.fps == 7.0  # the nearest that fits 1 s
    np.testing.assert_allclose(clip.root_pos[-1], [2.0, 0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("fps", "message"), [(0.0, "must be finite"), (0.5, "less than two frames")]
)
def test_a_rate_that_cannot_be_is_refused(fps, message):
    with pytest.raises(ConfigError, match=message):
        resample(turning(), fps)
