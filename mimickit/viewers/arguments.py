"""The `key=value` arguments that all viewing scripts share, and what they ask for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from rich.console import Console
from rich.progress import track

from mimickit.characters import Character
from mimickit.errors import ConfigError
from mimickit.viewers.present import present
from mimickit.viewers.viewer import Frame, has_display

# out: the film; null for none. html: a page as well; true puts it beside the film. window: auto
# opens one where there is a display. size: of the film, in pixels.
DRAWING: Mapping[str, Any] = {"out": "", "html": False, "window": "auto", "size": "854x480"}


def split_arguments(arguments: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """A script's own arguments (and its flags), and overrides of the run's config."""
    mine = [a for a in arguments if a.startswith("-") or a.partition("=")[0] in own]
    return mine, [a for a in arguments if a not in mine]


def draw(
    character: Character,
    frames: Iterable[Frame],
    fps: float,
    values: Mapping[str, Any],
    default_film: Path,
    count: int,
) -> list[Path]:
    """Show a recording as the arguments ask, with a progress bar; returns the files written.

    Args:
        frames: one per control step. fps: frames per second. count: how many at most.
        values: of the arguments in `DRAWING`.
        default_film: where the film goes unless `out` says otherwise.

    Raises:
        ConfigError: an argument has a value that cannot work. MimicKitError: see the viewers.
    """
    film = _file(values["out"], default_film, "out")
    beside = (film or default_film).with_suffix(".html")
    page = None if values["html"] is False else _file(values["html"], beside, "html")
    window = _window(values["window"])
    if film is None and page is None and not window:
        raise ConfigError("out=null and no html=true or window=true: nothing would be drawn")
    size = _size(values["size"])
    shown = _with_progress(frames, count)
    present(character, shown, fps, film=film, page=page, window=window, size=size)
    return [path for path in (film, page) if path is not None]


def positive(values: Mapping[str, Any], name: str) -> float:
    """The value of an argument that must be a number above zero.

    Raises:
        ConfigError: it is not.
    """
    value = number(values, name)
    if value <= 0:
        raise ConfigError(f"{name} must be above 0, got {values[name]}")
    return value


def number(values: Mapping[str, Any], name: str) -> float:
    """The value of an argument that must be a finite number.

    Raises:
        ConfigError: it is not.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a number, got {value}")
    return float(value)


def _with_progress(frames: Iterable[Frame], count: int) -> Iterator[Frame]:
    console = Console(stderr=True)
    yield from track(
        frames,
        description="drawing",
        total=count,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _file(value: Any, default: Path, name: str) -> Optional[Path]:
    if value is None:
        return None
    if value is True or value == "":
        return default
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a file, got {value}")
    return Path(value).expanduser()


def _window(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value == "auto":
        return has_display()
    raise ConfigError(f"window must be auto, true or false, got {value}")


def _size(value: Any) -> tuple[int, int]:
    width, by, height = str(value).partition("x")
    if not (by and width.isdigit() and height.isdigit()):
        raise ConfigError(f"size must be WIDTHxHEIGHT in pixels, as 854x480, got {value}")
    return int(width), int(height)
