"""Whole runs with physics: going on is exact, evaluation keeps apart, errors come first."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from mimickit import launch
from mimickit.errors import CheckpointError, ConfigError, MimicKitError
from mimickit.loaded_run import LoadedRun
from mimickit.loggers import Logger
from mimickit.training.checkpoint import read
from tests.training.runs import ITERATION, TINY, build, last_policy, metrics

pytestmark = pytest.mark.engine("mujoco")
ITERATIONS = 5


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The folder of a run that nothing interrupted, with a checkpoint of every iteration."""
    folder = tmp_path_factory.mktemp("straight")
    score = build(folder, iterations=ITERATIONS).start()
    assert score == score
    return folder


def cut(straight, folder, iterations):
    """A copy of the run's folder as a kill after some iterations would have left it."""
    shutil.copytree(straight, folder)
    (folder / "evaluation.json").unlink()
    for path in (folder / "checkpoints").glob("checkpoint_*.pt"):
        if int(path.stem.split("_")[1]) > iterations * ITERATION:
            path.unlink()
    return folder


@pytest.mark.parametrize("done", [1, 3])
def test_a_killed_run_goes_on_bit_for_bit(straight, tmp_path, done):
    folder = cut(straight, tmp_path / "run", done)
    run = launch.build(launch.compose([f"resume={folder}"], folder), folder)
    run.start()
    assert metrics(folder) == metrics(straight)
    ours, theirs = last_policy(folder), last_policy(straight)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert evaluated(folder) == evaluated(straight)


