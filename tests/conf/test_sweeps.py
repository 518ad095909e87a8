"""Sweeps that a config describes: the study of Table 1, and a search with Optuna."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mimickit.launch.sweeps import planned_jobs
from tests.conf import fakes

ROOT = Path(__file__).resolve().parents[2]
SEARCH = "hydra/sweeper=search", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=search"
RATES = "algo.actor_optimizer.lr=tag(log,interval(1e-4,3e-3))"
TINY = (
    "num_envs=2",
    "algo.steps=2",
    "max_samples=8",
    "engine=mujoco",
    "engine.threads=1",
    "model.actor_hidden=[8]",
    "model.critic_hidden=[8]",
    "evaluation.num_envs=2",
    "evaluation.episodes=2",
    "task.episode_length_s=0.1",
    "training.progress=false",
    "logger=[csv]",
)
needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="the extra sweep is not installed"
)


def test_study_of_table_1_is_swept_and_may_be_narrowed(train, tmp_path):
    # engine=mujoco: the preset's engine need not be installed.
    code, runs, err = train(
        "-m", "experiment=table1", "engine=mujoco", "motion=walk", "seed=0,1",
        "hydra.sweep.dir=study",
    )  # fmt: skip
    assert (code, err) == (0, "")
    settings = [run.settings for run in runs]
    assert [(s["method"]["name"], s["motion"], s["seed"]) for s in settings] == [
        (method, "walk", seed) for method in ("deepmimic", "amp", "add") for seed in (0, 1)
    ]
    assert {s["max_samples"] for s in settings} == {100_000_000}
    jobs = planned_jobs(tmp_path / "study")
    assert [run.folder.name.split("-")[0] for run in runs] == [str(number) for number in jobs]
    assert jobs[3] == ["method=amp", "seed=1"]


def rate_of(run):
    return run.settings["algo"]["actor_optimizer"]["lr"]


@needs_optuna
def test_search_maximises_the_score(train, tmp_path, monkeypatch):
    start = fakes.Train.start
    # The score that train.py returns: best where the rate is greatest.
    monkeypatch.setattr(fakes.Train, "start", lambda self: start(self) * rate_of(self))
    code, runs, _ = train("-m", *SEARCH, "hydra.sweeper.n_trials=4", RATES)
    assert code == 0
    rates = [rate_of(run) for run in runs]
    assert len(set(rates)) == 4
    assert all(1e-4 <= rate <= 3e-3 for rate in rates)
    found = yaml.safe_load((tmp_path / "search" / "optimization_results.yaml").read_text())
    assert found["best_value"] == max(rates)
    assert found["best_params"] == {"algo.actor_optimizer.lr": max(rates)}


@needs_optuna
@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_search_with_real_runs_and_its_table(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*words):
        return subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    call(ROOT / "train.py", "-m", *SEARCH, RATES, *TINY, "hydra.launcher.dirty=true")
    assert sorted(path.name for path in (tmp_path / "search").glob("[0-9]*-*")) == [
        "0-deepmimic-humanoid-walk-seed0",
        "1-deepmimic-humanoid-walk-seed0",
    ]
    assert (tmp_path / "search" / "optimization_results.yaml").is_file()
    table = call(ROOT / "scripts" / "report.py", "search")
    assert table.count("deepmimic, algo.actor_optimizer.lr=0.00") == 2 * 5  # columns of five tables


def test_search_without_optuna_says_what_is_missing(train, monkeypatch):
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    sweepers = {**store.repo["hydra"]["sweeper"]}
    sweepers.pop("optuna.yaml", None)
    monkeypatch.setitem(store.repo["hydra"], "sweeper", sweepers)
    code, runs, err = train("-m", *SEARCH, RATES)
    assert (code, runs) == (1, [])
    (line,) = err.splitlines()
    assert "hydra/sweeper=optuna comes with a plugin" in line
    assert "pip install -e '.[sweep]'" in line
