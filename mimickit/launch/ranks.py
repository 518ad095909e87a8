"""Whether this process speaks for its run, and which SLURM job it belongs to."""

from __future__ import annotations

import os
from typing import Optional

from mimickit.ranks import find_ranks


def is_first_rank() -> bool:
    """Whether this process is the one that speaks for all of a run's."""
    return find_ranks(os.environ).rank == 0


def quiet_torch() -> None:
    """Keep torch, which is not imported yet, from printing a stack for each broken connection."""
    if find_ranks(os.environ).size > 1:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def slurm_job() -> Optional[str]:
    """The SLURM job that this process is part of, as squeue names it; None if of none."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
