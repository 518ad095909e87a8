"""The importing script: from the command line to files that train."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mimickit.errors import MotionError
from mimickit.motions import load_clip
from mimickit.motions.importers import import_motion

ROOT = Path(__file__).resolve().parents[2]
WALK = str(ROOT / "motions" / "humanoid" / "walk.npz")
specification = importlib.util.spec_from_file_location(
    "import_motion", ROOT / "scripts" / "import_motion.py"
)
script = importlib.util.module_from_spec(specification)
specification.loader.exec_module(script)


def run(capsys, *arguments):
    """What the script prints, by lines."""
    script.main([*map(str, arguments), "--character", "humanoid"])
    return capsys.readouterr().out.splitlines()


def test_a_file_goes_out_and_comes_back(tmp_path, capsys, humanoid):
    lines = run(capsys, WALK, "--export", "mimickit", "--output", tmp_path)
    assert "format clip (this package's own clip)" in lines[0]
    assert lines[-1] == str(tmp_path / "walk.pkl")
    lines = run(capsys, lines[-1], "--output", tmp_path, "--licence", "MIT", "--name", "mine")
    assert "format mimickit (a pickle with loop_mode, fps, frames)" in lines[0]
    assert "mine: 39 frames at 30 Hz, 1.27 s, loops" in lines[1]
    clip = load_clip(tmp_path / "mine.npz")
    assert clip.provenance["licence"] == "MIT"
    assert clip.joint_rot_for(humanoid).shape == (39, 14, 4)


def test_clips_are_brought_to_another_rate(tmp_path, capsys):
    run(capsys, WALK, "--resample", 60, "--output", tmp_path)
    clip = load_clip(tmp_path / "walk.npz")
    assert (clip.fps, clip.num_frames) == (pytest.approx(60.0), 77)


def unfriendly(*arguments):
    """Run the script without the last resort that makes errors one line and an exit code."""
    script.main.__wrapped__([*map(str, arguments), "--character", "humanoid"])


def test_a_file_is_replaced_only_when_told_to(tmp_path, capsys):
    run(capsys, WALK, "--output", tmp_path)
    with pytest.raises(MotionError, match=r"walk\.npz exists; replace it with --overwrite"):
        unfriendly(WALK, "--output", tmp_path)
    run(capsys, WALK, "--output", tmp_path, "--overwrite")


def test_two_clips_of_one_name_are_not_written_over_each_other(tmp_path):
    with pytest.raises(MotionError, match="several clips are named walk"):
        unfriendly(WALK, WALK, "--output", tmp_path)
    with pytest.raises(MotionError, match="--name names one clip, and there are 2 files"):
        unfriendly(WALK, WALK, "--name", "x", "--output", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_from_inside_a_file_stay_in_the_folder(humanoid):
    from dataclasses import replace

    (imported,) = import_motion(WALK, humanoid)
    clips = [replace(imported.clip, name=name) for name in ("../../etc/x", "a b", "..")]
    assert [clip.name for clip in script.named_for_files(clips)] == ["_.._etc_x", "a_b", "clip"]


def test_a_character_that_does_not_exist_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([WALK, "--character", "humanoids", "--output", str(tmp_path)])
    assert "humanoid" in capsys.readouterr().err
