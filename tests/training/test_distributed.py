"""Processes of one run meet, exchange sums, learn what one process would, and end together."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from mimickit.training.checkpoint import read
from tests.training.processes import (
    PYTHON_PATH,
    ROOT,
    environment,
    finish,
    free_port,
    start,
    start_training,
)
from tests.training.runs import ITERATION, TINY, metrics

# Also those that need GPUs: they are slow as well, and `-m gpu` asks for them by that name.
pytestmark = pytest.mark.slow

JOIN = """
import os, sys, time, torch
from mimickit.errors import MimicKitError
from mimickit.ranks import find_ranks
from mimickit.training import distributed
group = distributed.join(find_ranks(os.environ))
rank = group.ranks.rank
"""


def speak(size, code, exit_code=0):
    """What each rank of a small program prints, which begins with joining a group."""
    return finish(start(size, "-c", JOIN + code), exit_code, timeout=60)


def newest(folder):
    names = (folder / "checkpoints").glob("checkpoint_*.pt")
    return sorted(path for path in names if "rank" not in path.name)[-1]


def test_ranks_sum_agree_and_take_turns():
    said = speak(
        3,
        """
values = torch.tensor([1.0, rank])
assert group.pool.sum(values) is values
print(values.tolist(), group.any(rank == 2, False), group.agree("x", f"text {rank}"))
with group.in_turn("work"):
    begun = time.time()
    time.sleep(0.3)
group.check_equal([torch.ones(3), torch.tensor(True)])
print(begun)
group.close()
""",
    )
    lines = [out.splitlines() for out, _ in said]
    assert {line[0] for line in lines} == {"[3.0, 3.0] (True, False) text 0"}
    begun = [float(line[1]) for line in lines]
    assert min(begun[1:]) - begun[0] > 0.29
    assert [err for _, err in said] == ["", "", ""]


def test_ranks_with_other_weights_are_named():
    said = speak(
        3,
        """
try:
    group.check_equal([torch.ones(3), torch.tensor(0.5 if rank == 2 else 0.25)])
except MimicKitError as error:
    print(error)
group.close()
""",
    )
    for out, _ in said:
        assert out.startswith("the weights of rank 2 are not those of rank 0, so something learns")


def test_two_groups_in_a_row_do_not_meet_each_others_messages():
    said = speak(
        2,
        """
first = group.agree("x", "first")
group.close()
group = distributed.join(find_ranks(os.environ))
print(first, group.agree("x", "second"))
group.close()
""",
    )
    assert [out for out, _ in said] == ["first second\n"] * 2


def test_a_rank_that_does_not_come_is_named():
    code = JOIN.replace(
        "group =",
        "from datetime import timedelta\ndistributed.JOIN_TIMEOUT = timedelta(seconds=2)\ngroup =",
    )
    variables = {**environment(0, 3, free_port()), "PYTHONPATH": PYTHON_PATH}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "RunError: rank 0 of 3: after 2 s rank 1, 2 is not there" in done.stderr


def test_a_rank_that_fails_ends_the_others_and_says_who():
    processes = start(
        2,
        "-c",
        JOIN
        + """
if rank == 1:
    sys.exit("rank 1 had enough")
while True:
    group.any(False)
""",
    )
    began = time.monotonic()
    said = finish(processes, 1, timeout=60)
    assert time.monotonic() - began < 30
    assert re.search(r"RunError: rank 1 of 2 on \S+ ended early: see its own message", said[0][1])
    assert said[1][1].strip() == "rank 1 had enough"


def test_a_process_that_hangs_where_python_cannot_end_it_is_ended():
    processes = start(
        2,
        "-c",
        JOIN
        + """
print("here", flush=True)
if rank == 1:
    os.kill(os.getpid(), 9)
