"""Say what a run on this machine would use, and what is wrong, with what to do about it.

Takes the overrides of a run, as train.py does. Ends with 1 if something would stop the run.
Usage: python scripts/doctor.py [--json] [OVERRIDES]
"""

from __future__ import annotations

import dataclasses
import json
import sys


def main() -> int:
    """Print the findings; 1 if there is a problem."""
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    flags = [word for word in arguments if word.startswith("-")]
    if set(flags) - {"--json"}:
        unknown = ", ".join(sorted(set(flags) - {"--json"}))
        print(f"error: there is no flag {unknown}; known: --json", file=sys.stderr)
        return 1
    try:
        from mimickit.findings import PROBLEM, table
        from mimickit.launch.doctor import examine
    except ModuleNotFoundError as error:  # what even this program cannot do without
        print(f"problem  {error.name} is not installed -> pip install -e .")
        return 1
    findings = examine([word for word in arguments if word not in flags])
    if flags:
        print(json.dumps([dataclasses.asdict(one) for one in findings], indent=2))
    else:
        print(table(findings))
    return int(any(one.level == PROBLEM for one in findings))


if __name__ == "__main__":
    sys.exit(main())
