"""Which process of a run this is, from what torchrun or SLURM say; imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mimickit.errors import RunError

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
PORTS = (20_000, 10_000)  # first one and how many: below those that systems hand out


@dataclass(frozen=True)
class Ranks:
    """One process among those of a run.

    Attributes:
        rank, size: which of how many.
        local_rank, local_size: the same among those on this host.
        address, port: where rank 0, or torchrun for it, is met.
        store_is_there: whether torchrun listens there already, so that rank 0 must not.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 29500
    store_is_there: bool = False

    @property
    def label(self) -> str:
        """For messages."""
        return f"rank {self.rank} of {self.size}"


def find_ranks(environ: Mapping[str, str]) -> Ranks:
    """This process's place: torchrun's variables if there are any, else SLURM's, else alone.

    Under SLURM every task of a job step with several tasks is a rank; a batch script itself, which
    has no step, is not.

    Raises:
        RunError: a variable is missing or no number.
    """
    if environ.get("WORLD_SIZE"):
        return _of_torchrun(environ)
    if int(environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        return _of_slurm(environ)
    return Ranks()


def _of_torchrun(environ: Mapping[str, str]) -> Ranks:
    """Source: PyTorch, torchrun's documentation of the variables that it passes on."""
    size = _number(environ, "WORLD_SIZE")
    if size == 1:
        return Ranks()
    rank = _number(environ, "RANK")
    return Ranks(
        rank=rank,
        size=size,
        # Whoever sets the rest by hand, for one host, may leave these out.
        local_rank=_number(environ, "LOCAL_RANK") if "LOCAL_RANK" in environ else rank,
        local_size=_number(environ, "LOCAL_WORLD_SIZE") if "LOCAL_WORLD_SIZE" in environ else size,
        address=environ.get("MASTER_ADDR", "127.0.0.1"),
        port=_number(environ, "MASTER_PORT"),
        store_is_there=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _of_slurm(environ: Mapping[str, str]) -> Ranks:
    """Source: SLURM, srun's documentation of its output environment variables."""
    rank, size, local_rank = (_number(environ, name) for name in SLURM)
    hosts = environ.get("SLURM_STEP_NODELIST", environ.get("SLURM_NODELIST", ""))
    alone = environ.get("SLURM_STEP_NUM_NODES", "1") == "1"
    # A port of this job step's own, so that two on one host do not meet.
    job = int(environ.get("SLURM_JOB_ID", 0)) * 7 + int(environ.get("SLURM_STEP_ID", 0))
    first, count = PORTS
    return Ranks(
        rank=rank,
        size=size,
        local_rank=local_rank,
        local_size=_tasks_here(environ, size),
        address=environ.get("MASTER_ADDR") or ("127.0.0.1" if alone else first_host(hosts)),
        port=int(environ.get("MASTER_PORT") or first + job % count),
    )


def first_host(nodes: str) -> str:
    """The first host of SLURM's compact list, e.g. gpu07 of "gpu[07-09,12],login1".

    Raises:
        RunError: there is none.
    """
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)
    if not found:
        raise RunError(
            f"SLURM_STEP_NODELIST={nodes!r} names no host: set MASTER_ADDR to that of rank 0"
        )
    return "".join(part or "" for part in found.groups())


def _tasks_here(environ: Mapping[str, str], size: int) -> int:
    """Tasks on this host, of e.g. SLURM_STEP_TASKS_PER_NODE=4(x2),3 and SLURM_NODEID."""
    counts = []
    for count, repeats in re.findall(
        r"(\d+)(?:\(x(\d+)\))?", environ.get("SLURM_STEP_TASKS_PER_NODE", str(size))
    ):
        counts += [int(count)] * int(repeats or 1)
    return counts[min(int(environ.get("SLURM_NODEID", 0)), len(counts) - 1)]


def _number(environ: Mapping[str, str], name: str) -> int:
    value = environ.get(name, "")
    if not value.isdigit():
        family = TORCHRUN if name in TORCHRUN else SLURM
        raise RunError(
            f"{name}={value or 'nothing'}: a whole number is needed; a run over several processes "
            f"takes {', '.join(family)} from torchrun or srun"
        )
    return int(value)
