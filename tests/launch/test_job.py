"""A job's process: what it leaves behind when it is stopped, preempted, or fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mimickit import launch
from mimickit.launch.job import run_job
from mimickit.launch.status import QUEUED, Status, read_status, write_status
from mimickit.training import provenance
from mimickit.training.signals import STOP_SIGNALS

ROOT = Path(__file__).resolve().parents[2]
# A run that fails with seed 1, and otherwise sends itself the signals that its motion lists.
LAB = """
import signal
from pathlib import Path


class Train:
    def __init__(self, folder, *, seed, motion, **settings):
        self.folder, self.seed, self.motion = Path(folder), seed, motion

    def start(self):
        if self.seed == 1:
            raise ArithmeticError("on purpose")
        (self.folder / "here").write_text(str(Path.cwd()))
        for number in self.motion:
            signal.raise_signal(number)
        return 4.0
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Runs a job in this process, as its own would: its folder and the exit code."""
    (tmp_path / "lab.py").write_text(LAB)
    (tmp_path / "cwd").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "lab", raising=False)
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    folder = tmp_path / "job"
    write_status(folder, Status(QUEUED, max_samples=100))

    def run(seed=0, signals=(), requeue=False, scontrol="", **variables):
        sent = f"motion=[{','.join(str(int(number)) for number in signals)}]"
        cfg = launch.compose([f"seed={seed}", sent, "_target_=lab.Train", "max_samples=100"])
        provenance.write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg))
        command = tmp_path / "bin" / "scontrol"
        command.write_text(f"#!/bin/sh\necho $* > {folder}/asked\n{scontrol}")
        command.chmod(0o755)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        try:
            run_job(str(folder), str(tmp_path / "cwd"), requeue)
        except SystemExit as stop:
            return folder, stop.code
        return folder, 0

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_job_that_ends_well_says_so_and_ran_where_it_was_submitted(job, tmp_path):
    folder, code = job()
    status = read_status(folder)
    assert (code, status.state, status.score, status.pid) == (0, "finished", 4.0, os.getpid())
    assert (folder / "here").read_text() == str(tmp_path / "cwd")


def test_a_job_that_fails_keeps_its_error_and_exits_with_1(job, capsys):
    folder, code = job(seed=1)
    assert (code, read_status(folder).reason) == (1, "ArithmeticError: on purpose")
    assert 'raise ArithmeticError("on purpose")' in (folder / "error.txt").read_text()
    assert "ArithmeticError: on purpose" in capsys.readouterr().err


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_job_that_is_stopped_is_cancelled(job, number):
    folder, code = job(signals=[number])
    status = read_status(folder)
    assert (code, status.state, status.reason) == (130, "cancelled", f"stopped by {number.name}")
    assert not (folder / "asked").exists()


ARRAY = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}

SECOND = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_preempted_job_asks_slurm_to_run_it_again(job, number):
    folder, code = job(signals=[number], requeue=True, **ARRAY)
    assert (code, read_status(folder).state) == (0, "preempted")
    assert (folder / "asked").read_text() == "requeue 7_3\n"


def test_what_slurm_sends_while_it_takes_the_job_back_is_ignored(job):
    folder, code = job(signals=[signal.SIGUSR2], requeue=True, scontrol="kill $PPID", **ARRAY)
    assert (code, read_status(folder).state) == (0, "preempted")


def test_a_cancelled_job_stays_cancelled_under_slurm(job):
    folder, code = job(signals=[signal.SIGTERM], requeue=True, **ARRAY)
    assert (code, read_status(folder).state) == (130, "cancelled")
    assert not (folder / "asked").exists()


def test_other_ranks_of_a_preempted_job_leave_that_to_the_first(job):
    folder, code = job(signals=[signal.SIGUSR2], requeue=True, **ARRAY, **SECOND)
    assert (code, read_status(folder).state) == (0, "queued")
    assert not (folder / "asked").exists()


def test_a_job_that_slurm_does_not_take_back_has_failed(job):
    refuse = "echo Job may not be requeued >&2; exit 1"
    folder, code = job(signals=[signal.SIGUSR2], requeue=True, scontrol=refuse, **ARRAY)
    status = read_status(folder)
    assert (code, status.state) == (1, "failed")
    assert "SLURM would not take it back (Job may not be requeued)" in status.reason
    assert f"python train.py resume={folder}" in status.reason


def test_a_job_that_never_gets_anywhere_is_not_queued_for_ever(job):
    for start in range(1, 7):
        folder, code = job(signals=[signal.SIGUSR2], requeue=True, **ARRAY)
        assert (code, read_status(folder).starts) == (0 if start < 6 else 1, start)
    status = read_status(folder)
    assert status.state == "failed"
    assert "preempted 6 times in a row before a single iteration was done" in status.reason


def test_a_job_without_a_config_fails_as_a_program_of_its_own(tmp_path):
    write_status(tmp_path, Status(QUEUED))
    done = subprocess.run(
        [sys.executable, "-m", "mimickit.launch.job", tmp_path, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    line = f"'{tmp_path}' is not a run folder: it has no config.yaml"
    assert (done.returncode, done.stderr) == (1, f"error: {line}\n")
    assert (read_status(tmp_path).state, read_status(tmp_path).reason) == ("failed", line)
