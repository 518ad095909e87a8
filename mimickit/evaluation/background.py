"""Evaluates snapshots of a policy on a CUDA stream of its own, while training goes on."""

from __future__ import annotations

import copy
from typing import Optional

import torch

from mimickit.evaluation.evaluator import Evaluator, Results
from mimickit.models.policy import Policy

STEPS_PER_TURN = 32  # control steps that are enqueued at once: as many as an iteration trains on


class BackgroundEvaluation:
    """One evaluation at a time, in turns that the device works off beside what else it does.

    Nothing waits for the device but `prepare` and `finish`. Without CUDA each turn is worked off at
    once.

    Args:
        evaluator: nobody else may use it.
        policy: what will be evaluated: copied here, and anew at the start of every evaluation.

    Attributes:
        busy: whether an evaluation has begun and its results have not been fetched.
    """

    def __init__(self, evaluator: Evaluator, policy: Policy) -> None:
        self.busy = False
        self._evaluator = evaluator
        self._snapshot = copy.deepcopy(policy)
        self._device = evaluator.env.device
        on_cuda = self._device.type == "cuda"
        self._stream = torch.cuda.Stream(self._device) if on_cuda else None
        self._turn_ends = torch.cuda.Event() if on_cuda else None
        # Whether all is over, as the last turn left it: in memory of the host.
        self._over = torch.zeros((), dtype=torch.bool, pin_memory=on_cuda)

    def prepare(self, policy: Policy) -> None:
        """Compile and capture what an evaluation does, which may take seconds, ahead of time."""
        self.begin(policy)
        self._wait()
        self.busy = False

    def begin(self, policy: Policy) -> None:
        """Start to evaluate the policy as it is now."""
        assert not self.busy, "one evaluation at a time"
        self.busy = True
        self._snapshot.load_state_dict(policy.state_dict())  # copies in place
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._evaluator.begin(self._snapshot)
        self._take_turn()

    def proceed(self) -> Optional[Results]:
        """Enqueue the next turn if the last one has ended; the results once all is over."""
        if not self.busy or (self._turn_ends is not None and not self._turn_ends.query()):
            return None
        if not bool(self._over):
            self._take_turn()
            return None
        self.busy = False
        with torch.cuda.stream(self._stream):
            return self._evaluator.results()

    def finish(self) -> Optional[Results]:
        """Wait for the results of the evaluation that runs; None if there is none."""
        results = None
        while self.busy:
            self._wait()
            results = self.proceed()
        return results

    def _take_turn(self) -> None:
        with torch.cuda.stream(self._stream):
            for _ in range(STEPS_PER_TURN):
                self._evaluator.advance()
            self._over.copy_(self._evaluator.over, non_blocking=True)
            if self._turn_ends is not None:
                self._turn_ends.record()

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()
