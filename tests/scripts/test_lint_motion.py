"""The linter as a program: what it prints, draws, and exits with."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from mimickit.motions import load_clip, save_clip
from mimickit.motions.catalog import MOTIONS, list_motions

contact_sheet = pytest.importorskip("mimickit.viewers.contact_sheet")
ROOT = Path(__file__).resolve().parents[2]
specification = importlib.util.spec_from_file_location(
    "lint_motion", ROOT / "scripts" / "lint_motion.py"
)
lint_motion = importlib.util.module_from_spec(specification)
specification.loader.exec_module(lint_motion)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that runs the program in an empty folder and returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["lint_motion.py", *arguments])
        return lint_motion.main()

    return run


def test_clean_clips_exit_with_0(run, capsys):
    assert run("motion=[walk,crawl]") == 0
    assert capsys.readouterr().out.endswith("2 clips: 0 with errors, 0 with warnings only\n")


def test_a_clip_with_an_error_exits_with_1(run, capsys):
    clip = load_clip(MOTIONS / "humanoid" / "jump.npz")
    save_clip(Path("fast.npz"), replace(clip, fps=120.0))
    assert run("motion=./") == 1
    assert "fast: error: gravity: in flight it falls" in capsys.readouterr().out


def test_what_cannot_be_read_exits_with_2(run, capsys):
    Path("walk.npz").write_bytes(b"PK truncated")
    assert run("motion=walk.npz") == 2
    assert "walk: error: file: walk.npz is truncated" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        run("motion=wlak")
    assert exit_.value.code == 2
    assert "error: character 'humanoid' has no motion 'wlak'" in capsys.readouterr().err


def test_a_strip_shows_a_clip_from_its_beginning_to_its_end(humanoid):
    (source,) = list_motions("kick", humanoid)
    frames = lint_motion.strip(source, humanoid, 3)
    clip = load_clip(MOTIONS / "humanoid" / "kick.npz")
    assert [frame.text for frame in frames] == ["kick\n0.00 s", "kick\n0.77 s", "kick\n1.53 s"]
    for frame, pos in zip(frames, clip.root_pos[[0, 23, 46]]):
        assert frame.state.root_pos[0].tolist() == pytest.approx(pos.tolist(), abs=1e-5)


def test_the_sheet_is_drawn_of_the_clips_that_are_shown(run, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(contact_sheet, "write_contact_sheet", lambda *a: drawn.append(a))
    assert run("motion=[walk,spin,kick]", "rows=2", "frames=4", "sheet=new/sheet.png") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "new/sheet.png"
    ((path, character, strips),) = drawn
    assert (path, character.name) == (Path("new/sheet.png"), "humanoid")
    assert [[frame.text.split("\n")[0] for frame in strip] for strip in strips] == [
        ["spin"] * 4,
        ["kick"] * 4,
    ]
