"""Each fault that is planted in a good clip is found by name, and good clips have none."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimickit.motions import Clip, load_clip, motion_names, save_clip
from mimickit.motions.catalog import MOTIONS, MotionSource, list_motions
from mimickit.motions.clip import _content_hash, read_content
from mimickit.motions.lint import THRESHOLDS, Severity, lint
from mimickit.motions.lint_report import CLEAN, FAULTY, UNREADABLE, exit_code, text, worst_first

ROOT = Path(__file__).resolve().parents[2]
FOLDER = MOTIONS / "humanoid"


def shipped(name):
    return load_clip(FOLDER / f"{name}.npz")


def turned(clip, joint, angle, frames):
    """The clip with a joint turned further about its child's y axis in some frames."""
    rot = clip.joint_rot.copy()
    index = clip.joint_names.index(joint)
    x, y, z, w = rot[frames, index].T
    sine, cosine = np.sin(angle / 2), np.cos(angle / 2)
    parts = (x * cosine - z * sine, y * cosine + w * sine, z * cosine + x * sine)
    rot[frames, index] = np.stack([*parts, w * cosine - y * sine], -1)
    return replace(clip, joint_rot=rot)


def moved(clip, axis, metres, frames=slice(None)):
    pos = clip.root_pos.copy()
    pos[frames, axis] += metres
    return replace(clip, root_pos=pos)


def shortened(clip, frames):
    return replace(
        clip,
        root_pos=clip.root_pos[frames],
        root_rot=clip.root_rot[frames],
        joint_rot=clip.joint_rot[frames],
    )


@pytest.fixture
def report_of(humanoid, tmp_path):
    """A function that lints a clip as a file."""

    def report_of(clip, **facts):
        path = tmp_path / f"{clip.name}.npz"
        save_clip(path, clip)
        source = MotionSource(None, path, 1.0, None, None)
        return lint(replace(source, **facts), humanoid)

    return report_of


def errors(report):
    return {found.check for found in report.findings if found.severity == Severity.ERROR}


def test_no_clip_of_ours_has_an_error(humanoid):
    reports = [lint(source, humanoid) for source in list_motions(FOLDER, humanoid)]
    assert len(reports) == 20
    assert {report.name: errors(report) for report in reports if errors(report)} == {}
    assert exit_code(reports) == CLEAN
    for name in ("walk", "walk_forward", "turn_left0", "cartwheel", "crawl"):
        (report,) = (report for report in reports if report.name == name)
        assert report.findings == [], name


