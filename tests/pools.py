"""Ranks without processes: threads that add up their tensors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from mimickit.pooling import Pool


class ThreadPool(Pool):
    """One thread's view of a pool; all threads share `table` and `barrier`."""

    def __init__(self, rank, ranks, table, barrier):
        super().__init__()
        self.rank, self.ranks = rank, ranks
        self.table, self.barrier = table, barrier
        self.sums = 0

    def sum(self, tensor):
        assert tensor.is_contiguous()
        self.sums += 1
        self.table[self.rank] = tensor.clone()
        self.barrier.wait()
        total = sum(self.table[1:], self.table[0])
        self.barrier.wait()
        return tensor.copy_(total)


def on_ranks(function, ranks=2):
    """What function(rank, pool) returns on each of so many ranks, at the same time."""
    table, barrier = [None] * ranks, threading.Barrier(ranks, timeout=30)
    with ThreadPoolExecutor(ranks) as threads:
        futures = [
            threads.submit(function, rank, ThreadPool(rank, ranks, table, barrier))
            for rank in range(ranks)
        ]
        return [future.result() for future in futures]
