"""Launches work of Warp as one graph, on torch's current stream or into torch's own capture."""

from __future__ import annotations

import functools
import gc
from contextlib import contextmanager
from typing import Callable, Iterator, Optional

import torch
import warp as wp


class WarpGraph:
    """Calls a function that launches Warp kernels, by replaying what one call launched.

    The function has shapes that do not depend on data, never waits for the device, and has run at
    least once, so that all kernels are compiled. On the CPU and on CUDA a graph is captured at the
    first call and replayed. While torch captures the current CUDA stream, the function launches
    into that capture instead, and torch's graph is what is replayed; any number of such calls may
    happen within one capture. On CUDA everything runs on torch's current stream, in its order.

    Source: Warp's notes on graph capture and on external captures (ScopedCapture).
    """

    def __init__(self, function: Callable[[], None], device: wp.Device) -> None:
        self._function = function
        self._device = device
        self._graph: Optional[wp.Graph] = None
        self._external: list[wp.Graph] = []  # keep alive the kernels that torch's graphs launch

    def __call__(self) -> None:
        if self._device.is_cpu:
            wp.capture_launch(self._captured())
            return
        with torch.cuda.device(self._device.ordinal):
            capturing = torch.cuda.is_current_stream_capturing()
            handle = torch.cuda.current_stream().cuda_stream
        stream = _warp_stream(self._device.ordinal, handle)
        if capturing:
            self._launch_into(stream)
        else:
            wp.capture_launch(self._captured(), stream=stream)

    def recapture(self) -> None:
        """Forget all graphs: the next call captures anew. Torch's own must be captured anew too."""
        self._graph = None
        self._external.clear()

    def _captured(self) -> wp.Graph:
        if self._graph is None:
            # On Warp's own stream, which torch's stream need not wait for: nothing runs.
            with _no_collection(), wp.ScopedCapture(device=self._device) as capture:
                self._function()
            self._graph = capture.graph
        assert self._graph is not None
        return self._graph

    def _launch_into(self, stream: wp.Stream) -> None:
        """Add the work to the capture that torch has begun on a stream."""
        # Waiting for Warp's own stream would tie the capture to work outside of it: an error.
        with wp.ScopedStream(stream, sync_enter=False), wp.ScopedCapture(
            stream=stream, external=True
        ) as capture:
            self._function()
        assert capture.graph is not None
        self._external.append(capture.graph)


@functools.lru_cache(maxsize=None)
def _warp_stream(ordinal: int, handle: int) -> wp.Stream:
    """Torch's stream as Warp's; made once, for the end of a second one would unregister both."""
    return wp.Stream(f"cuda:{ordinal}", cuda_stream=handle or None)  # None: CUDA's default stream


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without garbage collection: freeing device memory would end a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