def test_the_jump_falls_as_things_fall(report_of):
    figures = report_of(shipped("jump")).figures
    assert figures["gravity"] < 1.05
    assert figures["fall"] < 1.1
    assert set(figures) == set(THRESHOLDS)


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("gravity", lambda: replace(shipped("jump"), fps=30.0)),
        ("gravity", lambda: replace(shipped("jump"), fps=120.0)),
        ("fall", lambda: replace(shipped("jump"), fps=130.0)),
        ("seam", lambda: shortened(shipped("walk"), slice(0, 25))),
        ("seam_height", lambda: moved(shipped("walk"), 2, 0.06, slice(38, 39))),
        ("jump", lambda: turned(shipped("walk"), "neck", 0.6, slice(20, None))),
        ("root_jump", lambda: moved(shipped("walk"), 0, 0.3, slice(20, None))),
        ("joint_speed", lambda: replace(shipped("walk"), fps=300.0)),
        ("root_speed", lambda: replace(shipped("run"), fps=120.0)),
        ("penetration", lambda: moved(shipped("walk"), 2, -0.15)),
        ("floating", lambda: moved(shipped("walk"), 2, 0.15)),
        ("hinge_limit", lambda: turned(shipped("walk"), "right_knee", -0.9, slice(None))),
        ("ball_limit", lambda: turned(shipped("walk"), "neck", 2.0, slice(None))),
        ("repeats", lambda: replace(shortened(shipped("walk"), np.arange(78) // 2), fps=60.0)),
        ("skating", lambda: moved(shipped("kick"), 0, np.arange(47) * 1.5 / 30)),
    ],
)
def test_a_planted_fault_is_an_error_of_its_own_name(report_of, check, fault):
    report = report_of(fault())
    assert check in errors(report)
    (found,) = (found for found in report.findings if found.check == check)
    assert THRESHOLDS[check].meaning in found.message
    assert report.figures[check] > THRESHOLDS[check].error
    assert exit_code([report]) == FAULTY


def test_the_rate_that_would_be_right_is_said(report_of):
    findings = report_of(replace(shipped("jump"), fps=120.0)).findings
    (found,) = (found for found in findings if found.check == "gravity")
    assert "39.3 m/s^2 in frames 49 to 74; right at 60 fps, the clip states 120" in found.message


def test_what_does_not_fall_floats_and_is_placed(report_of):
    kick = shipped("kick")
    report = report_of(moved(kick, 2, 0.06, slice(20, 36)))
    assert "gravity" not in report.figures
    assert 0.05 < report.figures["floating"] < 0.09
    (found,) = (found for found in report.findings if found.check == "floating")
    assert found.severity == Severity.WARNING
    assert "in frames 20 to 35" in found.message


def test_a_jump_is_placed_and_named(report_of):
    report = report_of(turned(shipped("walk"), "neck", 0.6, slice(20, None)))
    (found,) = (found for found in report.findings if found.check == "jump")
    assert "(neck, frame 19 to 20)" in found.message
    assert report.figures["jump"] == pytest.approx(0.6, abs=0.05)


def test_bodies_that_may_not_touch_the_ground_are_told(report_of):
    roll = shipped("roll")
    assert "contact" not in report_of(roll, may_touch_ground=()).figures
    report = report_of(roll, may_touch_ground=("left_foot",))
    assert "contact" in errors(report)
    (found,) = (found for found in report.findings if found.check == "contact")
    assert "(left_hand, frame 64; allowed: left_foot)" in found.message


def test_a_clip_that_is_not_played_in_a_loop_has_no_seam(report_of):
    clip = shortened(shipped("walk"), slice(0, 25))
    assert "seam" not in report_of(clip, loop=False).figures
    assert "seam" not in errors(report_of(replace(clip, loop=False)))


# ---------------------------------------------------------------------------------- damage


@pytest.fixture
def damaged(humanoid, tmp_path):
    """A function that lints a file whose arrays were changed, with a hash that fits."""

    def damaged(**arrays):
        content = {**read_content(FOLDER / "walk.npz"), **arrays}
        path = tmp_path / "walk.npz"
        np.savez(path, **content, content_hash=np.array(_content_hash(content)))
        return lint(MotionSource(None, path, 1.0, None, None), humanoid)

    return damaged


def test_numbers_that_are_none_are_placed(damaged):
    pos = shipped("walk").root_pos.copy()
    pos[7:9, 1] = np.nan
    report = damaged(root_pos=pos)
    assert [found.check for found in report.findings] == ["numbers"]
    message = "root_pos holds NaN or infinity in 2 frames, first in frame 7"
    assert report.findings[0].message == message
    assert (report.readable, report.measured) == (True, False)
    assert exit_code([report]) == FAULTY


def test_quaternions_that_are_too_long_are_placed(damaged):
    rot = shipped("walk").joint_rot.copy()
    rot[11, 3] *= 1.1
    report = damaged(joint_rot=rot)
    assert errors(report) == {"quaternion"}
    assert report.figures["quaternion"] == pytest.approx(0.1, abs=1e-4)
    assert report.findings[0].message.endswith("in joint_rot, frame 11")
    rot[11, 3] /= 1.095  # half a percent is rounding, not damage
    report = damaged(joint_rot=rot)
    assert [found.severity for found in report.findings] == [Severity.WARNING]
    assert report.measured


def test_other_joints_are_named(damaged):
    names = np.array(["hip" if n == "right_hip" else n for n in shipped("walk").joint_names])
    report = damaged(joint_names=names)
    assert [found.check for found in report.findings] == ["joints"]
    assert "missing joints: right_hip" in report.findings[0].message


def test_a_hinge_that_turns_about_another_axis_is_named(damaged):
    walk = shipped("walk")
    rot = walk.joint_rot.copy()
    rot[5, walk.joint_names.index("left_knee")] = [np.sin(0.2), 0.0, 0.0, np.cos(0.2)]
    report = damaged(joint_rot=rot)
    assert [found.check for found in report.findings] == ["hinge_axis"]
    assert "in frame 5 joint 'left_knee' turns 22.9 degrees" in report.findings[0].message


def test_what_no_clip_can_be_is_told_in_its_words(damaged):
    report = damaged(fps=np.array(-30.0))
    assert [found.check for found in report.findings] == ["clip"]
    assert "fps must be finite and > 0, got -30.0" in report.findings[0].message


def test_files_that_cannot_be_read_do_not_hide_the_others(humanoid, tmp_path):
    save_clip(tmp_path / "a.npz", shipped("walk"))
    (tmp_path / "b.npz").write_bytes(b"PK truncated")
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"loop_mode": 0, "fps": 30, "frames": [[0.0]]}))
    reports = [lint(source, humanoid) for source in list_motions(tmp_path, humanoid)]
    assert [report.readable for report in reports] == [True, False, False]
    assert {report.findings[0].check for report in reports[1:]} == {"file"}
    assert exit_code(reports) == UNREADABLE
    assert [report.name for report in worst_first(reports)] == ["b", "c", "a"]


# ---------------------------------------------------------------------------------- text


def test_text_shows_the_worst_and_counts_the_rest(report_of):
    good, bad = shipped("walk"), moved(replace(shipped("walk"), name="sunk"), 2, -0.15)
    reports = [report_of(clip) for clip in (good, bad, good)]
    shown = text(reports, rows=1)
    assert "sunk: error: penetration: the character is in the ground by 0.15" in shown
    assert "walk" not in shown
    assert "15.3!!" in shown
    assert shown.endswith(
        "... and 2 clips more, none worse than these (rows=null shows all)\n"
        "3 clips: 1 with errors, 0 with warnings only\n"
    )
    assert text(reports).count("walk") == 2


def test_every_threshold_is_documented():
    page = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    for check, threshold in THRESHOLDS.items():
        row = f"| `{check}` | {threshold.warning:g} | {threshold.error:g} |"
        assert row in page, row


def test_names_of_clips_and_of_reports_agree(humanoid):
    names = [lint(source, humanoid).name for source in list_motions(["walk", "kick"], humanoid)]
    assert names == ["walk", "kick"]
    assert set(names) <= set(motion_names(FOLDER))
    assert isinstance(shipped("walk"), Clip)
