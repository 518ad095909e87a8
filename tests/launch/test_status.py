"""What a run's folder says of how it ended, and who may say it."""

from __future__ import annotations

import json

import pytest

from mimickit.errors import RunError
from mimickit.launch import status
from mimickit.launch.status import begin, fail, read_status, supervise

SIZE = "SLURM_STEP_NUM_TASKS"


def refuse():
    raise RunError("no")


def be_rank(rank, monkeypatch):
    for name, value in (("SLURM_PROCID", rank), ("SLURM_LOCALID", rank), (SIZE, 4)):
        monkeypatch.setenv(name, str(value))


def begun(folder, result=None, error=None):
    """What a run does: begin, then return a score or raise."""

    def run():
        begin(folder, 100)
        if error is not None:
            raise error
        return result

    return run


def test_a_run_that_returns_is_finished_with_its_score(tmp_path):
    assert supervise(tmp_path, begun(tmp_path, 2.5)) == 2.5
    found = read_status(tmp_path)
    assert (found.state, found.score, found.max_samples, found.starts) == ("finished", 2.5, 100, 1)


def test_a_run_that_raises_keeps_the_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError):
        supervise(tmp_path, begun(tmp_path, error=ZeroDivisionError("by nought")))
    assert read_status(tmp_path).reason == "ZeroDivisionError: by nought"
    text = (tmp_path / "error.txt").read_text()
    assert text.startswith("Traceback")
    assert "in run\n" in text


def test_starting_again_removes_the_old_error(tmp_path):
    with pytest.raises(RunError):
        supervise(tmp_path, begun(tmp_path, error=RunError("one\nline")))
    assert read_status(tmp_path).reason == "one line"
    supervise(tmp_path, begun(tmp_path, 1.0))
    found = read_status(tmp_path)
    assert (found.state, found.reason, found.starts) == ("finished", "", 2)
    assert not (tmp_path / "error.txt").exists()


@pytest.mark.parametrize(("stop", "name"), [(KeyboardInterrupt("SIGTERM"), "SIGTERM"),
                                            (KeyboardInterrupt(), "SIGINT")])  # fmt: skip
def test_a_run_that_is_stopped_is_cancelled(tmp_path, stop, name):
    with pytest.raises(KeyboardInterrupt):
        supervise(tmp_path, begun(tmp_path, error=stop))
    found = read_status(tmp_path)
    assert (found.state, found.reason) == ("cancelled", f"stopped by {name}")


def test_what_ends_before_it_began_writes_nothing(tmp_path):
    supervise(tmp_path, begun(tmp_path, 1.0))
    before = (tmp_path / "status.json").read_bytes()
    with pytest.raises(RunError):
        supervise(tmp_path, refuse)
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]
    assert (tmp_path / "status.json").read_bytes() == before


def test_the_rank_that_failed_first_says_why(tmp_path, monkeypatch):
    begin(tmp_path, 100)
    be_rank(3, monkeypatch)
    fail(tmp_path, RunError("out of memory"))
    be_rank(0, monkeypatch)
    status.end(tmp_path, "cancelled", "stopped by SIGTERM")
    fail(tmp_path, RunError("rank 3 is gone"))
    found = read_status(tmp_path)
    assert (found.state, found.reason) == ("failed", "out of memory")
    assert sorted(p.name for p in tmp_path.glob("error*")) == ["error-3.txt", "error.txt"]


def test_other_ranks_of_a_run_that_never_began_write_nothing(tmp_path, monkeypatch):
    be_rank(1, monkeypatch)
    with pytest.raises(RunError):
        supervise(tmp_path, refuse)
    assert list(tmp_path.iterdir()) == []


def test_starts_that_a_preemption_ended_without_a_checkpoint_are_counted(tmp_path):
    for count in (0, 1, 2):
        begin(tmp_path, 100)
        assert read_status(tmp_path).fruitless == count
        status.end(tmp_path, "preempted")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint_000000000064.pt").write_text("")
    begin(tmp_path, 100)
    assert read_status(tmp_path).fruitless == 0


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}, "7_0"),
    ],
)
def test_the_slurm_job_is_named_as_squeue_names_it(tmp_path, monkeypatch, variables, number):
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    begin(tmp_path, 100)
    assert read_status(tmp_path).slurm_job == number


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"reason": "no state"})])
def test_a_damaged_status_is_named(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(RunError, match=r"status\.json cannot be read .*; remove it"):
        read_status(tmp_path)
