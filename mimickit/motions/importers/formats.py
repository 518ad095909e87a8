"""Every foreign format by name, and the way from a file to clips: told by content, not by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Union

from mimickit.characters import Character
from mimickit.errors import MotionError, UnknownName, unknown_name_message
from mimickit.motions.clip import FORMAT, Clip, load_clip
from mimickit.motions.importers.amass import read_amass, recognise_amass
from mimickit.motions.importers.any4hdmi import dataset_files, read_any4hdmi, recognise_any4hdmi
from mimickit.motions.importers.asap import read_asap, recognise_asap
from mimickit.motions.importers.beyondmimic import read_beyondmimic, recognise_beyondmimic
from mimickit.motions.importers.bvh import read_bvh, recognise_bvh
from mimickit.motions.importers.content import Content, read_content
from mimickit.motions.importers.deepmimic import import_deepmimic, recognise_deepmimic
from mimickit.motions.importers.gmr import read_gmr, recognise_gmr
from mimickit.motions.importers.mimickit import import_mimickit, recognise_mimickit
from mimickit.motions.importers.motion_imitation import (
    read_motion_imitation,
    recognise_motion_imitation,
)
from mimickit.motions.importers.poselib import read_poselib, recognise_poselib
from mimickit.motions.importers.poses import ImportOptions
from mimickit.motions.importers.protomotions import read_protomotions, recognise_protomotions
from mimickit.motions.importers.robot_csv import read_csv, recognise_csv


@dataclass(frozen=True)
class Format:
    """How one format is told and read.

    Attributes:
        recognise: why a content is of this format; None if it is not.
        read: its clips, for a character.
    """

    recognise: Callable[[Content], Optional[str]]
    read: Callable[[Content, Character, ImportOptions], list[Clip]]


def _recognise_clip(content: Content) -> Optional[str]:
    """Why the content is one of this package's clips; None if it is not."""
    ours = content.kind == "npz" and str(content.value.get("format")) == FORMAT
    return "this package's own clip" if ours else None


def _read_clip(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """One of our own clips, for exporting it; `options` may rename it or say that it loops."""
    clip = load_clip(content.path)
    clip.joint_rot_for(character)  # or it says why it is not the character's
    loop = clip.loop if options.loop is None else options.loop
    return [replace(clip, name=options.name or clip.name, loop=loop)]


FORMATS: dict[str, Format] = {
    "clip": Format(_recognise_clip, _read_clip),
    "mimickit": Format(recognise_mimickit, import_mimickit),
    "deepmimic": Format(recognise_deepmimic, import_deepmimic),
    "motion_imitation": Format(recognise_motion_imitation, read_motion_imitation),
    "poselib": Format(recognise_poselib, read_poselib),
    "amass": Format(recognise_amass, read_amass),
    "gmr": Format(recognise_gmr, read_gmr),
    "asap": Format(recognise_asap, read_asap),
    "csv": Format(recognise_csv, read_csv),
    "beyondmimic": Format(recognise_beyondmimic, read_beyondmimic),
    "protomotions": Format(recognise_protomotions, read_protomotions),
    "bvh": Format(recognise_bvh, read_bvh),
    "any4hdmi": Format(recognise_any4hdmi, read_any4hdmi),
}


@dataclass(frozen=True)
class Imported:
    """One clip, and how it was read.

    Attributes:
        clip: its provenance notes say what was decided while reading.
        format: a name of `FORMATS`.
        reason: why the file is of that format.
    """

    clip: Clip
    format: str
    reason: str


def import_motion(
    path: Union[str, Path],
    character: Character,
    options: Optional[ImportOptions] = None,
    format_name: str = "",
) -> list[Imported]:
    """Read a motion file of any known format, or an any4hdmi folder, for a character.

    Args:
        path: the file or folder. character: whose clips are wanted.
        options: what the file does not state; None states nothing.
        format_name: one of `FORMATS`; empty tells it by content.

    Raises:
        MotionError: the file cannot be read, is of no known format, or is for another character.
        UnknownName: there is no such format.
    """
    path, options = Path(path), options or ImportOptions()
    files = dataset_files(path) if path.is_dir() else [path]
    found: list[Imported] = []
    for file in files:
        content = read_content(file)
        name, reason = _format_of(content, format_name)
        found += [
            Imported(clip, name, reason) for clip in FORMATS[name].read(content, character, options)
        ]
    return found


def _format_of(content: Content, wanted: str) -> tuple[str, str]:
    """The name of the content's format, and why it is that."""
    if wanted and wanted not in FORMATS:
        raise UnknownName(unknown_name_message("there is no motion format", wanted, FORMATS))
    reasons = {name: each.recognise(content) for name, each in FORMATS.items()}
    known = {name: reason for name, reason in reasons.items() if reason is not None}
    if wanted:
        if wanted not in known:
            told = f"; its content says {', '.join(known)}" if known else ""
            raise MotionError(f"{content.path} is not of format {wanted}{told}")
        return wanted, f"as told; {known[wanted]}"
    if len(known) != 1:
        told = ", ".join(known) if known else _contents(content)
        what = "may be" if known else "is of no known motion format: it is"
        raise MotionError(f"{content.path} {what} {told}; formats: {', '.join(FORMATS)} (--format)")
    return next(iter(known.items()))


def _contents(content: Content) -> str:
    """What a content looks like, for messages."""
    if isinstance(content.value, dict):
        keys = [str(key) for key in content.value]
        shown = ", ".join(keys[:12]) + (", ..." if len(keys) > 12 else "")
        return f"{content.kind} with {shown or 'nothing'}"
    return f"{content.kind} holding a {type(content.value).__name__}"
