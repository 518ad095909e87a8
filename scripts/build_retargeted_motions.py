"""Builds motions/<character>/ from the humanoid's clips, for characters that have a retarget.yaml.

    python scripts/build_retargeted_motions.py [character ...]

Without arguments: all of them. Writes the clips, their index.yaml, and the reports in
docs/benchmarks/retargeting/. The same input gives the same bytes. Needs the extra `retarget`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mimickit import launch
from mimickit.errors import ConfigError
from mimickit.motions import motion_names, resolve_motions, save_clip
from mimickit.motions.catalog import MOTIONS, index_facts, write_index
from mimickit.motions.retargeting import Report, figures, load_parts, retarget, table

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "docs" / "benchmarks" / "retargeting"
SOURCE = "humanoid"
CHARACTERS = ("g1", "smpl", "humanoid_sword_shield", "pi_plus")
# On all fours, or rolling, the shield would be up to 28 cm in the ground: no such motion exists.
LEFT_OUT = {
    "humanoid_sword_shield": ("cartwheel", "crawl", "getup_facedown", "getup_faceup", "roll"),
}
# Where a character has a side of its own, its clips cannot be mirrored, but the humanoid's can be
# before they are retargeted. Walk and run already consist of two mirrored halves.
MIRRORED = {
    "humanoid_sword_shield": (
        "walk_forward", "turn_left0", "turn_left1", "turn_right0", "turn_right1",
        "punch", "kick", "spinkick", "spin", "jump", "dance_a", "dance_b",
    ),
}  # fmt: skip


@launch.friendly_errors()
def main() -> None:
    """Build the clips of the characters that are named."""
    for name in sys.argv[1:] or CHARACTERS:
        if name not in CHARACTERS:
            raise ConfigError(f"there is no recipe for '{name}'. All: {', '.join(CHARACTERS)}.")
        reports = build(name)
        print(f"\n{name}\n{table(list(reports), list(reports.values()))}")


def build(name: str) -> dict[str, Report]:
    """Retarget every clip of the humanoid to one character; the report of each."""
    source = load_parts(launch.make_character(SOURCE))
    target = load_parts(launch.make_character(name))
    folder = MOTIONS / name
    folder.mkdir(parents=True, exist_ok=True)
    index, reports = {}, {}
    for entry in resolve_motions(wanted(name), source.character):
        made = retarget(entry.clip, source, target, entry.may_touch_ground)
        save_clip(folder / f"{entry.name}.npz", made.clip)
        index[entry.name] = index_facts(made.clip, f"{entry.name}.npz", made.may_touch_ground)
        reports[entry.name] = made.report
    head = (
        f"The clips of {name}: what `motion=<name>` finds. Made from the humanoid's by "
        "scripts/build_retargeted_motions.py; see docs/retargeting.md."
    )
    write_index(folder, head, index)
    shutil.copyfile(MOTIONS / SOURCE / "NOTICE", folder / "NOTICE")
    REPORTS.mkdir(parents=True, exist_ok=True)
    facts = {clip: figures(report) for clip, report in reports.items()}
    (REPORTS / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    return reports


def wanted(name: str) -> list[dict[str, Any]]:
    """The clips of the humanoid that one character gets, as `motion=` would name them."""
    clips = [clip for clip in motion_names(MOTIONS / SOURCE) if clip not in LEFT_OUT.get(name, ())]
    mirrored = MIRRORED.get(name, ())
    return [{"name": clip, "mirror": clip in mirrored} for clip in clips]


if __name__ == "__main__":
    main()
