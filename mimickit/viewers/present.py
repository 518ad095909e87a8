"""Shows one recording wherever it was asked for: a film, a page, a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Optional

from mimickit.characters import Character
from mimickit.state import CharacterState
from mimickit.viewers.viewer import Drawn, Frame, Viewer, play


def present(
    character: Character,
    frames: Iterable[Frame],
    fps: float,
    *,
    film: Optional[Path] = None,
    page: Optional[Path] = None,
    window: bool = False,
    size: Optional[tuple[int, int]] = None,
) -> None:
    """Draw a recording of one character.

    Everything is opened before the first frame is asked for, so what cannot be written is refused
    before it is simulated.

    Args:
        frames: one per control step; each is taken once.
        fps: frames per second.
        film: mp4 to write. page: HTML to write. window: then also show it, over and over, until
            the window is closed.
        size: of the film: width and height [pixels]; None is 854 x 480.

    Raises:
        MimicKitError: see the viewers.
    """
    viewers: list[Viewer] = []
    kept: list[Frame] = []
    screen: Optional[Viewer] = None
    try:
        # Imported here, so that nobody needs what he does not draw with.
        if window:
            from mimickit.viewers.window import WindowViewer

            screen = WindowViewer(character, fps)
        if film is not None:
            from mimickit.viewers.video import SIZE, VideoViewer

            viewers.append(VideoViewer(character, film, fps, size=size or SIZE))
        if page is not None:
            from mimickit.viewers.web import WebViewer

            viewers.append(WebViewer(character, page, fps))
    except BaseException:
        Viewers(viewers if screen is None else [*viewers, screen]).discard()
        raise
    play(_keep(frames, kept) if window else frames, Viewers(viewers))
    if screen is not None:
        play(_again_and_again(kept), screen)


class Viewers:
    """Several viewers that see the same; see `Viewer`."""

    def __init__(self, viewers: Sequence[Viewer]) -> None:
        self._viewers = list(viewers)

    @property
    def running(self) -> bool:
        """Whether any of them goes on; true when there are none."""
        return not self._viewers or any(viewer.running for viewer in self._viewers)

    def show(
        self,
        state: CharacterState,
        reference: Optional[CharacterState] = None,
        text: str = "",
        markers: Sequence[Drawn] = (),
    ) -> None:
        """Draw in each."""
        for viewer in self._viewers:
            viewer.show(state, reference, text, markers)

    def close(self) -> None:
        """Close each; if one fails, the others after it leave no result."""
        while self._viewers:
            viewer = self._viewers.pop(0)
            try:
                viewer.close()
            except BaseException:
                self.discard()
                raise

    def discard(self) -> None:
        """Discard each."""
        while self._viewers:
            self._viewers.pop(0).discard()


def _keep(frames: Iterable[Frame], kept: list[Frame]) -> Iterator[Frame]:
    for frame in frames:
        kept.append(frame)
        yield frame


def _again_and_again(frames: Sequence[Frame]) -> Iterator[Frame]:
    while frames:
        yield from frames
