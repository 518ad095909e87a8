"""Jobs that share nothing, done at the same time: neither fills a device by itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Callable, TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(jobs: Sequence[Callable[[], Result]], device: torch.device) -> list[Result]:
    """Results of the jobs, each on a thread of its own, on CUDA each on a stream of its own.

    A job's arithmetic does not depend on when another's happens, so results are the same bits.
    On CUDA the jobs may be captured, and the caller must hold on to every tensor that they read
    until this returns: memory freed earlier would be reused under a job that still runs.
    """
    if device.type != "cuda":
        with ThreadPoolExecutor(len(jobs)) as pool:
            return [future.result() for future in [pool.submit(job) for job in jobs]]
    here = torch.cuda.current_stream(device)
    streams = [_stream(device, i) for i in range(len(jobs))]
    results = []
    for job, stream in zip(jobs, streams):
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            results.append(job())
    for stream in streams:
        here.wait_stream(stream)
    return results


@lru_cache(maxsize=None)
def _stream(device: torch.device, number: int) -> torch.cuda.Stream:
    """The same stream at every call, since each keeps memory of its own."""
    return torch.cuda.Stream(device)
