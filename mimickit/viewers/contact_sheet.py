"""Draws many frames side by side into one PNG; needs no display."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mimickit.characters import Character
from mimickit.errors import RunError
from mimickit.viewers.camera import FollowCamera
from mimickit.viewers.files import prepare_output
from mimickit.viewers.scene import Scene
from mimickit.viewers.video import OffscreenRenderer
from mimickit.viewers.viewer import Frame

SIZE = (320, 240)  # pixels of one picture
COLUMNS = 6
BLANK = 255  # grey level where a row ends early


def write_contact_sheet(
    path: Path,
    character: Character,
    strips: Sequence[Sequence[Frame]],
    columns: int = COLUMNS,
    size: tuple[int, int] = SIZE,
) -> None:
    """Draw strips of frames below each other, each on rows of its own.

    Args:
        path: ends in .png; missing folders are made.
        strips: e.g. one per clip; the camera follows every frame anew.
        columns: pictures in a row. size: of a picture: width and height [pixels].

    Raises:
        ConfigError: a file that is not a png. EngineError: OpenGL does not start. RunError: the
        extra `viewer` is not installed, or the file cannot be written.
    """
    prepare_output(path, ".png", "imageio")
    import imageio.v3 as imageio

    scene = Scene(character)
    renderer = OffscreenRenderer(scene, size)
    camera = FollowCamera(character.default_height)

    def drawn(frame: Frame) -> np.ndarray:
        camera.follow(scene.place(frame.state, frame.reference))
        return renderer.draw(camera, frame.text)

    try:
        rows = [
            _row([drawn(frame) for frame in strip[first : first + columns]], columns)
            for strip in strips
            for first in range(0, len(strip), columns)
        ]
    finally:
        renderer.close()
    partial = path.with_name(f".{path.stem}.partial.png")
    try:
        imageio.imwrite(partial, np.concatenate(rows))
        os.replace(partial, path)
    except OSError as error:
        raise RunError(f"the picture {path} could not be written: {error}") from None


def _row(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    blank = [np.full_like(pictures[0], BLANK)] * (columns - len(pictures))
    return np.concatenate([*pictures, *blank], axis=1)
