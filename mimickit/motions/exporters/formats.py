"""Every format that clips can be written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mimickit.characters import Character
from mimickit.errors import MotionError, UnknownName, unknown_name_message
from mimickit.motions.clip import Clip
from mimickit.motions.exporters.any4hdmi import write_any4hdmi
from mimickit.motions.exporters.gmr import write_gmr
from mimickit.motions.exporters.mimickit import write_mimickit
from mimickit.motions.exporters.robot_csv import write_csv

# Formats of one file per clip: its ending and its writer. `any4hdmi` is a folder.
_FILES: dict[str, tuple[str, Callable[[Path, Clip, Character], None]]] = {
    "mimickit": (".pkl", write_mimickit),
    "gmr": (".pkl", write_gmr),
    "csv": (".csv", write_csv),
}
EXPORTS = (*_FILES, "any4hdmi")


def export_clips(
    folder: Path,
    clips: Sequence[Clip],
    character: Character,
    format_name: str,
    overwrite: bool = False,
) -> list[Path]:
    """Write clips of a character into a folder, and say what was written.

    Raises:
        UnknownName: there is no such format. MotionError: a clip is not the character's, the format
            cannot hold it, or its file exists and `overwrite` is not set.
    """
    if format_name not in EXPORTS:
        raise UnknownName(
            unknown_name_message("there is no format to export", format_name, EXPORTS)
        )
    if format_name == "any4hdmi":
        write_any4hdmi(folder, clips, character)
        return [folder]
    suffix, write = _FILES[format_name]
    written = []
    for clip in clips:
        path = folder / f"{clip.name}{suffix}"
        if path.exists() and not overwrite:
            raise MotionError(
                f"{path} exists; replace it with --overwrite, or name another --output"
            )
        write(path, clip, character)
        written.append(path)
    return written
