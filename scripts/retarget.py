"""Retarget a motion clip from one character to another, and report how well it went.

python scripts/retarget.py --motion backflip --from humanoid --to g1 [--output FILE.npz]

The clip is a name of the source's index.yaml or a path to a clip; by default the result lies in
outputs/retarget/<to>/<clip>.npz, ready for `motion=<that file>`. Characters are those of
conf/character/, and of the folders that MIMICKIT_CONF names; each needs a retarget.yaml beside its
MJCF (docs/retargeting.md). Needs the extra `retarget`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mimickit import launch
from mimickit.motions import resolve_motions, save_clip
from mimickit.motions.retargeting import load_parts, retarget, table


@launch.friendly_errors()
def main() -> None:
    """Retarget the clips that are asked for, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--motion", required=True, nargs="+", help="names or paths of clips")
    parser.add_argument("--from", dest="source", default="humanoid", help="whose they are")
    parser.add_argument("--to", dest="target", required=True, help="who should do them")
    parser.add_argument("--output", type=Path, help="an .npz file for one clip, or a folder")
    arguments = parser.parse_args()

    source = load_parts(launch.make_character(arguments.source))
    target = load_parts(launch.make_character(arguments.target))
    output = arguments.output or Path("outputs", "retarget", arguments.target)
    entries = resolve_motions(arguments.motion, source.character)
    if output.suffix == ".npz" and len(entries) > 1:
        parser.error(f"--output {output} is one file, and there are {len(entries)} clips")
    reports = {}
    for entry in entries:
        made = retarget(entry.clip, source, target, entry.may_touch_ground)
        path = output if output.suffix == ".npz" else output / f"{entry.name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_clip(path, made.clip)
        reports[entry.name] = made.report
        print(f"{path}; may_touch_ground: {_bodies(made.may_touch_ground)}")
    print(f"\n{table(list(reports), list(reports.values()))}")


def _bodies(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "null (the character's own list)"
    return f"[{', '.join(names)}]" if names else "[] (all bodies)"


if __name__ == "__main__":
    main()
