"""Which of a run's processes this one is, and which SLURM job it belongs to."""

from __future__ import annotations

import os
from typing import Optional


def rank() -> int:
    """The number of this process among those of its run; 0 if there is only one.

    torchrun says it in RANK, srun in SLURM_PROCID.
    """
    return int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)


def is_first_rank() -> bool:
    """Whether this process is the one that speaks for all of a run's."""
    return rank() == 0


def slurm_job() -> Optional[str]:
    """The SLURM job that this process is part of, as squeue names it; None if of none."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