time.sleep(1000)  # as in a collective on a GPU
""",
    )
    assert processes[0].stdout.readline() == "here\n"
    began = time.monotonic()
    out = processes[0].communicate(timeout=60)[1]
    assert time.monotonic() - began < 30
    assert processes[0].returncode == 1
    assert re.search(
        r"^\[rank 0 of 2\] error: rank 1 of 2 on \S+ is gone: it has not answered", out
    )
    processes[1].communicate()


LEARNING = (
    *(o for o in TINY if not o.startswith(("num_envs", "model.", "evaluation.every"))),
    "num_envs=128",
    "model.actor_hidden=[32]",
    "model.critic_hidden=[32]",
    "evaluation.every=1e9",
    "max_samples=5120",
    # Nothing that would magnify the last bit: contacts end no episode (all are cut by the clock
    # within an iteration), and no gradient near zero becomes a step of full length, as in Adam.
    "task.pose_termination=false",
    "task.contact_termination=false",
    "task.episode_length_s=0.2",
    *(
        f"algo.{name}_optimizer.{setting}"
        for name in ("actor", "critic")
        for setting in ("_target_=torch.optim.SGD", "lr=0.01")
    ),
)


@pytest.mark.engine("mujoco")
def test_two_processes_with_64_envs_learn_what_one_with_128_does(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    runs = [
        start(size, "-m", "tests.training.fixed_draws", folder, *LEARNING)
        for size, folder in enumerate(folders, start=1)
    ]
    for processes in runs:
        finish(processes)
    one, two = (read(newest(folder))["policy"] for folder in folders)
    early = read(min((folders[0] / "checkpoints").glob("checkpoint_*.pt")))["policy"]
    for name, value in one.items():
        if name.startswith(("actor", "critic")):
            assert (two[name] - value).abs().max() < 1e-6, name
        if name.endswith("weight"):
            assert (early[name] - value).abs().max() > 1e-4, name
    mean = "normalizers.policy.mean"
    torch.testing.assert_close(two[mean], one[mean], rtol=0, atol=1e-6)
    assert two["normalizers.policy.count"] == one["normalizers.policy.count"] == 5120
    ours, theirs = (metrics(folder) for folder in folders)
    assert list(ours) == list(theirs)
    for name in ours:
        found = torch.tensor([[float(x) for x in m[name]] for m in (ours, theirs)])
        torch.testing.assert_close(found[1], found[0], equal_nan=True, rtol=1e-4, atol=1e-5)


PERIODS = ("training.checkpoint_every_s=0.3", f"evaluation.every={10 * ITERATION}")


def wait_for_checkpoint(processes, folder, seconds=90):
    limit = time.monotonic() + seconds
    while not list((folder / "checkpoints").glob("checkpoint_????????????.pt")):
        assert time.monotonic() < limit
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


@pytest.mark.engine("mujoco")
@pytest.mark.parametrize(
    "method",
    [
        ("method=deepmimic",),
        (
            "method=add",
            *(f"method.parts.tracking.{s}" for s in ("hidden=[8]", "replay_capacity=64")),
        ),
    ],
    ids=["deepmimic", "add"],
)
def test_a_signal_to_any_rank_saves_all_and_going_on_is_exact(tmp_path, method):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    settings = (*TINY, f"max_samples={40 * ITERATION}", *method, *PERIODS)
    undisturbed = start_training(2, straight, *settings)
    processes = start_training(2, broken, *settings)
    wait_for_checkpoint(processes, broken)
    processes[1].send_signal(signal.SIGTERM)
    said = finish(processes, 130)
    assert said[0][0].splitlines()[-1].split() == [
        *("torchrun", "--nproc-per-node", "2", "train.py"),
        f"resume={broken}",
    ]
    assert said[1] == ("", "")
    assert int(metrics(broken)["samples"][-1]) == read(newest(broken))["samples"] < 40 * ITERATION
    said = finish(start(2, "train.py", f"resume={broken}"))
    assert "goes on after" in said[0][0]
    assert said[1] == ("", "")
    finish(undisturbed)
    assert metrics(broken) == metrics(straight)
    for rank in ("", ".rank1"):
        ours, theirs = (
            read(newest(folder).with_suffix(f"{rank}.pt")) for folder in (broken, straight)
        )
        assert all(torch.equal(ours["policy"][n], v) for n, v in theirs["policy"].items())
        assert torch.equal(ours["run"]["noise"], theirs["run"]["noise"])
    alone = finish(start(1, "train.py", f"resume={broken}"), 1)
    assert "over 2 processes, this is one over 1" in alone[0][1]


@pytest.mark.engine("mujoco")
def test_a_killed_rank_ends_the_other_in_30_s_with_its_name(tmp_path):
    endless = (*TINY, "max_samples=1e9", "evaluation.every=1e9")
    processes = start_training(2, tmp_path / "run", *endless)
    wait_for_checkpoint(processes, tmp_path / "run")
    began = time.monotonic()
    processes[1].kill()
    err = processes[0].communicate(timeout=60)[1]
    processes[1].communicate()
    assert time.monotonic() - began < 30
    assert processes[0].returncode == 1
    assert re.fullmatch(
        r"\[rank 0 of 2\] error: rank 1 of 2 on \S+ is gone: it has not answered for 15 s .*\n", err
    )


@pytest.mark.engine("mujoco")
def test_torchrun_starts_a_run_in_one_folder_that_one_rank_writes(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *(
                "--master-port",
                str(free_port()),
                "--redirects",
                "3",
                "--log-dir",
                tmp_path / "logs",
            ),
            *("train.py", *TINY, f"max_samples={2 * ITERATION}"),
            f"hydra.run.dir={tmp_path}/run-${{run_id:}}",  # without a common id, each rank has one
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    logs = {path.parent.name: path for path in (tmp_path / "logs").rglob("std*.log")}
    assert done.returncode == 0, (done.stderr, logs)
    (folder,) = tmp_path.glob("run-*")
    assert (folder / "evaluation.json").exists()
    assert metrics(folder)["samples"] == [str(ITERATION), str(2 * ITERATION)]
    (stdout,) = (tmp_path / "logs").rglob("1/stdout.log")
    assert stdout.read_text() == ""


@pytest.mark.engine("mujoco")
def test_envs_that_cannot_be_divided_are_refused_by_every_rank(tmp_path):
    said = finish(start_training(3, tmp_path / "run", *TINY), 1)
    for rank, (_, err) in enumerate(said):
        assert err == (
            f"[rank {rank} of 3] error: num_envs=8 cannot be divided evenly over 3 processes: it "
            "counts those of all of them; num_envs=9 can\n"
        )


@pytest.mark.engine("mujoco")
def test_two_hosts_train_together(tmp_path):
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        pytest.skip("network namespaces need root, iproute2 and util-linux")
    folder = tmp_path / "run"
    settings = [*TINY, f"max_samples={2 * ITERATION}", f"hydra.run.dir={folder}"]
    script = ROOT / "tests" / "training" / "two_hosts.sh"
    done = subprocess.run(
        [script, sys.executable, *settings], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("network namespaces are not allowed here")
    assert done.returncode == 0, done.stderr
    assert "2 processes, each with 4 x humanoid" in done.stdout
    assert metrics(folder)["samples"] == [str(ITERATION), str(2 * ITERATION)]
    parts = sorted(path.name for path in (folder / "checkpoints").glob("checkpoint_*"))
    assert parts[-2:] == ["checkpoint_000000000128.pt", "checkpoint_000000000128.rank1.pt"]


ON_GPUS = (
    *(o for o in TINY if not o.startswith(("engine", "num_envs", "evaluation.every"))),
    "engine=mujoco_warp",
    "num_envs=64",
    "training.compile=false",
    "evaluation.every=1e9",
)


@pytest.mark.gpu
@pytest.mark.multi_gpu
@pytest.mark.engine("mujoco_warp")
@pytest.mark.parametrize("method", ["deepmimic", "amp"])
def test_captured_updates_keep_gpus_equal(tmp_path, method):
    """Ten iterations: two eager ones, then replayed graphs with NCCL's sums in them."""
    folder = tmp_path / "run"
    said = finish(
        start_training(2, folder, *ON_GPUS, f"method={method}", f"max_samples={10 * 512}"),
        timeout=400,
    )
    assert "2 processes, each with 32 x humanoid" in said[0][0]
    first, second = (read(newest(folder).with_suffix(f"{part}.pt")) for part in ("", ".rank1"))
    for name, value in first["policy"].items():
        assert torch.equal(value, second["policy"][name]), name
    assert not torch.equal(first["run"]["noise"], second["run"]["noise"])
    assert metrics(folder)["samples"][-1] == str(10 * 512)


@pytest.mark.gpu
@pytest.mark.multi_gpu
@pytest.mark.engine("mujoco_warp")
def test_a_killed_rank_ends_one_that_waits_on_its_gpu(tmp_path):
    processes = start_training(2, tmp_path / "run", *ON_GPUS, "max_samples=1e9")
    wait_for_checkpoint(processes, tmp_path / "run", seconds=300)
    began = time.monotonic()
    processes[1].kill()
    err = processes[0].communicate(timeout=60)[1]
    processes[1].communicate()
    assert time.monotonic() - began < 30
    assert "error: rank 1 of 2 on" in err
