"""A run that only says what it was given, for tests of the launch."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

from mimickit.errors import UnknownMotion

FAILURES = {"user": UnknownMotion("no motion 'wlk'"), "bug": RuntimeError("boom")}


class Train:
    """Takes the place of mimickit.run.Train; FAKE_FAILURE makes it fail while it is built."""

    runs: ClassVar[list] = []

    def __init__(
        self,
        folder,
        *,
        seed,
        num_envs,
        max_samples,
        device,
        motion,
        resume,
        training,
        evaluation,
        engine,
        character,
        task,
        action,
        method,
        algo,
        model,
        logger,
    ):
        self.settings = {k: v for k, v in locals().items() if k not in ("self", "folder")}
        self.folder = folder
        failure = os.environ.get("FAKE_FAILURE")
        if failure == "ctrl-c":
            raise KeyboardInterrupt
        if failure == "sigterm":
            os.kill(os.getpid(), signal.SIGTERM)
        if failure:
            raise FAILURES[failure]

    def start(self):
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        (self.folder / "checkpoints" / "0001.pt").write_text("weights")
        Train.runs.append(self)
        return 1.0
