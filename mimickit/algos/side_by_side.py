"""Jobs that share nothing, done at the same time: neither fills a device by itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Callable, Generator, List, Optional, TypeVar

import torch

Result = TypeVar("Result")
Steps = Generator[None, None, Result]


def side_by_side(
    jobs: Sequence[Callable[[], Steps[Result]]], device: torch.device, in_turn: bool = False
) -> list[Result]:
    """What the jobs return, each done on a thread of its own, on CUDA each on a stream of its own.

    A job's arithmetic does not depend on when another's happens, so results are the same bits.
    On CUDA the jobs may be captured, and the caller must hold on to every tensor that they read
    until this returns: memory freed earlier would be reused under a job that still runs.

    Args:
        jobs: generators, which yield after each step and return their result.
        in_turn: call for their steps in turn, on this thread: what the jobs exchange with other
            processes must come in one order everywhere. So it does on CUDA in any case.
    """
    if device.type == "cuda":
        return _on_streams(jobs, device)
    if in_turn:
        return _in_turn([job() for job in jobs], [None] * len(jobs))
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(lambda job=job: _in_turn([job()], [None])[0]) for job in jobs]
        return [future.result() for future in futures]


def _on_streams(jobs: Sequence[Callable[[], Steps[Result]]], device: torch.device) -> list[Result]:
    here = torch.cuda.current_stream(device)
    streams = [_stream(device, i) for i in range(len(jobs))]
    for stream in streams:
        stream.wait_stream(here)
    results = _in_turn([job() for job in jobs], streams)
    for stream in streams:
        here.wait_stream(stream)
    return results


def _in_turn(jobs: Sequence[Steps[Result]], streams: Sequence[Optional[Any]]) -> list[Result]:
    """Step all jobs, each on its CUDA stream if it has one, until every one has returned."""
    results: List[Any] = [None] * len(jobs)
    going_on = list(range(len(jobs)))
    while going_on:
        for index in tuple(going_on):
            with torch.cuda.stream(streams[index]):  # of None, this does nothing
                try:
                    next(jobs[index])
                except StopIteration as end:
                    results[index] = end.value
                    going_on.remove(index)
    return results


@lru_cache(maxsize=None)
def _stream(device: torch.device, number: int) -> torch.cuda.Stream:
    """The same stream at every call, since each keeps memory of its own."""
    return torch.cuda.Stream(device)
