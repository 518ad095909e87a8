"""Writes an mp4 of what it is shown; needs no display."""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Optional

import mujoco
import numpy as np

from mimickit.characters import Character
from mimickit.errors import ConfigError, EngineError, RunError
from mimickit.state import CharacterState
from mimickit.viewers.camera import FollowCamera
from mimickit.viewers.files import prepare_output
from mimickit.viewers.markers import add_markers
from mimickit.viewers.scene import Scene
from mimickit.viewers.viewer import Drawn

SIZE = (854, 480)  # pixels, as MimicKit f8d0d70


class VideoViewer:
    """Draws off screen and compresses to H.264; see `mimickit.viewers.viewer.Viewer`.

    Attributes:
        path: the film. It appears, or replaces an older one, when the viewer is closed.
    """

    running = True

    def __init__(
        self,
        character: Character,
        path: Path,
        fps: float,
        count: int = 1,
        size: tuple[int, int] = SIZE,
    ) -> None:
        """Check everything that can go wrong before the first frame.

        Args:
            character: what is drawn. path: ends in .mp4; missing folders are made.
            fps: frames per second: the control rate plays in real time.
            count: characters side by side.
            size: width and height [pixels], both even.

        Raises:
            ConfigError: a size that H.264 cannot have, or a file that is not an mp4.
            EngineError: OpenGL does not start. RunError: the extra `viewer` is not installed, or
            the folder cannot be written.
        """
        _check_size(size)
        prepare_output(path, ".mp4", "imageio_ffmpeg")
        self.path = path
        self._fps = fps
        self._size = size
        self._scene = Scene(character, count)
        self._camera = FollowCamera(character.default_height, self._scene.width)
        _check_ffmpeg()
        self._renderer = OffscreenRenderer(self._scene, size)
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        self._film: Optional[Generator[None, Any, None]] = None

    def show(
        self,
        state: CharacterState,
        reference: Optional[CharacterState] = None,
        text: str = "",
        markers: Sequence[Drawn] = (),
    ) -> None:
        """Add one frame to the film."""
        roots = self._scene.place(state, reference)
        self._camera.follow(roots, 1.0 / self._fps)
        picture = self._renderer.draw(self._camera, text, markers)
        try:
            if self._film is None:
                self._film = _start_film(self._partial, self._size, self._fps)
            self._film.send(picture)
        except OSError as error:
            reason = " ".join(str(error).split())
            raise RunError(f"the film {self.path} could not be written: {reason}") from None

    def close(self) -> None:
        """Finish the film and put it in its place, if anything was shown."""
        self._stop()
        if self._partial.exists():
            os.replace(self._partial, self.path)

    def discard(self) -> None:
        """Stop and delete the unfinished film."""
        self._stop()
        if self._partial.exists():
            self._partial.unlink()

    def _stop(self) -> None:
        if self._film is not None:
            self._film.close()
            self._film = None
        self._renderer.close()


class OffscreenRenderer:
    """Draws a scene into an array, with MuJoCo's own renderer in a window that nobody sees."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self._scene = scene
        self._size = size
        model = scene.model
        model.vis.global_.offwidth, model.vis.global_.offheight = size
        self._gl: Any = _gl_context(size)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._drawing = mujoco.MjvScene(model, maxgeom=model.ngeom + 100)
        self._view = mujoco.MjvCamera()
        self._viewport = mujoco.MjrRect(0, 0, *size)

    def draw(
        self, camera: FollowCamera, text: str = "", markers: Sequence[Drawn] = ()
    ) -> np.ndarray:
        """The picture, [height, width, 3] uint8, with text in its upper left corner."""
        self._gl.make_current()
        aim(self._view, camera)
        scene = self._scene
        mujoco.mjv_updateScene(
            scene.model, scene.data, scene.option, None, self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value, self._drawing,
        )  # fmt: skip
        add_markers(self._drawing, markers, scene.offsets)
        mujoco.mjr_render(self._viewport, self._drawing, self._context)
        if text:
            mujoco.mjr_overlay(
                mujoco.mjtFont.mjFONT_NORMAL.value,
                mujoco.mjtGridPos.mjGRID_TOPLEFT.value,
                self._viewport, text, "", self._context,
            )  # fmt: skip
        picture = np.empty((self._size[1], self._size[0], 3), dtype=np.uint8)
        mujoco.mjr_readPixels(picture, None, self._viewport, self._context)
        return np.ascontiguousarray(picture[::-1])

    def close(self) -> None:
        """Free the graphics memory; nothing happens the second time."""
        if self._gl is not None:
            self._gl.make_current()
            self._context.free()
            self._gl.free()
            self._gl = None


def aim(view: mujoco.MjvCamera, camera: FollowCamera) -> None:
    """Point MuJoCo's free camera where the follow camera looks."""
    x, y, z = -camera.offset
    view.type = mujoco.mjtCamera.mjCAMERA_FREE.value
    view.lookat[:] = camera.look_at
    view.distance = camera.distance
    view.azimuth = np.degrees(np.arctan2(y, x))
    view.elevation = np.degrees(np.arctan2(z, np.hypot(x, y)))


def _gl_context(size: tuple[int, int]) -> Any:
    """An OpenGL context: EGL on Linux, which needs no display, unless MUJOCO_GL names another."""
    backend = os.environ.get("MUJOCO_GL", "")
    try:
        if platform.system() == "Linux" and backend in ("", "egl"):
            # Not by way of MUJOCO_GL, which MuJoCo reads once, when it is first imported.
            from mujoco.egl import GLContext
        else:
            from mujoco.gl_context import GLContext
        context = GLContext(*size)
        context.make_current()
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(
            f"OpenGL does not start, so no film can be drawn ({backend or 'egl'}: {reason}). On "
            "Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri libopengl0; another "
            "backend: MUJOCO_GL=osmesa or glfw"
        ) from None
    return context


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width < 2 or height < 2 or width % 2 or height % 2:
        raise ConfigError(f"a film's width and height must be even, got {width}x{height}")


def _check_ffmpeg() -> None:
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise RunError(
            "films need the program ffmpeg, which is not there: reinstall imageio-ffmpeg, which "
            "brings one, or name yours in IMAGEIO_FFMPEG_EXE"
        ) from None


def _start_film(path: Path, size: tuple[int, int], fps: float) -> Generator[None, Any, None]:
    """A generator that compresses the pictures sent to it."""
    import imageio_ffmpeg

    film = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=fps,  # pyright: ignore[reportArgumentType]  # ffmpeg takes any rate
        codec="libx264",
        quality=None,  # pyright: ignore[reportArgumentType]  # -crf decides
        macro_block_size=2,
        output_params=["-crf", "20", "-movflags", "+faststart"],
    )
    film.send(None)
    return film
