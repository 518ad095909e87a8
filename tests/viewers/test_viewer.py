"""A recording goes to every viewer; what cannot be drawn is refused before it is simulated."""

from __future__ import annotations

import pytest
import torch

from mimickit.errors import ConfigError, EngineError, MimicKitError
from mimickit.viewers import Frame, moved, play, present
from mimickit.viewers.arguments import DRAWING, draw, number, positive, split_arguments
from mimickit.viewers.present import Viewers


class Recorder:
    """A viewer that remembers; it closes its window after `patience` frames."""

    def __init__(self, patience=100, fails=False):
        self.shown, self.ended, self.patience, self.fails = [], [], patience, fails

    @property
    def running(self):
        return len(self.shown) < self.patience

    def show(self, state, reference=None, text="", markers=()):
        self.shown.append(text)

    def close(self):
        if self.fails:
            raise OSError("disk full")
        self.ended.append("close")

    def discard(self):
        self.ended.append("discard")


def frames(state, count=3):
    return [Frame(state, text=str(i)) for i in range(count)]


def untouched():
    raise AssertionError("a frame was asked for")
    yield


def test_recording_is_shown_in_order_then_closed(standing):
    viewer = Recorder()
    play(frames(standing), viewer)
    assert (viewer.shown, viewer.ended) == (["0", "1", "2"], ["close"])


def test_closed_window_ends_the_recording(standing):
    viewer = Recorder(patience=2)
    play(frames(standing, 10), viewer)
    assert (viewer.shown, viewer.ended) == (["0", "1"], ["close"])


def test_interrupted_recording_is_discarded(standing):
    def interrupted():
        yield Frame(standing)
        raise KeyboardInterrupt

    viewer = Recorder()
    with pytest.raises(KeyboardInterrupt):
        play(interrupted(), viewer)
    assert viewer.ended == ["discard"]


def test_viewer_that_fails_to_close_has_the_others_discarded(standing):
    before, broken, after = Recorder(), Recorder(fails=True), Recorder()
    with pytest.raises(OSError, match="disk full"):
        play(frames(standing), Viewers([before, broken, after]))
    assert (before.ended, after.ended) == (["close"], ["discard"])
    assert after.shown == ["0", "1", "2"]


def test_moved_state_shifts_root_and_bodies_and_leaves_the_original(standing):
    height = standing.root_pos[0, 2].item()
    shifted = moved(standing, (1.0, -2.0, 0.5))
    torch.testing.assert_close(shifted.root_pos, torch.tensor([[1.0, -2.0, 0.5 + height]]))
    step = shifted.body_pos - standing.body_pos
    torch.testing.assert_close(step, torch.tensor([1.0, -2.0, 0.5]).expand(1, 15, 3))
    assert standing.root_pos[0, 0] == 0.0


def test_files_are_checked_before_the_first_frame_is_asked_for(humanoid, tmp_path):
    with pytest.raises(MimicKitError):
        present(humanoid, untouched(), 30.0, page=tmp_path / "page.pdf")


def test_window_needs_a_display(humanoid, monkeypatch, tmp_path):
    monkeypatch.setattr("platform.system", lambda: "Linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EngineError, match="no display to open a window on"):
        present(humanoid, untouched(), 30.0, window=True, film=tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_arguments_are_told_from_overrides():
    own, overrides = split_arguments(
        ["motion=walk", "out=a.mp4", "--help", "character=humanoid", "html=true"], DRAWING
    )
    assert own == ["out=a.mp4", "--help", "html=true"]
    assert overrides == ["motion=walk", "character=humanoid"]


def test_page_lies_beside_the_film_unless_it_is_named(humanoid, standing, tmp_path):
    pytest.importorskip("viser")
    film = tmp_path / "walk.mp4"
    values = {**DRAWING, "out": None, "window": False}
    assert draw(humanoid, frames(standing), 30.0, {**values, "html": True}, film, 3) == [
        tmp_path / "walk.html"
    ]
    other = str(tmp_path / "other.html")
    draw(humanoid, frames(standing), 30.0, {**values, "html": other}, film, 3)
    assert {path.name for path in tmp_path.iterdir()} == {"walk.html", "other.html"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"out": None}, "nothing would be drawn"),
        ({"out": 3}, "out must be a file, got 3"),
        ({"window": "maybe"}, "window must be auto, true or false, got maybe"),
        ({"size": "big"}, "size must be WIDTHxHEIGHT in pixels, as 854x480, got big"),
    ],
)
def test_argument_that_cannot_work_is_refused(humanoid, tmp_path, typed, message):
    values = {**DRAWING, "window": False, **typed}
    with pytest.raises(ConfigError, match=message):
        draw(humanoid, untouched(), 30.0, values, tmp_path / "film.mp4", 1)


@pytest.mark.parametrize("value", [True, "fast", float("nan"), 0, -1.0])
def test_rate_must_be_a_number_above_zero(value):
    with pytest.raises(ConfigError, match="fps must be"):
        positive({"fps": value}, "fps")
    assert number({"beside": -1}, "beside") == -1.0
