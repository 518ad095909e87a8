"""How exactly networks multiply matrices: a setting of the networks, never of the whole process.

Kinematics and rewards need float32 products that are exact to the last bits, so the faster ones are
switched on around networks and off again. A CPU always multiplies in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Bits of the factors' fractions: tf32 10, fp32 23, bf16 7; sums are float32 with each.
PRECISIONS = ("tf32", "fp32", "bf16")


@contextmanager
def matmul_precision(precision: str, device: torch.device) -> Iterator[None]:
    """Within the block, float32 products on a CUDA device are TF32 unless `precision` is "fp32".

    It covers backward passes as well, which "bf16" does not need: they follow their forward pass.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def run_network(network: nn.Sequential, inputs: Tensor, precision: str) -> Tensor:
    """The network's float32 output; with "bf16" on a CUDA device, from bfloat16 hidden layers.

    The last layer stays float32: seven bits are too coarse for an action whose noise is small.
    """
    if precision != "bf16" or inputs.device.type != "cuda":
        return network(inputs)
    # No cache of cast weights: one made during a capture would outlive the graph's memory.
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        hidden = network[:-1](inputs)
    return network[-1](hidden.float())
