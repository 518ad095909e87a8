"""Look for what is wrong with motion clips, before a policy has to learn it.

Prints a row of figures per clip, worst first, and every finding; docs/datasets.md says what is
measured and where the thresholds are. Exits with 0 if nothing is wrong, 1 if a clip has an error
(warnings do not count), 2 if something cannot be read. Arguments, with their defaults:
character=humanoid, motion=walk (or a list, a file, a folder, a data set), rows=20 (clips to show;
null: all), sheet=null (FILE.png: a contact sheet of these clips), frames=6 (of each on the sheet).
Usage: python scripts/lint_motion.py motion=path/to/clips character=humanoid [sheet=FILE.png]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mimickit import launch
from mimickit.launch.arguments import read_arguments, whole_number

if TYPE_CHECKING:
    from mimickit.characters import Character
    from mimickit.motions.catalog import MotionSource
    from mimickit.viewers import Frame

OWN = {"rows": 20, "sheet": None, "frames": 6}
UNREADABLE = 2


@launch.friendly_errors(code=UNREADABLE)
def main() -> int:
    """Lint the clips that `motion` names."""
    from mimickit.viewers.arguments import split_arguments

    own, overrides = split_arguments(sys.argv[1:], OWN)
    values = read_arguments(own, OWN, str(__doc__))
    rows = None if values["rows"] is None else whole_number(values, "rows")
    frames = whole_number(values, "frames", least=2)

    from mimickit.motions.catalog import list_motions
    from mimickit.motions.lint import lint
    from mimickit.motions.lint_report import exit_code, text, worst_first

    config = launch.check_config(launch.compose(overrides))
    character = launch.make(config.character)
    sources = list_motions(launch.plain(config)["motion"], character)
    reports = worst_first([lint(source, character) for source in sources])
    print(text(reports, rows), end="")
    if values["sheet"] is not None:
        from mimickit.viewers.contact_sheet import write_contact_sheet

        path = Path(str(values["sheet"])).expanduser()
        shown = [report.source for report in reports[:rows] if report.measured]
        strips = [strip(source, character, frames) for source in shown]
        if strips:
            write_contact_sheet(path, character, strips)
        print(path if strips else f"{path} is not drawn: there is no clip to show")
    return exit_code(reports)


def strip(source: MotionSource, character: Character, count: int) -> list[Frame]:
    """Pictures of one clip, evenly over its time."""
    import torch

    from mimickit.motions.catalog import read_entry
    from mimickit.motions.library import MotionLibrary
    from mimickit.viewers import Frame

    library = MotionLibrary(character, [read_entry(source, character)])
    duration = float(library.durations[0])
    times = torch.linspace(0.0, duration, count)
    states = library.lookup(torch.zeros(count, dtype=torch.long), times)
    return [
        Frame(states[number : number + 1], text=f"{library.names[0]}\n{float(times[number]):.2f} s")
        for number in range(count)
    ]


if __name__ == "__main__":
    sys.exit(main())
