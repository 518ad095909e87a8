"""The viewing scripts show what they were asked to, from the command line to the file."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path

import pytest
import torch

from mimickit.errors import UnknownJoint
from mimickit.motions.catalog import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.objects import SceneObjects, read_objects
from mimickit.state import Done, ObjectState, Step
from mimickit.viewers import moved

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("mujoco")


def script(name):
    """A script as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


view_motion, dof_test, play = script("view_motion"), script("dof_test"), script("play")


@pytest.fixture
def library(humanoid):
    """A clip that loops and one that does not."""
    return MotionLibrary(humanoid, resolve_motions(["walk", "kick"], humanoid))


def test_looping_clips_go_round_until_the_time_is_up_and_others_play_once(library):
    walk, kick = library.durations.tolist()
    cycles = math.ceil(5.0 / walk)
    # One frame at the start and one every 1/30 s.
    assert view_motion.num_frames(library, 0, 5.0, 30.0) == int(cycles * walk * 30 + 1e-3) + 1
    assert view_motion.num_frames(library, 1, 5.0, 30.0) == int(kick * 30 + 1e-3) + 1


def test_recording_shows_each_clip_at_the_asked_rate(library):
    shown = list(view_motion.recording(library, 5.0, 10.0))
    walked = view_motion.num_frames(library, 0, 5.0, 10.0)
    assert len(shown) == walked + view_motion.num_frames(library, 1, 5.0, 10.0)
    expected = library.lookup(torch.tensor([0]), torch.tensor([2.0]))
    torch.testing.assert_close(shown[20].state.body_pos, expected.body_pos)
    assert shown[0].text.startswith("walk\n0.00 s of")
    assert "cycle 2" in shown[20].text
    assert shown[-1].text.startswith("kick\n")


def test_loop_goes_on_where_it_ended(library):
    shown = list(view_motion.recording(library, 5.0, 30.0))
    walked = view_motion.num_frames(library, 0, 5.0, 30.0)
    roots = torch.cat([frame.state.root_pos for frame in shown[:walked]])
    assert roots[-1, 0] > 3.0
    assert (roots[1:] - roots[:-1]).norm(dim=-1).max() < 0.1


def test_swing_visits_rest_highest_lowest_and_rest():
    swing = [dof_test.swing(phase, 0.5, -1.0, 2.0) for phase in (0.0, 0.25, 0.5, 0.75)]
    # Up by sin(90 deg) * (2 - 0.5), down by sin(270 deg) * (0.5 + 1).
    assert swing == pytest.approx([0.5, 2.0, 0.5, -1.0])


def test_every_degree_of_freedom_moves_alone(humanoid):
    shown = list(dof_test.recording(humanoid, humanoid.movable_joints, steps=4))
    assert len(shown) == 4 * humanoid.num_dofs
    ghost = shown[0].reference
    for frame in shown:
        torch.testing.assert_close(frame.state.root_pos, ghost.root_pos)
        turned = (frame.state.joint_rot - ghost.joint_rot).abs().amax(-1)[0] > 1e-6
        assert turned.sum() <= 1


def test_unknown_joint_names_the_closest(humanoid):
    with pytest.raises(UnknownJoint, match=r"no movable joint 'right_kne'.*Closest: right_knee"):
        dof_test.chosen_joints(humanoid, ["right_kne"])
    assert [j.name for j in dof_test.chosen_joints(humanoid, "neck")] == ["neck"]


class FallingRun:
    """A run whose only env follows `walk` for `steps` steps, then falls."""

    def __init__(self, library, steps):
        self.env = self.policy = self.task = self
        self.tracked, self.clip_names, self.dt = True, library.names, 0.1
        self.clips = torch.tensor([0])
        ball = {"name": "ball", "shape": "sphere", "size": 0.1, "mass": 1.0, "pos": [1, 2, 3]}
        wall = {"name": "wall", "shape": "box", "size": [1, 1, 1], "pos": [5, 0, 1]}
        self.objects = SceneObjects(read_objects([ball, wall]), ObjectState.zeros(1, 1, 15))
        self._library, self._last, self._step = library, steps, 0

    @property
    def reference(self):
        return self._library.lookup(self.clips, torch.tensor([self._step * self.dt]))

    @property
    def state(self):
        return moved(self.reference, (0.0, 0.0, -0.25))

    def figures(self, state):
        return {}

    def markers(self, state):
        return []

    def reset_all(self):
        self._step = 0

    def observe(self):
        return {}

    def act_deterministic(self, obs):
        assert not torch.is_grad_enabled()
        return torch.zeros(1, 1)

    def step(self, action):
        self._step += 1
        self.objects.state.pos[0, 0, 2] = float(self._step)
        done = Done.FAIL if self._step == self._last else Done.NULL
        return Step(reward={}, done=torch.tensor([int(done)]), info={})


def test_play_shows_episodes_to_their_end_with_the_reference_beside(library):
    run = FallingRun(library, steps=3)
    shown = list(play.recording(run, episodes=2, beside=1.5))
    assert len(shown) == 6
    assert [frame.markers[0].pos[0].tolist() for frame in shown[:3]] == [
        [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0],
    ]  # fmt: skip
    assert shown[0].markers[1].pos.tolist() == [[5.0, 0.0, 1.0]]
    # Only the root is off, by 0.25 m: 0.25 / 15 bodies.
    assert shown[0].text == "walk\n0.10 s, position error 0.017 m"
    assert [frame.text.endswith("failed") for frame in shown] == [False, False, True] * 2
    # The ghost stands 1.5 m to the left and where the clip is, 0.25 m above the character.
    step = shown[1].reference.body_pos - shown[1].state.body_pos
    torch.testing.assert_close(step, torch.tensor([0.0, 1.5, 0.25]).expand(1, 15, 3))
    torch.testing.assert_close(shown[3].state.root_pos, shown[0].state.root_pos)


def run_script(module, monkeypatch, tmp_path, *arguments):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.argv", ["script.py", *arguments])
    module.main()


def test_view_motion_writes_a_page_and_says_where(monkeypatch, tmp_path, capsys):
    pytest.importorskip("viser")
    run_script(view_motion, monkeypatch, tmp_path, "motion=backflip", "out=null", "html=true")
    page = Path("outputs", "view", "humanoid", "backflip.html")
    assert capsys.readouterr().out.splitlines() == [str(page)]
    assert (tmp_path / page).stat().st_size > 100_000


def test_dof_test_writes_a_page(monkeypatch, tmp_path):
    pytest.importorskip("viser")
    page = tmp_path / "knee.html"
    arguments = ("joints=[right_knee]", "seconds=0.2", "out=null", f"html={page}")
    run_script(dof_test, monkeypatch, tmp_path, *arguments)
    assert page.stat().st_size > 100_000


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("motion=backfip", "no motion 'backfip'.*Closest: backflip"),
        ("character=humanoit", "no character 'humanoit'.*Closest: humanoid"),
        ("seconds=0", "seconds must be above 0, got 0"),
        ("out=film.gif", r"must end in \.mp4, got film\.gif"),
    ],
)
def test_mistyped_argument_is_one_line_and_nothing_is_written(
    monkeypatch, tmp_path, capsys, argument, message
):
    with pytest.raises(SystemExit) as exit_:
        run_script(view_motion, monkeypatch, tmp_path, argument)
    assert exit_.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert list(tmp_path.iterdir()) == []