def test_a_run_with_adaptive_sampling_goes_on_bit_for_bit(tmp_path):
    adaptive = (
        "task.sampling.mode=adaptive",
        "motion=[walk,kick]",
        "task.termination_distance=0.3",
    )
    whole = tmp_path / "whole"
    build(whole, *adaptive, iterations=ITERATIONS).start()
    learned = read(sorted((whole / "checkpoints").glob("checkpoint_*.pt"))[-1])
    seen = learned["run"]["env"]["task"]["sampler"]
    assert float(seen["seconds"].sum()) > 1.0
    assert float(seen["failures"].sum()) > 0.0
    folder = cut(whole, tmp_path / "run", 2)
    launch.build(launch.compose([f"resume={folder}"], folder), folder).start()
    assert metrics(folder) == metrics(whole)
    ours, theirs = last_policy(folder), last_policy(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert evaluated(folder) == evaluated(whole)


def test_policies_are_judged_on_starts_that_learn_nothing(tmp_path):
    run = build(tmp_path / "run", "task.sampling.mode=adaptive")
    assert run.env.task.sampler.adaptive
    assert not run.evaluator.env.task.sampler.adaptive
    assert run.evaluator.env.task.library is run.env.task.library


def evaluated(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_over(straight, tmp_path):
    folder = cut(straight, tmp_path / "run", 0)
    launch.build(launch.compose([f"resume={folder}"], folder), folder).start()
    assert metrics(folder) == metrics(straight)


def test_a_checkpoint_branches_off_into_another_folder(straight, tmp_path):
    checkpoint = straight / "checkpoints" / f"checkpoint_{3 * ITERATION:012d}.pt"
    before = files(straight)
    build(tmp_path / "branch", f"resume={checkpoint}", iterations=ITERATIONS).start()
    after = metrics(tmp_path / "branch")
    assert after["samples"] == [str(4 * ITERATION), str(5 * ITERATION)]
    whole = metrics(straight)
    assert after["algo/actor_loss"] == whole["algo/actor_loss"][3:]
    assert files(straight) == before


def test_evaluation_leaves_training_untouched(straight, tmp_path):
    build(tmp_path, "evaluation.every=1000000", iterations=ITERATIONS).start()
    ours, theirs = last_policy(tmp_path), last_policy(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert "eval/return" in metrics(straight)
    assert "eval/return" not in metrics(tmp_path)


@pytest.mark.parametrize("spread", [True, False])
def test_episodes_begin_spread_over_their_length(tmp_path, spread):
    run = build(tmp_path, f"training.spread_episodes={str(spread).lower()}", iterations=1)
    begun = []
    step = run.env.step
    run.env.step = lambda action: begun.append(run.env.episode_steps.clone()) or step(action)
    run.start()
    num_envs, length = run.env.num_envs, run.env.max_steps
    expected = [i * length // num_envs if spread else 0 for i in range(num_envs)]
    assert begun[0].tolist() == expected


def test_another_seed_is_another_run(straight, tmp_path):
    build(tmp_path, "seed=1", iterations=1).start()
    first, other = (metrics(folder)["algo/actor_loss"][0] for folder in (straight, tmp_path))
    assert first != other


class Calls(Logger):
    """A logger that keeps what it is told, in order."""

    def __init__(self):
        self.calls = []

    def describe(self, config):
        self.calls.append(("describe", config["seed"]))

    def resume(self, samples):
        self.calls.append(("resume", samples))

    def log(self, metrics, samples):
        self.calls.append(("log", samples))

    def conclude(self, results, samples):
        self.calls.append(("conclude", list(results["clips"]), samples))

    def close(self):
        self.calls.append(("close",))


def test_loggers_hear_of_the_settings_then_of_rows_then_of_the_end(tmp_path, monkeypatch):
    run = build(tmp_path, "seed=7", iterations=2)
    trainer = run.trainer(tmp_path)
    trainer.logger = Calls()
    monkeypatch.setattr(run, "trainer", lambda folder: trainer)
    run.start()
    assert trainer.logger.calls == [
        ("describe", 7),
        ("resume", 0),
        ("log", ITERATION),
        ("log", 2 * ITERATION),
        ("conclude", ["walk"], 2 * ITERATION),
        ("close",),
    ]


def test_loggers_are_closed_though_the_run_fails(tmp_path, monkeypatch):
    run = build(tmp_path, iterations=2)
    trainer = run.trainer(tmp_path)
    trainer.logger = Calls()
    monkeypatch.setattr(run, "trainer", lambda folder: trainer)
    trainer.collector = None
    with pytest.raises(AttributeError):
        run.start()
    assert [call[0] for call in trainer.logger.calls] == ["describe", "resume", "close"]


def test_the_last_evaluation_is_written_with_the_real_count_of_samples(straight):
    report = evaluated(straight)
    assert report["overall"]["episodes"] == 4
    assert set(report["clips"]) == {"walk"}
    assert report["about"]["samples"] == ITERATIONS * ITERATION
    for name in ("position_error_m", "dof_velocity_error_rad_s", "success_rate"):
        assert isinstance(report["clips"]["walk"][name], float)


def test_a_loaded_run_acts_like_the_trained_policy(straight):
    run = LoadedRun(straight, num_envs=2)
    assert run.samples == ITERATIONS * ITERATION
    assert not run.env.task.pose_termination
    saved = last_policy(straight)
    assert all(torch.equal(value, saved[k]) for k, value in run.policy.state_dict().items())
    assert run.policy.act_deterministic(run.env.observe()).shape == (2, 28)


def test_building_a_run_writes_nothing_but_its_records(tmp_path):
    build(tmp_path)
    names = {p.name for p in tmp_path.iterdir()} - {"git.diff"}
    assert names == {"config.yaml", "resolved.yaml", "overrides.yaml", "environment.json"}


def test_the_device_may_be_spelled_out(tmp_path):
    assert build(tmp_path, "device=cpu").env.device.type == "cpu"


WRONG = {
    "device=cuda": (ConfigError, "device=cuda: MujocoEngine runs on the cpu only"),
    "max_samples=63": (ConfigError, "max_samples=63 is less than one iteration of num_envs=8 x"),
    "motion=wlak": (MimicKitError, "wlak.*Closest: walk"),
    "model.sigma=free": (ConfigError, "model.sigma=free: choose one of"),
    "evaluation.episodes=0": (ConfigError, "evaluation.episodes=0: must be at least 1"),
}


@pytest.mark.parametrize("override", WRONG)
def test_a_run_that_cannot_start_writes_nothing(tmp_path, override):
    error, message = WRONG[override]
    with pytest.raises(error, match=message):
        build(tmp_path / "run", override)
    assert not list(tmp_path.iterdir())


OTHER = {
    "num_envs=4": "its num_envs is 8, here it is 4",
    "algo.steps=4": "its steps per iteration is 8, here it is 4",
    "motion=[walk,run]": r"its clips is \['walk'\], here it is \['walk', 'run'\]",
    "task.target_steps=[1]": r"its observation sizes is .*606.*, here it is .*390",
    "model.actor_hidden=[8]": "its network is ",
    "algo.actor_optimizer._target_=torch.optim.SGD": "its algorithm is .*torch.optim.SGD",
}


@pytest.mark.parametrize("override", OTHER)
def test_going_on_as_another_run_is_refused_and_leaves_the_folder_alone(
    straight, tmp_path, override
):
    folder = cut(straight, tmp_path / "run", 3)
    before = files(folder)
    with pytest.raises(
        CheckpointError, match=rf"checkpoint_.*is of another run: {OTHER[override]}"
    ):
        launch.build(launch.compose([f"resume={folder}", override], folder), folder)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("first", "then", "message"),
    [
        ("method=amp", "method.parts.style.hidden=[16]", "its method's parts is"),
        ("method=add", "method.parts.tracking.replay_capacity=99", "its method's parts is"),
        ("algo=awr", "algo.rollouts=8", "its number of rollouts kept is 4, here it is 8"),
    ],
)
def test_going_on_with_other_memories_is_refused(tmp_path, first, then, message):
    build(tmp_path, first, iterations=1).start()
    with pytest.raises(CheckpointError, match=message):
        build(tmp_path, first, then, iterations=2)


def test_a_discriminators_optimizer_is_named_where_torch_refuses_it(tmp_path):
    key = r"method\.parts\.<discriminator>\.optimizer: Invalid learning rate"
    with pytest.raises(ConfigError, match=key):
        build(tmp_path, "method=amp", "method.parts.style.optimizer.lr=-1")


def test_a_damaged_checkpoint_is_refused_and_leaves_the_folder_alone(straight, tmp_path):
    folder = cut(straight, tmp_path / "run", 3)
    newest = sorted((folder / "checkpoints").glob("checkpoint_*.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    before = files(folder)
    with pytest.raises(CheckpointError, match=f"{newest.name} is not a checkpoint.*or is damaged"):
        launch.build(launch.compose([f"resume={folder}"], folder), folder)
    assert files(folder) == before


def test_a_policy_of_another_task_is_not_evaluated(straight, tmp_path):
    folder = cut(straight, tmp_path / "run", 3)
    config = folder / "config.yaml"
    text = config.read_text()
    assert "global_frame: true" in text
    config.write_text(text.replace("root_height: true", "root_height: false"))
    with pytest.raises(CheckpointError, match="its observation sizes is"):
        LoadedRun(folder, num_envs=2)


def test_tiny_names_only_settings_that_exist():
    assert launch.check_config(launch.compose(TINY)).algo.steps == 8
