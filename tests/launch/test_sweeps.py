"""What a sweep was to consist of is read from Hydra's own record."""

from __future__ import annotations

import pytest

from mimickit.errors import RunError
from mimickit.launch.sweeps import planned_jobs
from tests.evaluation.sweeps import write_record


def test_jobs_of_a_grid_are_those_hydra_makes(tmp_path):
    write_record(
        tmp_path,
        ["num_envs=64", "method=amp,add", "motion=[walk,run]", "seed=range(0,2)"],
        params={"method": "deepmimic", "algo.clip": "0.1,0.2"},
    )
    jobs = planned_jobs(tmp_path)
    # What is typed wins over the params; what is the same for all jobs is left out.
    assert len(jobs) == 8
    assert jobs[0] == ["algo.clip=0.1", "method=amp", "seed=0"]
    assert jobs[1] == ["algo.clip=0.1", "method=amp", "seed=1"]
    assert jobs[7] == ["algo.clip=0.2", "method=add", "seed=1"]


def test_other_sweepers_and_other_folders_plan_nothing(tmp_path):
    assert planned_jobs(tmp_path) == {}
    assert planned_jobs(tmp_path / "none") == {}
    write_record(tmp_path, ["seed=0,1"], sweeper="optuna.Sweeper")
    assert planned_jobs(tmp_path) == {}


@pytest.mark.parametrize("text", ["hydra: [", "[]", "hydra: {}", "\xff"])
def test_damaged_record_is_named(tmp_path, text):
    (tmp_path / "multirun.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"multirun\.yaml does not say what the sweep was to do"):
        planned_jobs(tmp_path)
