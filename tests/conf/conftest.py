"""Fixtures that launch runs inside the test process."""

from __future__ import annotations

import sys

import pytest

from mimickit import launch
from tests.conf import fakes


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """A function like the command line of train.py: (exit code, runs, stderr).

    Sweeps stay in this process unless the arguments choose a launcher.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    for name in ("MIMICKIT_RUN_ID", "MIMICKIT_CONF", "MIMICKIT_ENGINE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)

    @launch.main()
    def main(cfg):
        return launch.build(cfg).start()

    def call(*arguments):
        if "-m" in arguments and not any(word.startswith("hydra/launcher=") for word in arguments):
            arguments = (*arguments, "hydra/launcher=basic")
        monkeypatch.setattr(
            sys, "argv", ["train.py", "_target_=tests.conf.fakes.Train", *arguments]
        )
        monkeypatch.setattr(fakes.Train, "runs", [])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        return code, list(fakes.Train.runs), capsys.readouterr().err

    return call
