"""Import motion clips of other projects for a character, or export clips to their formats.

    python scripts/import_motion.py FILE ... --character g1 [--output DIR] [--fps 30] ...
    python scripts/import_motion.py FILE ... --character g1 --export gmr

The format is told by content; what a file leaves open is decided by the character's kinematics, or
asked for. See docs/importing.md. Characters of your own: put their folder into MIMICKIT_CONF.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from mimickit import launch
from mimickit.errors import MotionError

if TYPE_CHECKING:
    from mimickit.characters import Character
    from mimickit.motions import Clip


@launch.friendly_errors()
def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Import, then write clips or export them."""
    told = parser().parse_args(arguments)

    from mimickit.motions.exporters import export_clips
    from mimickit.motions.importers import ImportOptions, import_motion
    from mimickit.motions.importers.resampling import resample

    if told.name and len(told.files) > 1:
        raise MotionError(f"--name names one clip, and there are {len(told.files)} files")
    config = launch.check_config(launch.compose([f"character={told.character}"]))
    character = launch.make(config.character)
    options = ImportOptions(
        fps=told.fps,
        loop=told.loop,
        quat_order=told.quat_order,
        joints=told.joints,
        up_axis=told.up_axis,
        preset=told.preset,
        tolerance=told.tolerance,
        name=told.name,
        source=told.source,
        licence=told.licence,
    )
    clips: list[Clip] = []
    for file in told.files:
        for imported in import_motion(file, character, options, told.format):
            clip = (
                imported.clip if told.resample is None else resample(imported.clip, told.resample)
            )
            clips.append(clip)
            print(f"{file}: format {imported.format} ({imported.reason})")
            print(f"  {clip.name}: {clip.num_frames} frames at {clip.fps:g} Hz", end="")
            print(f", {clip.duration:.2f} s, {'loops' if clip.loop else 'does not loop'}")
            for note in filter(None, clip.provenance["notes"].split("; ")):
                print(f"  {note}")
    clips = named_for_files(clips)
    if told.export:
        folder = told.output or Path("outputs", "motions", told.export, character.name)
        written = export_clips(folder, clips, character, told.export, told.overwrite)
    else:
        folder = told.output or Path("outputs", "motions", character.name)
        written = saved(folder, clips, character, told.overwrite)
    for path in written:
        print(path)


def parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="clips, or an any4hdmi folder")
    add("--character", required=True, help="a name of conf/character, e.g. g1")
    add("--format", default="", help="the files' format; told by content if left out")
    add("--output", type=Path, help="folder to write to; default: outputs/motions/CHARACTER")
    add("--export", default="", help="mimickit, gmr, csv or any4hdmi; default: .npz clips")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--resample", type=float, metavar="FPS", help="bring the clips to this rate [Hz]")
    add("--name", default="", help="the clip's name; default: the file's")
    add("--fps", type=float, help="the files' rate [Hz], where they do not state it")
    add("--loop", action="store_true", default=None, help="the motion wraps around")
    add("--no-loop", action="store_false", dest="loop", default=None, help="it does not")
    add("--quat-order", choices=("xyzw", "wxyz"), help="of the root's rotations in the files")
    add("--joints", default="", help="order of the files' joints: a known one, or a,b,c,...")
    add("--up-axis", default="", choices=("z", "y"), help="of the files' world (SMPL)")
    add("--preset", default="", help="where BVH files are from: cmu or lafan1")
    add(
        "--tolerance", type=float, default=0.01, metavar="M", help="body positions may miss by this"
    )
    add("--source", default="", help="where the motion is from, for its record")
    add("--licence", default="", help="its licence, for its record")
    return parser


def named_for_files(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with names that are file names, each once."""
    from dataclasses import replace

    names = [re.sub(r"[^\w.+-]+", "_", clip.name).lstrip(".") or "clip" for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MotionError(
            f"several clips are named {', '.join(twice)}; import them one by one with --name"
        )
    return [replace(clip, name=name) for clip, name in zip(clips, names)]


def saved(folder: Path, clips: Sequence[Clip], character: Character, overwrite: bool) -> list[Path]:
    """Write the clips as .npz files that the character can play, and say where they are."""
    from mimickit.motions import save_clip

    paths = [folder / f"{clip.name}.npz" for clip in clips]
    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        raise MotionError(
            f"{', '.join(there)} exists; replace it with --overwrite, or name another --output"
        )
    for clip in clips:
        clip.joint_rot_for(character)  # or it says why it is not the character's
    folder.mkdir(parents=True, exist_ok=True)
    for path, clip in zip(paths, clips):
        save_clip(path, clip)
    return paths


if __name__ == "__main__":
    main()
