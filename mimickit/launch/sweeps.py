"""What a sweep was to consist of, from the record that Hydra leaves in its folder."""

from __future__ import annotations

from pathlib import Path

import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mimickit.errors import RunError
from mimickit.launch.folders import SWEEP_RECORD

GRID = f"{BasicSweeper.__module__}.{BasicSweeper.__name__}"


def planned_jobs(sweep: Path) -> dict[int, list[str]]:
    """What sets each job of a sweep apart, as it would be typed, by the job's number.

    None if the folder is not that of a sweep over a grid: what another sweeper asks for is decided
    from one job to the next.

    Raises:
        RunError: the record is damaged.
    """
    path = sweep / SWEEP_RECORD
    if not path.is_file():
        return {}
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]
        sweeper = record["sweeper"]
        if sweeper["_target_"] != GRID:
            return {}
        typed = [f"{key}={value}" for key, value in (sweeper["params"] or {}).items()]
        typed += record["overrides"]["task"]
        overrides = OverridesParser.create().parse_overrides(typed)
        (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, HydraException) as error:
        raise RunError(f"{path} does not say what the sweep was to do: {error}") from None
    different = [len(set(words)) > 1 for words in zip(*jobs)]
    return {
        number: [word for word, told in zip(job, different) if told]
        for number, job in enumerate(jobs)
    }
