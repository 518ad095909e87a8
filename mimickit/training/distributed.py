"""One run over many processes: how they meet, exchange sums, stay equal and end together.

A process per GPU (or several on CPUs), started by torchrun or as the tasks of a SLURM job step;
`mimickit.ranks` reads which one this is. Gradients and statistics are exchanged by NCCL between
GPUs and by gloo between CPUs.
"""

from __future__ import annotations

import atexit
import itertools
import os
import socket
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache, partial
from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor

from mimickit.errors import ConfigError, RunError
from mimickit.pooling import ALONE, Pool
from mimickit.ranks import Ranks
from mimickit.training.heartbeat import BEAT_S, Heartbeat

JOIN_TIMEOUT = timedelta(seconds=300)  # for all ranks to be there
TIMEOUT = timedelta(hours=12)  # of everything else: the heartbeat notices the dead much earlier
_runs = itertools.count()  # of this process, of which a sweep may start several


class Group:
    """The processes of a run; this one is of a run in a single process.

    Attributes:
        ranks: which of how many this process is.
        pool: what learns exchanges sums through it.
    """

    ranks = Ranks()
    pool: Pool = ALONE

    @property
    def first(self) -> bool:
        """Whether this process speaks for the run: logs, evaluates, says what there is to say."""
        return self.ranks.rank == 0

    def agree(self, name: str, text: str) -> str:
        """Rank 0's text, on every rank; others wait for it however long it takes.

        Args:
            name: of what is agreed on, once in a run.
        """
        return text

    @contextmanager
    def in_turn(self, name: str) -> Iterator[None]:
        """First one process of each host alone, then the others of that host at once.

        Args:
            name: of what is done, once in a run.
        """
        yield

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it is true on any rank."""
        return flags

    def check_equal(self, tensors: Sequence[Tensor]) -> None:
        """Refuse to go on where ranks hold different weights.

        Raises:
            RunError: naming them.
        """

    def close(self) -> None:
        """Take leave of the others, once all have come to this point."""


def join(ranks: Ranks) -> Group:
    """Meet the other processes of a run, and take this one's GPU if there are any.

    Raises:
        RunError: some rank does not come, or cannot be reached. ConfigError: two share a GPU.
    """
    if ranks.size == 1:
        return Group()
    return ProcessGroup(ranks)


class ProcessGroup(Group):
    """See `Group` and `join`."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._prefix = f"mimickit/{next(_runs)}"
        self._closed = False
        gpu = _take_gpu(ranks.local_rank)
        try:
            self._store = _store(ranks)
            _meet(self._store, ranks, self._prefix, gpu)
            self._heartbeat = Heartbeat(partial(_connect, ranks), ranks, self._prefix)
            # With gloo beside NCCL, what lies on the host is exchanged without the GPU.
            backend = "cpu:gloo,cuda:nccl" if gpu and dist.is_nccl_available() else "gloo"
            dist.init_process_group(
                backend,
                store=dist.PrefixStore(f"{self._prefix}/torch", self._store),
                rank=ranks.rank,
                world_size=ranks.size,
                timeout=TIMEOUT,
            )
        except RuntimeError as error:
            raise RunError(
                f"{ranks.label} cannot reach the others ({_first_line(error)}). Rank 0 is looked "
                f"for at {ranks.address}:{ranks.port} (MASTER_ADDR, MASTER_PORT); between hosts "
                "GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME may have to name the network interface"
            ) from error
        self._heartbeat.start()
        self.pool = _TorchPool(ranks.size, self._heartbeat)
        atexit.register(self._leave_early)

    def agree(self, name: str, text: str) -> str:
        key = f"{self._prefix}/agreed/{name}"
        if self.first:
            self._store.set(key, text)
        self._wait_for(key)
        return self._store.get(key).decode()

    @contextmanager
    def in_turn(self, name: str) -> Iterator[None]:
        key = f"{self._prefix}/turn/{name}/{socket.gethostname()}"
        if self.ranks.local_rank > 0:
            self._wait_for(key)
        yield
        if self.ranks.local_rank == 0:
            self._store.set(key, "done")

    def any(self, *flags: bool) -> tuple[bool, ...]:
        found = torch.tensor(flags, dtype=torch.uint8)
        _collective(self._heartbeat, partial(dist.all_reduce, found, dist.ReduceOp.MAX))
        return tuple(bool(flag) for flag in found)

    def check_equal(self, tensors: Sequence[Tensor]) -> None:
        found = torch.tensor([_checksum(tensors)])
        sums = [torch.zeros_like(found) for _ in range(self.ranks.size)]
        _collective(self._heartbeat, partial(dist.all_gather, sums, found))
        values = torch.cat(sums).tolist()
        apart = [rank for rank, value in enumerate(values) if value != values[0]]
        if apart:
            named = ", ".join(map(str, apart))
            raise RunError(
                f"the weights of rank {named} are not those of rank 0, so something learns without "
                "exchanging its gradients or statistics, or the ranks run different versions of "
                "torch or of this code. An own part or algorithm must pass its pool on to "
                "Optimizer and Normalizer"
            )

    def close(self) -> None:
        if self._closed:
            return
        _collective(self._heartbeat, partial(dist.all_reduce, torch.zeros(1)))
        self._heartbeat.stop()
        self._closed = True
        atexit.unregister(self._leave_early)
        key = f"{self._prefix}/left"
        if self._store.add(key, 1) == self.ranks.size:
            self._store.set(f"{key}/all", "done")
        if self.first:  # the store may be in this process, which is then the last to leave
            self._wait_for(f"{key}/all")
        dist.destroy_process_group()

    def _wait_for(self, key: str) -> None:
        """Until a rank has set the key; this thread alone waits, the heartbeat goes on."""
        _collective(self._heartbeat, partial(self._store.wait, [key], TIMEOUT))

    def _leave_early(self) -> None:
        """Tell the others that this process ends before the run does."""
        self._heartbeat.announce(
            f"{self.ranks.label} on {socket.gethostname()} ended early: see its own message"
        )
        if self.first:  # it may take the store with it
            time.sleep(2 * BEAT_S)


