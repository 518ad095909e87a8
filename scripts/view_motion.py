"""Show motion clips: an mp4 film, a page for any browser, a window where there is a display.

Looping clips go round until at least `seconds` have passed, others play once. Arguments, with
their defaults: character=humanoid, motion=walk (or a list, a file, a data set), out=FILE.mp4 (in
outputs/view/), html=false (true, or a file), window=auto, seconds=5, fps=30, size=854x480.
Usage: python scripts/view_motion.py motion=backflip [html=true]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mimickit import launch
from mimickit.launch.arguments import read_arguments

if TYPE_CHECKING:
    from mimickit.motions.library import MotionLibrary
    from mimickit.viewers import Frame

OWN = {"seconds": 5.0, "fps": 30.0}


@launch.friendly_errors()
def main() -> None:
    """Show the clips that `motion` names, one after the other."""
    from mimickit.viewers.arguments import DRAWING, draw, positive, split_arguments

    own, overrides = split_arguments(sys.argv[1:], {*OWN, *DRAWING})
    values = read_arguments(own, {**OWN, **DRAWING}, str(__doc__))
    seconds, fps = positive(values, "seconds"), positive(values, "fps")

    from mimickit.motions.catalog import resolve_motions
    from mimickit.motions.library import MotionLibrary

    config = launch.check_config(launch.compose(overrides))
    character = launch.make(config.character)
    motion = launch.plain(config)["motion"]
    library = MotionLibrary(character, resolve_motions(motion, character))
    name = "_".join(library.names[:3]) + ("_etc" if len(library) > 3 else "")
    count = sum(num_frames(library, clip, seconds, fps) for clip in range(len(library)))
    frames = recording(library, seconds, fps)
    film = Path("outputs", "view", character.name, f"{name}.mp4")
    for path in draw(character, frames, fps, values, film, count):
        print(path)


def num_frames(library: MotionLibrary, clip: int, seconds: float, fps: float) -> int:
    """How many frames to show of one clip: all of it, or enough whole cycles."""
    duration = float(library.durations[clip])
    cycles = math.ceil(seconds / duration) if bool(library.loops[clip]) else 1
    return max(2, int(cycles * duration * fps + 1e-3) + 1)


def recording(library: MotionLibrary, seconds: float, fps: float) -> Iterator[Frame]:
    """The clips, one after the other."""
    import torch

    from mimickit.viewers import Frame

    for clip, name in enumerate(library.names):
        count = num_frames(library, clip, seconds, fps)
        times = torch.arange(count) / fps
        states = library.lookup(torch.full((count,), clip), times)
        duration = float(library.durations[clip])
        loops = bool(library.loops[clip])
        for number in range(count):
            cycle, time = divmod(float(times[number]), duration) if loops else (0.0, number / fps)
            text = f"{name}\n{time:.2f} s of {duration:.2f} s"
            text += f", cycle {cycle + 1:.0f}" if loops else ""
            yield Frame(states[number : number + 1], text=text)


if __name__ == "__main__":
    main()
