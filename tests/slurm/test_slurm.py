"""Sweeps on a real SLURM of one node: submitted, preempted, requeued, cancelled, failed, listed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mimickit.launch.runs import slurm_states, survey
from mimickit.launch.status import read_status
from tests.guides import blocks, run
from tests.training.runs import TINY, last_policy, metrics

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.engine("mujoco")]

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "hydra/launcher=slurm_cpu", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1",
    "hydra.launcher.dirty=true",  # tests run on the tree as it is
]  # fmt: skip
ITERATIONS = 150
RUN = [
    *TINY,
    f"max_samples={ITERATIONS * 64}",
    "training.checkpoint_every_s=60",
    "evaluation.every=1e9",
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A SLURM of this module's own; commands find it by SLURM_CONF."""
    folder = tmp_path_factory.mktemp("slurm")
    before = {k: v for k, v in os.environ.items() if k.startswith(("SLURM_", "MIMICKIT_"))}
    for name in before:
        del os.environ[name]
    subprocess.run([ROOT / "tests/slurm/slurm.sh", "start", folder], check=True)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    del os.environ["SLURM_CONF"]
    subprocess.run([ROOT / "tests/slurm/slurm.sh", "stop", folder], check=True)
    os.environ.update(before)


def train(*arguments, code=0):
    """Run train.py here; what it printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def listing(folder):
    """What scripts/runs.py prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/runs.py", folder],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def states(folder):
    return {run.folder.name: run.state for run in survey(folder)}


def wait(condition, what, limit_s=150):
    """Until a condition holds."""
    limit = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < limit, f"still not: {what}"
        time.sleep(0.2)


def iterations(folder):
    path = folder / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def test_a_sweep_with_a_job_preempted_one_cancelled_one_killed_and_one_undisturbed(slurm, tmp_path):
    sweep = tmp_path / "sweep"
    out = train("-m", *SMALL, *RUN, "method=deepmimic,add", "seed=0,1", f"hydra.sweep.dir={sweep}")
    assert f"4 jobs in {sweep}, submitted to SLURM as 1:" in out
    names = [
        f"{number}-{method}-humanoid-walk-seed{seed}"
        for number, (method, seed) in enumerate(
            (method, seed) for method in ("deepmimic", "add") for seed in (0, 1)
        )
    ]
    preempted, cancelled, killed, _ = (sweep / name for name in names)
    for folder in (preempted, cancelled, killed):
        wait(lambda: iterations(folder) >= 3, f"three iterations of {folder.name}")  # noqa: B023
    subprocess.run(["scancel", "--signal=USR2", "1_0"], check=True)
    subprocess.run(["scancel", "1_1"], check=True)
    os.kill(read_status(killed).pid, 9)
    wait(lambda: states(sweep)[preempted.name] == "preempted", "the job to be queued again")
    wait(lambda: read_status(preempted).starts == 2, "SLURM to start it again")
    ended = {"finished", "cancelled", "failed"}
    wait(lambda: set(states(sweep).values()) <= ended, "all jobs to end")
    assert list(states(sweep).values()) == ["finished", "cancelled", "failed", "finished"]

    text = listing(sweep)
    assert f"{cancelled.name} cancelled: stopped by SIGTERM" in text
    assert f"{killed.name} failed: SLURM says FAILED: " in text
    assert text.splitlines()[-1] == "2 finished, 1 failed, 1 cancelled"

    straight = tmp_path / "straight"
    train(*RUN, "method=deepmimic", "seed=0", f"hydra.run.dir={straight}")
    assert metrics(preempted) == metrics(straight)
    assert len(metrics(straight)["samples"]) == ITERATIONS
    ours, theirs = last_policy(preempted), last_policy(straight)
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_job_that_fails_keeps_its_error_where_the_list_shows_it(slurm, tmp_path):
    sweep = tmp_path / "sweep"
    train("-m", *SMALL, *RUN, "motion=wlak", f"hydra.sweep.dir={sweep}")
    (folder,) = [path for path in sweep.iterdir() if path.name.startswith("0-")]
    wait(lambda: states(sweep)[folder.name] == "failed", "the job to fail")
    text = listing(sweep)
    assert f"{folder.name} failed: character 'humanoid' has no motion 'wlak'" in text
    assert f"  {folder}/error.txt" in text
    assert "Traceback" in (folder / "error.txt").read_text()
    number = read_status(folder).slurm_job
    wait(lambda: slurm_states([number]) == {number: "FAILED"}, "SLURM to know")


def test_a_job_of_higher_priority_takes_the_place_and_gives_it_back(slurm, tmp_path):
    sweep = tmp_path / "sweep"
    low = ["hydra.launcher.partition=low", "hydra.launcher.cpus_per_task=4"]
    train("-m", *SMALL, *RUN, *low, "seed=3", f"hydra.sweep.dir={sweep}")
    (folder,) = [path for path in sweep.iterdir() if path.name.startswith("0-")]
    wait(lambda: iterations(folder) >= 3, "three iterations")
    urgent = ["sbatch", "--partition=main", "--cpus-per-task=4", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 2"], check=True, capture_output=True)
    wait(lambda: states(sweep)[folder.name] == "preempted", "the job to be preempted")
    assert "preempted: stopped by SIGUSR2, all saved" in listing(sweep)
    wait(lambda: states(sweep)[folder.name] == "finished", "it to go on and finish")
    assert read_status(folder).starts == 2
    assert iterations(folder) == ITERATIONS


def test_the_tasks_of_a_job_are_one_run(slurm, tmp_path):
    sweep = tmp_path / "sweep"
    two = ["hydra.launcher.tasks_per_node=2"]
    train("-m", *SMALL, *RUN, *two, "seed=0", f"hydra.sweep.dir={sweep}")
    (folder,) = [path for path in sweep.iterdir() if path.name.startswith("0-")]
    wait(lambda: iterations(folder) >= 3, "three iterations")
    subprocess.run(["scancel", "--signal=USR2", read_status(folder).slurm_job], check=True)
    wait(lambda: states(sweep)[folder.name] == "finished", "it to go on and finish")
    assert read_status(folder).starts == 2
    assert iterations(folder) == ITERATIONS


def test_every_command_of_the_guide_runs(slurm, tmp_path):
    out = run(blocks("cluster", "bash"), tmp_path)
    assert "partition: main\n" in out
    sweep = tmp_path / "lab" / "sweep"
    assert set(states(sweep).values()) == {"finished"}
    starts = [read_status(path.parent).starts for path in sorted(sweep.glob("*/status.json"))]
    assert sorted(starts) == [1, 1, 1, 2]
    assert "| walk |" in (tmp_path / "lab" / "table.md").read_text()