class _TorchPool(Pool):
    """Sums by torch.distributed."""

    def __init__(self, ranks: int, heartbeat: Heartbeat) -> None:
        super().__init__()
        self.ranks = ranks
        self._heartbeat = heartbeat

    def sum(self, tensor: Tensor) -> Tensor:
        if tensor.device.type == "cuda":  # an error here is no other rank's; a capture's perhaps
            dist.all_reduce(tensor)
        else:
            _collective(self._heartbeat, partial(dist.all_reduce, tensor))
        return tensor


def _collective(heartbeat: Heartbeat, call: partial) -> None:
    """Exchange something on the host.

    Raises:
        RunError: another rank is gone, by name.
    """
    try:
        call()
    except RuntimeError as error:  # gloo and the store raise it when a connection breaks
        failure = heartbeat.failure()
        raise RunError(failure or f"lost the other ranks: {_first_line(error)}") from error


def _take_gpu(local_rank: int) -> str:
    """Work on this rank's GPU from here on; what identifies it, empty where there is none."""
    if not torch.cuda.is_available():
        return ""
    index = local_rank % torch.cuda.device_count()  # a task may see no other GPU than its own
    torch.cuda.set_device(index)
    properties = torch.cuda.get_device_properties(index)
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    return str(getattr(properties, "uuid", f"{index} of {seen}"))


@lru_cache(maxsize=None)
def _store(ranks: Ranks) -> dist.TCPStore:
    """What the ranks write to each other, for all runs of this process; rank 0 opens it."""
    return _connect(ranks, opens=ranks.rank == 0 and not ranks.store_is_there)


def _connect(ranks: Ranks, opens: bool = False) -> dist.TCPStore:
    """A connection to the store; whoever opens it must stay until the others have left."""
    return dist.TCPStore(
        ranks.address,
        ranks.port,
        ranks.size,
        is_master=opens,
        timeout=JOIN_TIMEOUT,
        wait_for_workers=False,
    )


def _meet(store: dist.TCPStore, ranks: Ranks, prefix: str, gpu: str) -> None:
    """Wait until every rank is here.

    Raises:
        RunError: some are missing. ConfigError: two of them share a GPU.
    """
    keys = [f"{prefix}/here/{rank}" for rank in range(ranks.size)]
    store.set(keys[ranks.rank], f"{socket.gethostname()} {gpu}")
    try:
        store.wait(keys, JOIN_TIMEOUT)
    except RuntimeError as error:
        missing = [str(rank) for rank, key in enumerate(keys) if not store.check([key])]
        if not missing:
            raise
        raise RunError(
            f"{ranks.label}: after {JOIN_TIMEOUT.seconds} s rank {', '.join(missing)} is not there"
        ) from error
    users: dict[str, int] = {}
    for rank, key in enumerate(keys):
        host, used = store.get(key).decode().split(" ", 1)
        other = users.setdefault(f"{host} {used}", rank)
        if used and other != rank:
            raise ConfigError(
                f"ranks {other} and {rank} on {host} would share one GPU: start as many processes "
                "per host as it has GPUs (torchrun --nproc-per-node, srun --ntasks-per-node)"
            )


def _checksum(tensors: Sequence[Tensor]) -> int:
    """CRC-32 of the tensors' bytes."""
    total = 0
    for tensor in tensors:
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        total = zlib.crc32(flat.view(torch.uint8).numpy().tobytes(), total)
    return total


def _first_line(error: Optional[BaseException]) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
