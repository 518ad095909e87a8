"""Work of fixed shapes that a CUDA device replays as one graph, and other devices run as it is."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from collections.abc import Sequence
from typing import Any, Callable, Optional

import torch

EAGER_CALLS = 2  # calls that run as they are, so that every library has allocated and compiled


class Graphed:
    """Calls a function; on CUDA, from the third call on, replays it as one captured graph.

    The function takes nothing, draws on buffers that outlive it and writes into such, has shapes
    that do not depend on data, and never waits for the device. What it returns lies in the graph's
    own memory and is overwritten by the next call. Every call does the work exactly once.

    Args:
        function: what to call.
        device: where its tensors are.
        generators: every generator that it draws from; torch's default one need not be named.

    Source: PyTorch's notes on CUDA graphs (torch.cuda.graph, register_generator_state).
    """

    def __init__(
        self,
        function: Callable[[], Any],
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self._function = function
        self._device = device
        self._generators = generators
        self._eager_calls_left = EAGER_CALLS
        self._graph: Optional[torch.cuda.CUDAGraph] = None
        self._result: Any = None
        # Gradients accumulate on the stream that first saw them, so eager calls use this one too.
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self) -> Any:
        if self._stream is None:
            return self._function()
        if self._graph is None and self._eager_calls_left > 0:
            self._eager_calls_left -= 1
            return self._run_beside()
        if self._graph is None:
            self._capture()
        assert self._graph is not None
        self._graph.replay()
        return self._result

    def recapture(self) -> None:
        """Forget the graph, e.g. because a buffer was replaced: the next call captures anew."""
        self._graph, self._result = None, None

    def _run_beside(self) -> Any:
        """Call the function on the capture's stream, in order with the present one."""
        assert self._stream is not None
        present = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(present)
        with torch.cuda.stream(self._stream):
            result = self._function()
        present.wait_stream(self._stream)
        return result

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        gc.collect()
        gc.disable()  # a collection might free device memory, which ends a capture
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph, stream=self._stream):
                self._result = self._function()
        finally:
            gc.enable()
        self._graph = graph


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile can work for a CUDA device here: it needs Triton and a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    return (
        device.type == "cuda"
        and compiler is not None
        and importlib.util.find_spec("triton") is not None
    )
