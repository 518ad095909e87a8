"""What the list of a sweep's runs says, whoever wrote their folders and whatever SLURM answers."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mimickit.errors import RunError, UnknownName
from mimickit.launch import runs
from mimickit.launch.runs import find_runs, judge, last_values, slurm_states, survey
from mimickit.launch.status import Status, write_status

ROOT = Path(__file__).resolve().parents[2]
HEADER = "samples,time/samples_per_s,train/return,eval/return\n"


def make_run(folder, state="finished", rows="64,100.0,1.5,\n128,200.0,2.5,\n", **status):
    folder.mkdir(parents=True)
    write_status(folder, Status(state, max_samples=256, **status))
    if rows is not None:
        (folder / "metrics.csv").write_text(HEADER + rows)
    return folder


def gone():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Commands that answer as SLURM would: (squeue's lines, sacct's lines)."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def answer(squeue="", sacct="", code=0, says=""):
        (tmp_path / "bin").mkdir(exist_ok=True)
        for name, lines in (("squeue", squeue), ("sacct", sacct)):
            path = tmp_path / "bin" / name
            path.write_text(f"#!/bin/sh\ncat <<E\n{lines}\nE\necho '{says}' >&2\nexit {code}\n")
            path.chmod(0o755)

    return answer


@pytest.mark.parametrize(
    ("state", "starts", "slurm", "verdict", "reason"),
    [
        ("finished", 1, "COMPLETED", "finished", "why"),
        ("finished", 1, "", "finished", "why"),
        ("failed", 1, "FAILED", "failed", "why"),
        ("queued", 0, "PENDING", "queued", ""),
        ("preempted", 1, "PENDING", "preempted", "why"),
        ("cancelled", 1, "PENDING", "preempted", "why"),  # SLURM took it back by itself
        ("running", 1, "RUNNING", "running", ""),
        ("queued", 0, "CONFIGURING", "running", ""),
        ("preempted", 1, "COMPLETING", "running", ""),
        ("cancelled", 1, "CANCELLED", "cancelled", "why"),
        ("cancelled", 1, "FAILED", "cancelled", "why"),  # it ended with 130
        ("queued", 0, "CANCELLED by 1000", "cancelled", "why"),
        ("running", 1, "CANCELLED+", "cancelled", "why"),
        ("running", 1, "OUT_OF_MEMORY", "failed", "SLURM says OUT_OF_MEMORY"),
        ("running", 1, "NODE_FAIL", "failed", "SLURM says NODE_FAIL"),
        ("preempted", 1, "TIMEOUT", "failed", "SLURM says TIMEOUT"),
        ("running", 1, "COMPLETED", "lost", "its SLURM job ended without a word"),
        ("running", 1, "", "lost", "SLURM knows no such job"),
        ("queued", 0, "", "lost", "SLURM knows no such job"),
        ("running", 1, None, "running", "why"),  # nobody to ask
    ],
)
def test_what_the_run_wrote_and_what_slurm_says_make_one_state(
    state, starts, slurm, verdict, reason
):
    status = Status(state, starts=starts, reason="why", host="elsewhere")
    assert judge(status, slurm, in_slurm=True) == (verdict, reason)


def test_a_process_of_this_machine_that_is_gone_is_lost():
    status = Status("running", host=socket.gethostname(), pid=gone())
    assert judge(status, None)[0] == "lost"
    status.pid = os.getpid()
    assert judge(status, None)[0] == "running"
    status.pid, status.host = gone(), "elsewhere"
    assert judge(status, None)[0] == "running"


def test_squeue_is_asked_first_and_sacct_for_what_it_has_forgotten(slurm):
    slurm(squeue="7_0|RUNNING\n7_1|PENDING\n8|COMPLETED", sacct="7_1|NODE_FAIL\n5|TIMEOUT\n5_x|?")
    assert slurm_states(["7_0", "7_1", "5", "4"]) == {
        "7_0": "RUNNING", "7_1": "PENDING", "5": "TIMEOUT",
    }  # fmt: skip
    assert slurm_states([]) is None


def test_a_job_that_slurm_has_forgotten_is_no_error_and_silence_is_one(slurm):
    slurm(code=1, says="slurm_load_jobs error: Invalid job id specified")
    assert slurm_states(["7"]) == {}
    slurm(code=1, says="Unable to contact slurm controller")
    with pytest.raises(RunError, match="squeue: Unable to contact slurm controller"):
        slurm_states(["7"])


def test_last_values_are_finite_and_of_whole_lines(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER + "64,100.0,1.5,7.0\n128,200.0,nan,\n192,300.0,9")
    assert last_values(path, ["samples", "train/return", "eval/return", "x"]) == {
        "samples": 128, "train/return": 1.5, "eval/return": 7.0,
    }  # fmt: skip
    path.write_text("")
    assert last_values(path, ["samples"]) == {}
    assert last_values(tmp_path / "none.csv", ["samples"]) == {}


def test_only_the_end_of_a_long_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "TAIL", 100)
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER + "1,1.0,1.0,5.0\n" + "".join(f"{n},2.0,3.0,\n" for n in range(2, 99)))
    assert last_values(path, ["samples", "train/return", "eval/return"]) == {
        "samples": 98, "train/return": 3.0,
    }  # fmt: skip


def test_runs_are_found_by_number_and_the_copy_of_the_code_is_none(tmp_path):
    for name in ("a/10-x", "a/9-x", "b/0-y"):
        make_run(tmp_path / name)
    (tmp_path / "a" / "code" / "conf").mkdir(parents=True)
    (tmp_path / "a" / "code" / "revision.json").write_text("{}")
    (tmp_path / "a" / "code" / "conf" / "config.yaml").write_text("")
    make_run(tmp_path / "a" / "slurm" / "7_0")
    found = [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)]
    assert found == ["a/9-x", "a/10-x", "b/0-y"]
    assert find_runs(tmp_path / "b" / "0-y") == [tmp_path / "b" / "0-y"]


def test_a_folder_without_runs_and_a_mistyped_one_are_named(tmp_path):
    (tmp_path / "sweep").mkdir()
    with pytest.raises(RunError, match="holds no run"):
        survey(tmp_path / "sweep")
    with pytest.raises(RunError, match=r"there is no folder .*Closest: sweep"):
        survey(tmp_path / "swep")


def test_the_metric_is_the_evaluations_return_or_the_one_named(tmp_path):
    make_run(tmp_path / "0", rows="64,100.0,1.5,7.0\n")
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", "queued", rows=None, host="elsewhere")
    found = survey(tmp_path)
    assert [(run.metric, run.value, run.samples) for run in found] == [
        ("eval/return", 7.0, 64), ("train/return", 2.5, 128), ("train/return", None, 0),
    ]  # fmt: skip
    assert [run.value for run in survey(tmp_path, "train/return")] == [1.5, 2.5, None]
    with pytest.raises(UnknownName, match=r"no run has logged a metric 'eval/retur'\. Closest: ev"):
        survey(tmp_path, "eval/retur")


def test_a_damaged_folder_does_not_hide_the_others(tmp_path):
    make_run(tmp_path / "0")
    (make_run(tmp_path / "1") / "status.json").write_text("{")
    (make_run(tmp_path / "2") / "status.json").unlink()
    (tmp_path / "2" / "config.yaml").write_text("")
    states = [(run.state, run.reason.partition(" (")[0]) for run in survey(tmp_path)]
    assert states[0] == ("finished", "")
    assert states[1] == ("lost", f"{tmp_path}/1/status.json cannot be read")
    assert states[2] == ("lost", "it has no status.json")


def test_a_job_that_was_killed_shows_its_last_words(tmp_path, slurm):
    make_run(tmp_path / "0-x", "running", slurm_job="7_0", starts=1)
    (tmp_path / "jobs.json").write_text(json.dumps({"0-x": "7_0"}))
    (tmp_path / "slurm" / "7_0").mkdir(parents=True)
    log = tmp_path / "slurm" / "7_0" / "7_0_0_log.out"
    log.write_text("all well\nslurmstepd: error: Detected 1 oom-kill event\n\n")
    slurm(squeue="7_0|OUT_OF_MEMORY")
    (run,) = survey(tmp_path)
    assert run.state == "failed"
    assert run.reason == (
        f"SLURM says OUT_OF_MEMORY: slurmstepd: error: Detected 1 oom-kill event ({log})"
    )


@pytest.fixture
def script():
    """scripts/runs.py as a module."""
    spec = importlib.util.spec_from_file_location("runs_script", ROOT / "scripts" / "runs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_lists_runs_reasons_and_counts(tmp_path, script, capsys):
    make_run(tmp_path / "0-good")
    make_run(tmp_path / "1-bad", "failed", reason="no motion 'wlk'")
    (tmp_path / "1-bad" / "error.txt").write_text("Traceback\n")
    assert script.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in lines[3].strip("│").split("│")]
    assert cells == ["0-good", "finished", "128", "50%", "200", "train/return", "2.5"]
    assert lines[-3:] == [
        "1-bad failed: no motion 'wlk'", f"  {tmp_path}/1-bad/error.txt", "1 finished, 1 failed",
    ]  # fmt: skip
    assert script.main([str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("error: there is no folder")


def test_two_hundred_long_runs_are_listed_in_seconds(tmp_path, script, capsys):
    rows = "".join(f"{n},100.0,{n}.5,{n}.25\n" for n in range(20_000))
    for number in range(200):
        make_run(tmp_path / f"{number}-x", rows=rows)
    start = time.perf_counter()
    assert script.main([str(tmp_path)]) == 0
    assert time.perf_counter() - start < 10.0
    assert capsys.readouterr().out.splitlines()[-1] == "200 finished"
