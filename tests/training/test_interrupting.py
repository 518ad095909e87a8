"""A training process that is killed or stopped goes on as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.training.runs import ITERATION, TINY, last_policy, metrics

pytestmark = [pytest.mark.slow, pytest.mark.engine("mujoco")]

ROOT = Path(__file__).resolve().parents[2]
BUDGET = f"max_samples={60 * ITERATION}"
PERIODS = (
    "training.checkpoint_every_s=0.2",
    "training.keep_checkpoints=3",
    f"evaluation.every={15 * ITERATION}",
)


def start(*arguments):
    """train.py as a process of its own."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("MIMICKIT_", "HYDRA_"))}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=ROOT,
        env={**variables, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_run(folder):
    return start(*TINY, BUDGET, *PERIODS, f"hydra.run.dir={folder}")


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("checkpoint_*.pt"))


def wait_for_checkpoints(process, folder, count):
    """Wait until a run has written its count-th checkpoint, of which it keeps three."""
    seen, limit = set(), time.monotonic() + 120
    while len(seen) < count and process.poll() is None and time.monotonic() < limit:
        seen.update(path.name for path in checkpoints(folder))
        time.sleep(0.005)
    assert len(seen) >= count, process.communicate()[1]


def finish(process, code=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    finish(start_run(folder))
    return folder


def assert_same(folder, straight):
    assert metrics(folder) == metrics(straight)
    ours, theirs = last_policy(folder), last_policy(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("delay", [0.0, 0.111, 0.25])
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(straight, tmp_path, delay):
    folder = tmp_path / "run"
    process = start_run(folder)
    wait_for_checkpoints(process, folder, 1)
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done already: make it longer"
    assert not (folder / "evaluation.json").exists()
    out, _ = finish(start(f"resume={folder}"))
    assert "goes on after" in out
    assert_same(folder, straight)
    assert not list((folder / "checkpoints").glob("*.tmp*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_says_how_to_go_on_and_going_on_is_exact(straight, tmp_path, number):
    folder = tmp_path / "a run"
    process = start_run(folder)
    wait_for_checkpoints(process, folder, 1)
    process.send_signal(number)
    out, err = finish(process, code=130)
    assert "Traceback" not in err
    command = out.strip().splitlines()[-1]
    assert command.strip() == f"python train.py resume='{folder}'"
    samples = int(metrics(folder)["samples"][-1])
    assert int(checkpoints(folder)[-1].stem.split("_")[1]) == samples < 60 * ITERATION
    finish(start(f"resume={folder}"))
    assert_same(folder, straight)
