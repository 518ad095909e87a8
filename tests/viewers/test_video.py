"""Films are H.264 of the asked size and length, and appear only when they are whole."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from mimickit.errors import ConfigError, EngineError, RunError
from mimickit.viewers import Frame, moved, play
from mimickit.viewers.camera import FollowCamera
from mimickit.viewers.scene import Scene
from mimickit.viewers.video import OffscreenRenderer, VideoViewer

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
SMALL = (64, 48)


@pytest.fixture
def draw(humanoid, opengl):
    """A function that draws one picture, [48, 64, 3]."""
    scene = Scene(humanoid)
    scene.model.vis.quality.shadowsize = 256
    renderer = OffscreenRenderer(scene, SMALL)
    camera = FollowCamera(humanoid.default_height)

    def draw(state, reference=None, text=""):
        camera.follow(scene.place(state, reference))
        return renderer.draw(camera, text).astype(int)

    yield draw
    renderer.close()


def test_film_has_every_frame_at_the_asked_rate_and_size(humanoid, standing, opengl, tmp_path):
    path = tmp_path / "new" / "film.mp4"
    play([Frame(standing)] * 6, VideoViewer(humanoid, path, fps=30.0, size=SMALL))
    film = imageio_ffmpeg.read_frames(str(path))
    facts = next(film)
    assert facts["codec"] == "h264"
    assert facts["pix_fmt"].startswith("yuv420p")
    assert (facts["fps"], facts["size"]) == (30.0, SMALL)
    assert sum(1 for _ in film) == 6
    assert [file.name for file in path.parent.iterdir()] == ["film.mp4"]


def test_character_stands_in_the_middle_above_the_floor(draw, standing):
    away = moved(standing, (0.0, 0.0, -50.0))
    differs = np.abs(draw(standing) - draw(away)).sum(-1) > 60
    rows, columns = np.nonzero(differs)
    assert 20 < columns.mean() < 44
    assert rows.min() < 16
    assert rows.max() > 32


def test_ghost_is_drawn_in_blue_beside_the_character(draw, standing):
    alone = draw(standing)
    both = draw(standing, moved(standing, (0.6, 0.6, 0.0)))
    changed = np.abs(both - alone).sum(-1) > 30
    assert changed.sum() > 20
    red, blue = (both - alone)[changed][:, 0].mean(), (both - alone)[changed][:, 2].mean()
    assert blue > red + 20


def test_ghost_of_a_tracking_character_does_not_show(draw, standing):
    assert np.abs(draw(standing) - draw(standing, standing)).sum(-1).max() < 30


def test_text_is_drawn_in_the_upper_left_corner(draw, standing):
    changed = np.abs(draw(standing, text="walk") - draw(standing)).sum(-1) > 0
    assert changed[:16, :16].any()
    assert not changed[32:].any()


def test_discarded_film_leaves_the_older_one_untouched(humanoid, standing, opengl, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"older")

    def broken():
        yield Frame(standing)
        raise ValueError("the simulation broke")

    with pytest.raises(ValueError, match="broke"):
        play(broken(), VideoViewer(humanoid, path, fps=30.0, size=SMALL))
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("film.avi", SMALL, r"must end in \.mp4, got .*film\.avi"),
        ("film.mp4", (63, 48), "width and height must be even, got 63x48"),
        ("file/film.mp4", SMALL, r"folder .*file cannot be made for film\.mp4"),
        ("folder.mp4", SMALL, r"folder\.mp4 is a folder"),
    ],
)
def test_film_that_cannot_be_written_is_refused(humanoid, tmp_path, name, size, message):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises((ConfigError, RunError), match=message):
        VideoViewer(humanoid, tmp_path / name, fps=30.0, size=size)


def test_missing_extra_is_named(humanoid, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"imageio_ffmpeg, which is not.*'\.\[viewer\]'"):
        VideoViewer(humanoid, tmp_path / "film.mp4", fps=30.0)


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")
def test_missing_opengl_names_the_system_packages(humanoid, tmp_path, monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco.egl", None)
    with pytest.raises(EngineError, match="libegl1 libgl1-mesa-dri libopengl0"):
        VideoViewer(humanoid, tmp_path / "film.mp4", fps=30.0)
    assert list(tmp_path.iterdir()) == []
