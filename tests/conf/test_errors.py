"""What a user mistypes gets one line that says what exists, exit code 1 and no files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimickit import launch
from mimickit.errors import ConfigError, MimicKitError, UnknownName

ROOT = Path(__file__).resolve().parents[2]

MISTAKES = {
    # arguments: what the line must say
    ("algo.clipp=1",): "'algo' has no setting 'clipp'. Closest: clip",
    ("+algo.clipp=1",): "'algo' (mimickit.algos.ppo.PPO) has no setting 'clipp'. Closest: clip",
    ("algo.actor_optimizer.lrr=1",): "'algo.actor_optimizer' has no setting 'lrr'. Closest: lr.",
    ("algo.actor_optimizer.eps=1",): "use +algo.actor_optimizer.eps=...",
    ("algo.opt.lr=1",): "'algo' has no setting 'opt'",
    ("sed=1",): "a run has no setting 'sed'. Closest: seed",
    ("+sed=1",): "a run has no setting 'sed'. Closest: seed",
    ("tsk=imitate",): "a run has no setting 'tsk'. Closest: task",
    ("task=imitat",): "there is no task 'imitat'. Closest: imitate. All: dodgeball, imitate, ",
    ("+task=imitate",): "'task' is chosen twice: leave the + away",
    ("+seed=1",): "'seed' exists already: leave the + away",
    ("-m", "task=imitat,imitate"): "there is no task 'imitat'. Closest: imitate",
    ("seed=1,2",): "seed=1,2 names several values: add -m",
    ("seed=abc",): "seed=abc: a whole number is needed",
    ("seed=-1",): "seed=-1: must be at least 0",
    ("num_envs=many",): "num_envs=many: a number is needed",
    ("num_envs=-3",): "num_envs=-3: must be at least 1",
    ("num_envs=1.5",): "num_envs=1.5: a whole number is needed",
    ("max_samples=.nan",): "max_samples=",
    ("max_samples=0",): "max_samples=0: must be at least 1",
    ("evaluation.every=-1",): "evaluation.every=-1: must be at least 1",
    ("+evaluation.foo=1",): "'evaluation' has no setting 'foo'",
    ("training.progress=maybe",): "training.progress=maybe: true or false is needed",
    ("algo.clip=abc",): "algo.clip=abc: a number is needed",
    ("device=gpu",): "device=gpu: choose auto, cpu, cuda",
    ("motion=null",): "motion has no value",
    ("algo=null",): "algo=null: choose an option by its name (",
    ("~algo",): "algo has no value",
    ("logger=[text,csvv]",): "there is no logger 'csvv'. Closest: csv",
    ("experiment=quikstart",): "there is no experiment 'quikstart'. Closest: quickstart",
    ("algo._target_=mimickit.algos.ppo.PPOO",): "has no 'PPOO'. Closest: PPO.",
    ("algo._target_=mimickt.algos.ppo.PPO",): "there is no module 'mimickt'",
    ("algo._target_=mimickit.errors.difflib",): "is not something that can be called",
    ("hydra.sweep.dirr=x",): "'hydra.sweep' has no setting 'dirr'. Closest: dir",
    ("hydra/launcher=slum",): "there is no hydra/launcher 'slum'",
    ("seed",): "'seed' is no setting: write key=value",
    ("motion=[walk",): "cannot read 'motion=[walk'",
    ("--mutlirun",): "unrecognized arguments: --mutlirun. Closest: --multirun",
    ("resume=nowhere",): "resume=nowhere: there is no such file or folder",
    ("-m", "resume=.", "seed=1,2"): "resume=. names one run: leave -m away",
    ("resume=.",): "resume=. is neither a run folder (it has no config.yaml) nor inside one",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_gets_one_line_and_leaves_nothing_behind(train, tmp_path, arguments):
    code, runs, err = train(*arguments)
    assert (code, runs) == (1, [])
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert MISTAKES[arguments] in err
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "multirun.yaml"]
    if "-m" not in arguments:
        assert not list(tmp_path.rglob("*/*")), "empty folders stay behind"


EXPERIMENTS = {
    # an experiment of a user's own: what the line must say
    "algo: {clipp: 8}": "has no setting 'clipp'. Closest: clip",
    "num_env: 8": "a run has no setting 'num_env' (asked for by conf/experiment/mine.yaml)",
    "num_envs: many": "num_envs=many: a number is needed (in conf/experiment/mine.yaml)",
    "num_envs: ${nope.x}": "num_envs: Interpolation key 'nope.x' not found",
    "num_envs: [1\nseed: 2": "mine.yaml, line 3: not readable as YAML",
    "defaults:\n  - override /method: depmimic": "no method 'depmimic'. Closest: deepmimic",
    "defaults:\n  - override /methods: amp": "there is no group 'methods'",
}


@pytest.mark.parametrize("text", EXPERIMENTS, ids=range(len(EXPERIMENTS)))
def test_a_mistake_inside_an_experiment_gets_one_line(train, tmp_path, monkeypatch, text):
    (tmp_path / "lab" / "experiment").mkdir(parents=True)
    (tmp_path / "lab" / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}\n")
    monkeypatch.setenv("MIMICKIT_CONF", str(tmp_path / "lab"))
    code, runs, err = train("experiment=mine")
    assert (code, runs) == (1, [])
    assert EXPERIMENTS[text] in err
    assert err.count("\n") == 1, err


def test_an_error_of_the_run_is_printed_alone_and_its_folder_removed(train, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAILURE", "user")
    assert train() == (1, [], "error: no motion 'wlk'\n")
    assert not list(tmp_path.rglob("*/*"))


def test_ctrl_c_before_training_exits_with_130_silently(train, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAILURE", "ctrl-c")
    assert train() == (130, [], "")
    assert not list(tmp_path.rglob("*/*"))


def test_a_sigterm_before_training_ends_at_once_with_a_line(tmp_path):
    """A build may compile for a minute: who stops it then shall see that it was heard."""
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "_target_=tests.conf.fakes.Train"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAKE_FAILURE": "sigterm"},
    )  # fmt: skip
    line = "SIGTERM: ended at once, as nothing is being trained; what is saved stays\n"
    assert (done.returncode, done.stderr) == (130, line)
    assert not list(tmp_path.rglob("*/*"))


def test_a_bug_keeps_its_traceback(train, monkeypatch):
    monkeypatch.setenv("FAKE_FAILURE", "bug")
    with pytest.raises(RuntimeError, match="boom"):
        train()


def test_full_error_shows_the_traceback_of_a_mistake(train, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UnknownName, match="sed"):
        train("sed=1")


def test_a_failed_job_of_a_sweep_does_not_stop_the_others(train, monkeypatch):
    code, runs, err = train("-m", "seed=0,-1,2,-3")
    assert code == 1
    assert [run.settings["seed"] for run in runs] == [0, 2]
    for number, seed in ((1, -1), (3, -3)):
        name = f"{number}-deepmimic-humanoid-walk-seed{seed}"
        assert f"{name} failed: seed={seed}: must be at least 0\n" in err
    assert err.endswith("error: seed=-1: must be at least 0\n")


def test_an_unwritable_place_is_named(train, tmp_path):
    (tmp_path / "file").write_text("here")
    code, _, err = train("hydra.run.dir=file/run")
    assert code == 1
    assert "cannot make the run folder: Not a directory ('file/run')" in err
    assert (tmp_path / "file").read_text() == "here"


def test_a_folder_that_is_not_there_is_named(train, monkeypatch):
    monkeypatch.setenv("MIMICKIT_CONF", "/no/such/lab")
    assert train() == (1, [], "error: MIMICKIT_CONF names '/no/such/lab', which is not a folder\n")


def test_compose_raises_our_errors():
    with pytest.raises(UnknownName, match="Closest: seed"):
        launch.compose(["sed=1"])
    with pytest.raises(ConfigError, match="num_envs=-1: must be at least 1"):
        launch.compose(["num_envs=-1"])


def test_friendly_errors_prints_and_exits(capsys):
    with pytest.raises(SystemExit) as stop, launch.friendly_errors():
        raise MimicKitError("what and why")
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: what and why\n"
