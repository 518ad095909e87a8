"""Say what is missing or suspicious in a robot's MJCF file, and draft its conf/character file.

Ends with 1 if there is a problem: something without which the robot cannot be a character. Then
there is no draft either.
Usage: python scripts/check_character.py path/to/robot.xml [--name NAME] [--write FILE.yaml]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mimickit import launch


@launch.friendly_errors()
def main() -> int:
    """Print the findings and the draft; 1 if there is a problem."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("Usage")[0])
    parser.add_argument("robot", type=Path, help="MJCF file")
    parser.add_argument("--name", help="of the character; that of the file if not given")
    parser.add_argument("--write", type=Path, metavar="FILE.yaml", help="save the draft there")
    arguments = parser.parse_args()

    from mimickit.engines.mujoco_checks import check_robot
    from mimickit.engines.mujoco_robot import read_robot
    from mimickit.errors import ConfigError
    from mimickit.findings import table

    name = arguments.name or (arguments.write or arguments.robot).stem
    findings, draft = check_robot(read_robot(arguments.robot), name)
    print(table(findings))
    if not draft:
        return 1
    if arguments.write is None:
        print(f"\n{draft}", end="")
        return 0
    if arguments.write.exists():
        raise ConfigError(f"--write {arguments.write}: the file is already there")
    arguments.write.parent.mkdir(parents=True, exist_ok=True)
    arguments.write.write_text(draft, encoding="utf-8")
    print(f"\nwrote {arguments.write}: train with character={arguments.write.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
