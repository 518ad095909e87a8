"""Finds on a CPU what would stop work from being captured as a CUDA graph.

Within `no_sync()`, an operation raises `SyncError` if on a CUDA device it would make the host wait
(reading a number, testing a condition), give a result whose shape depends on data (nonzero, boolean
indexing), or copy Python numbers to the device. Work on other threads is not seen.
"""

from __future__ import annotations

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

READS = "reads a number, so the host waits: keep it a tensor, choose with torch.where"
SHAPES = "has a result whose shape depends on data: use a mask of fixed shape and torch.where"
COPIES = "copies from the host: fill a buffer that exists, or use torch.full"

FORBIDDEN = {
    "_local_scalar_dense": READS,
    "item": READS,
    "is_nonzero": READS,
    "equal": READS,
    "allclose": READS,
    "nonzero": SHAPES,
    "nonzero_numpy": SHAPES,
    "argwhere": SHAPES,
    "masked_select": SHAPES,
    "masked_scatter": SHAPES,
    "masked_scatter_": SHAPES,
    "unique_dim": SHAPES,
    "unique_consecutive": SHAPES,
    "_unique": SHAPES,
    "_unique2": SHAPES,
    "bincount": SHAPES,
}
INDEXING = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")
METHODS = ("tolist", "numpy", "cpu", "__array__", "item")
FACTORIES = (torch.tensor, torch.as_tensor, torch.asarray, torch.from_numpy)


class SyncError(AssertionError):
    """Work that could not be captured."""


@contextmanager
def no_sync():
    """Within the block, this thread's work raises `SyncError` where it could not be captured."""
    with _Methods(), _Operations():
        yield


class _Operations(TorchDispatchMode):
    """Sees every operation, those of autograd and of optimisers included."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in FORBIDDEN:
            raise SyncError(f"{name} {FORBIDDEN[name]}")
        if name in INDEXING and any(_is_mask(index) for index in args[1]):
            raise SyncError(f"indexing with a mask {SHAPES}")
        if name == "repeat_interleave" and kwargs.get("output_size") is None:
            raise SyncError(f"{name} {SHAPES}, or output_size")
        return func(*args, **kwargs)


class _Methods(TorchFunctionMode):
    """Sees calls that on a CPU need no operation."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in METHODS and getattr(torch.Tensor, name, None) is func:
            raise SyncError(f"Tensor.{name} {READS}")
        if func in FACTORIES and not isinstance(args[0], torch.Tensor):
            raise SyncError(f"torch.{name} {COPIES}")
        return func(*args, **(kwargs or {}))


def _is_mask(index):
    return index is not None and index.dtype in (torch.bool, torch.uint8)
