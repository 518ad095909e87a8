"""Which process of a run this is, from the variables of torchrun and of SLURM."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mimickit.errors import RunError
from mimickit.ranks import Ranks, find_ranks, first_host

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "gpu01",
    "MASTER_PORT": "29400",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}
# What srun set on the second of two hosts with three and two tasks.
SLURM = {
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "5",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07,09]",
    "SLURM_STEP_TASKS_PER_NODE": "3,2",
    "SLURM_JOB_ID": "1000",
    "SLURM_STEP_ID": "0",
}


def test_torchrun_says_all():
    assert find_ranks(TORCHRUN) == Ranks(5, 8, 1, 4, "gpu01", 29400, store_is_there=True)
    assert find_ranks(TORCHRUN).label == "rank 5 of 8"


def test_variables_set_by_hand_for_one_host_are_enough():
    few = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}
    assert find_ranks(few) == Ranks(1, 2, 1, 2, "127.0.0.1", 29500)


def test_tasks_of_a_slurm_step_meet_at_its_first_host():
    assert find_ranks(SLURM) == Ranks(4, 5, 1, 2, "gpu07", 27000)
    other = find_ranks({**SLURM, "SLURM_JOB_ID": "1001"})
    assert other.port != find_ranks(SLURM).port


def test_on_one_host_the_name_of_the_host_need_not_resolve():
    one = {**SLURM, "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_TASKS_PER_NODE": "5"}
    assert find_ranks(one).address == "127.0.0.1"
    assert find_ranks({**one, "MASTER_ADDR": "10.0.0.1"}).address == "10.0.0.1"


def test_torchrun_within_a_slurm_step_counts():
    assert find_ranks({**SLURM, **TORCHRUN}).size == 8


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WORLD_SIZE": "1", "RANK": "0"},
        # A batch script of a job with four tasks, which no srun has started.
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"},
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ],
)
def test_everything_else_is_a_run_of_one_process(environ):
    assert find_ranks(environ) == Ranks()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("login1", "login1"),
        ("gpu[07-09,12],login1", "gpu07"),
        ("a[1,3]-ib", "a1-ib"),
        ("n1,n2", "n1"),
    ],
)
def test_first_host_of_slurms_lists(nodes, first):
    assert first_host(nodes) == first


def test_a_missing_variable_is_named():
    with pytest.raises(RunError, match=r"^RANK=nothing: a whole number is needed; .*LOCAL_RANK"):
        find_ranks({"WORLD_SIZE": "2", "MASTER_PORT": "1"})
    with pytest.raises(RunError, match=r"names no host: set MASTER_ADDR"):
        first_host("")


def test_it_imports_no_torch():
    code = "import sys, mimickit.ranks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
