"""Draws into MuJoCo's interactive viewer, at the speed of life; needs a display."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Optional

import mujoco
import mujoco.viewer

from mimickit.characters import Character
from mimickit.errors import EngineError
from mimickit.state import CharacterState
from mimickit.viewers.camera import FollowCamera
from mimickit.viewers.markers import add_markers
from mimickit.viewers.scene import Scene
from mimickit.viewers.video import aim
from mimickit.viewers.viewer import Drawn, has_display


class WindowViewer:
    """A window that the mouse turns, moves and zooms in; see `mimickit.viewers.viewer.Viewer`."""

    def __init__(self, character: Character, fps: float, count: int = 1) -> None:
        """Open the window.

        Args:
            character: what is drawn. fps: frames per second: the control rate plays in real time.
            count: characters side by side.

        Raises:
            EngineError: there is no display, or no window can be opened on it.
        """
        if not has_display():
            raise EngineError(
                "there is no display to open a window on (DISPLAY is not set); films and pages "
                "need none"
            )
        self._dt = 1.0 / fps
        self._scene = Scene(character, count)
        self._camera = FollowCamera(character.default_height, self._scene.width)
        self._due: Optional[float] = None
        try:
            self._window = mujoco.viewer.launch_passive(
                self._scene.model, self._scene.data, show_left_ui=False, show_right_ui=False
            )
        except (RuntimeError, mujoco.FatalError) as error:
            raise EngineError(f"MuJoCo's viewer does not open: {error}") from None
        with self._window.lock():
            aim(self._window.cam, self._camera)

    @property
    def running(self) -> bool:
        """False once the window was closed."""
        return self._window.is_running()

    def show(
        self,
        state: CharacterState,
        reference: Optional[CharacterState] = None,
        text: str = "",
        markers: Sequence[Drawn] = (),
    ) -> None:
        """Draw, and wait until this step's time is over."""
        before = self._camera.look_at.copy()
        roots = self._scene.place(state, reference)
        moved = self._camera.follow(roots, self._dt) - before
        with self._window.lock():
            self._window.cam.lookat[:] += moved  # from wherever the mouse has put it
            drawing = self._window.user_scn
            assert drawing is not None, "launch_passive was given a model"
            drawing.ngeom = 0
            add_markers(drawing, markers, self._scene.offsets)
            self._window.opt.geomgroup[:] = self._scene.option.geomgroup
        if text:
            self._window.set_texts((None, None, text, ""))
        self._window.sync()
        now = time.monotonic()
        # A step late is not made up for: the picture would only rush.
        self._due = now if self._due is None else max(self._due, now - self._dt)
        self._due += self._dt
        time.sleep(max(0.0, self._due - now))

    def close(self) -> None:
        """Close the window."""
        self._window.close()

    def discard(self) -> None:
        """Close the window."""
        self.close()
