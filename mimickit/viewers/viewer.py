"""What every viewer promises: draw characters, one control step after the other.

A recording is an iterable of `Frame`s, one per control step. Viewers take states of N characters,
side by side; most recordings have N = 1.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Union

from typing_extensions import Protocol

from mimickit.objects import Solid
from mimickit.state import CharacterState, Marker

Drawn = Union[Marker, Solid]  # besides characters


@dataclass(frozen=True)
class Frame:
    """What one control step looks like.

    Attributes:
        state: N characters, drawn opaque.
        reference: what they should be doing, drawn as translucent ghosts; None draws none.
        text: a line or more to show over the picture.
        markers: what else to draw, of a goal or of the world; as many in each frame of a
            recording.
    """

    state: CharacterState
    reference: Optional[CharacterState] = None
    text: str = ""
    markers: Sequence[Drawn] = ()


class Viewer(Protocol):
    """Draws frames into a file or a window."""

    @property
    def running(self) -> bool:
        """Whether there is still someone to draw for; false once a window was closed."""
        ...

    def show(
        self,
        state: CharacterState,
        reference: Optional[CharacterState] = None,
        text: str = "",
        markers: Sequence[Drawn] = (),
    ) -> None:
        """Draw one control step; see `Frame`."""
        ...

    def close(self) -> None:
        """Finish: a viewer that writes a file has written it when this returns."""
        ...

    def discard(self) -> None:
        """Stop without a result: a file that was there before is left as it was."""
        ...


def play(frames: Iterable[Frame], viewer: Viewer) -> None:
    """Show all frames, then close the viewer; an error or Ctrl-C on the way leaves no half file."""
    try:
        for frame in frames:
            if not viewer.running:
                break
            viewer.show(frame.state, frame.reference, frame.text, frame.markers)
    except BaseException:
        viewer.discard()
        raise
    viewer.close()


def moved(state: CharacterState, offset: tuple[float, float, float]) -> CharacterState:
    """The same characters elsewhere, by `offset` [m]: say, a ghost beside its character."""
    step = state.root_pos.new_tensor(offset)
    return replace(state, root_pos=state.root_pos + step, body_pos=state.body_pos + step)


def has_display() -> bool:
    """Whether a window can be opened here."""
    if platform.system() != "Linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
