"""Whatever is wrong with what a user gives, a program says so in a line and touches no file."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import pickle
import subprocess
import sys

import pytest

from tests import broken
from tests.bad_inputs import CASES, PROGRAMS
from tests.broken import ROOT, TRAP, WALK

pytestmark = pytest.mark.engine("mujoco")

# What keeps a run small, should it get so far.
TINY = (
    "num_envs=2",
    "algo.steps=2",
    "max_samples=8",
    "engine.threads=1",
    "model.actor_hidden=[8]",
    "model.critic_hidden=[8]",
    "evaluation.num_envs=2",
    "evaluation.episodes=2",
    "task.episode_length_s=0.1",
    "training.progress=false",
)
OURS = ("MIMICKIT_RUN_ID", "MIMICKIT_CONF", "MIMICKIT_ENGINE", "HYDRA_FULL_ERROR")

# The same through a shell's eyes: one per program is enough, since only the start differs.
PROCESSES = (
    "train: hostile pkl",
    "train: option",
    "evaluate: half a checkpoint",
    "plot: metric",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A tiny run that ended well."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = [*TINY, "seed=0", f"hydra.run.dir={folder}/run", "logger=[csv]", "motion=walk"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py", *arguments])
        main_of("train")()
    assert (folder / broken.CHECKPOINT).is_file()
    return folder / "run"


@pytest.fixture
def prepared(request, tmp_path, trained, monkeypatch):
    """A case with its files made: (program, arguments, what the message must say)."""
    program, line, prepare, *says = CASES[request.param]
    if prepare is not None:
        prepare(tmp_path, trained)
    monkeypatch.chdir(tmp_path)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    words = {"here": tmp_path, "walk": WALK, "program": program}
    arguments = [filled(word, words) for word in line.split()]
    if program == "train" and not any(word.startswith("resume=r") for word in arguments):
        arguments = [*TINY, *arguments]
    return program, arguments, [filled(say, words) for say in says]


def filled(text, words):
    """`text` with {here} and the like replaced; other braces stay."""
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def path_of(program):
    """The program's file."""
    return ROOT / ("train.py" if program == "train" else f"scripts/{program}.py")


@functools.lru_cache(maxsize=None)
def main_of(program):
    """The program's entry point."""
    specification = importlib.util.spec_from_file_location(program, path_of(program))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.main


def run_here(program, arguments, monkeypatch, capsys):
    """Exit code and stderr of a program run in this process."""
    monkeypatch.setattr(sys, "argv", [str(path_of(program)), *arguments])
    capsys.readouterr()
    try:
        code = main_of(program)()
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


def snapshot(folder):
    """Every file's hash and time of change, and every folder."""
    return {
        str(path.relative_to(folder)): (
            (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            if path.is_file()
            else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }


def check(code, err, says, before, after):
    """One message of at most three lines that says all it must, and nothing was touched."""
    assert code == 1, err
    assert err.startswith("error: "), err
    assert [line.startswith("error: ") for line in err.splitlines()].count(True) == 1, err
    assert "Traceback" not in err, err
    assert len(err.splitlines()) <= 3, err
    assert [say for say in says if say not in err] == [], err
    assert after == before
    assert TRAP not in after


@pytest.mark.parametrize("prepared", CASES, indirect=True)
def test_a_bad_input_gets_one_clear_message_and_changes_no_file(
    prepared, tmp_path, monkeypatch, capsys
):
    program, arguments, says = prepared
    before = snapshot(tmp_path)
    code, err = run_here(program, arguments, monkeypatch, capsys)
    check(code, err, says, before, snapshot(tmp_path))


@pytest.mark.parametrize("prepared", PROCESSES, indirect=True)
def test_a_bad_input_stops_the_process_the_same_way(prepared, tmp_path):
    program, arguments, says = prepared
    before = snapshot(tmp_path)
    done = subprocess.run(
        [sys.executable, str(path_of(program)), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    check(done.returncode, done.stderr, says, before, snapshot(tmp_path))


def test_a_sweep_of_nothing_but_bad_values_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, err = run_here(
        "train", ["-m", "hydra/launcher=basic", "seed=-1,-2", *TINY], monkeypatch, capsys
    )
    assert code == 1
    assert err.splitlines()[-1] == "error: seed=-1: must be at least 0"
    assert "Traceback" not in err
    assert snapshot(tmp_path) == {}


def test_a_user_s_own_empty_folder_stays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "mine").mkdir(parents=True)
    arguments = [*TINY, "motion=wlak", "hydra.run.dir=outputs/mine/first/run"]
    assert run_here("train", arguments, monkeypatch, capsys)[0] == 1
    assert snapshot(tmp_path) == {"outputs": "folder", "outputs/mine": "folder"}


def test_there_are_as_many_bad_inputs_as_promised_and_none_hides_another():
    tables = [table for tables in PROGRAMS.values() for table in tables]
    assert len(CASES) == sum(len(table) for table in tables) >= 35, "two cases share a name"


def test_the_trap_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(broken.pickled(b""))
    assert (tmp_path / TRAP).is_file()
