"""Train one policy: compose the run, build it, start it."""

from __future__ import annotations

from typing import Any

from mimickit import launch  # imports no torch, so that an engine may be imported before it


@launch.main(config_name="run")
def main(cfg: Any) -> float:
    """Start the run; the score lets sweepers optimise."""
    return launch.build(cfg).start()


if __name__ == "__main__":
    main()
