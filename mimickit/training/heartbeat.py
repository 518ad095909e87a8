"""Ends every process of a run soon after one of them is gone, with a message that names it.

A process that is killed takes no leave, and one that waits for it in a collective waits for ever
on a GPU. So every rank counts up a number of its own in the store of the process group, on a thread
and a connection of its own. Rank 0 watches the others, they watch rank 0, and whoever sees a number
stand still writes down whose.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from typing import Callable

import torch.distributed as dist

from mimickit.ranks import Ranks

BEAT_S = 1.0
LOST_AFTER_S = 15.0  # of silence; a process that holds Python's lock longer would look dead
GRACE_S = 3.0  # in which the main thread may itself end, once it is known who is gone
FAILED = "failed"  # key of what went wrong


class Heartbeat(threading.Thread):
    """Beats for this rank and watches others; ends this process where they cannot go on.

    Args:
        connect: makes a connection to the store, for this thread alone.
        ranks: this process.
        prefix: of the keys.
    """

    def __init__(self, connect: Callable[[], dist.Store], ranks: Ranks, prefix: str) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._store = connect()
        self._ranks, self._prefix = ranks, prefix
        self._lock = threading.Lock()  # a store's connection serves one request at a time
        self._stopped = threading.Event()
        self._known = threading.Event()
        self._ending = threading.Event()
        self._failure = ""
        self._beats = 0
        self.beat()

    def beat(self) -> None:
        """Say that this rank is alive."""
        self._beats += 1
        with self._lock:
            self._store.set(self._key(self._ranks.rank), f"{self._beats} {socket.gethostname()}")

    def run(self) -> None:
        """Beat and watch until told to stop, or until a rank is gone."""
        others = range(1, self._ranks.size) if self._ranks.rank == 0 else [0]
        last = {rank: ("", time.monotonic()) for rank in others}
        while not self._stopped.wait(BEAT_S):
            try:
                self.beat()
                failure = self._written() or self._silent(last)
            except RuntimeError:  # what torch raises for every trouble with the store
                failure = f"rank 0 of {self._ranks.size}, or torchrun that started it, is gone"
            if failure and not self._stopped.is_set():
                self._end(failure)

    def failure(self, timeout: float = LOST_AFTER_S + 3 * BEAT_S) -> str:
        """Who is gone, waited for as long as it takes to find out; empty if all are there.

        From here on the caller ends the process, not this thread.
        """
        self._ending.set()
        self._known.wait(timeout)
        return self._failure

    def announce(self, failure: str) -> None:
        """Tell all ranks why they must end, unless they know."""
        self._stopped.set()
        if self._known.is_set():
            return
        try:
            with self._lock:
                self._store.compare_set(f"{self._prefix}/{FAILED}", "", failure)
        except RuntimeError:
            return  # the store is gone, so all who would read this end in any case

    def stop(self) -> None:
        """Beat no more: all is well."""
        self._stopped.set()
        if self.is_alive():
            self.join(5.0)

    def _written(self) -> str:
        """What another rank has written down."""
        key = f"{self._prefix}/{FAILED}"
        with self._lock:
            return self._store.get(key).decode() if self._store.check([key]) else ""

    def _silent(self, last: dict[int, tuple[str, float]]) -> str:
        """Which rank has not beaten for too long; empty if none.

        Args:
            last: by rank, its last beat and when it was seen: brought up to date.
        """
        for rank, (seen, since) in last.items():
            with self._lock:
                beat = self._store.get(self._key(rank)).decode()
            now = time.monotonic()
            if beat != seen:
                last[rank] = (beat, now)
            elif now - since > LOST_AFTER_S:
                host = beat.split(" ", 1)[1]
                failure = (
                    f"rank {rank} of {self._ranks.size} on {host} is gone: it has not answered for "
                    f"{LOST_AFTER_S:g} s (killed, out of memory, or its host is lost)"
                )
                with self._lock:
                    self._store.compare_set(f"{self._prefix}/{FAILED}", "", failure)
                return failure
        return ""

    def _end(self, failure: str) -> None:
        """Let the main thread end, or, where it hangs, end the process under it."""
        self._failure = failure
        self._known.set()
        self._stopped.set()
        if self._ending.wait(GRACE_S):
            return
        print(f"[{self._ranks.label}] error: {failure}", file=sys.stderr, flush=True)
        os._exit(1)

    def _key(self, rank: int) -> str:
        return f"{self._prefix}/beat/{rank}"
