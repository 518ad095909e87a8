"""ASE's low level in whole runs: it learns, goes on exactly, and is evaluated with its latents."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch

from mimickit import launch
from mimickit.errors import IncompatibleParts
from mimickit.loaded_run import LoadedRun
from mimickit.training.checkpoint import read
from tests.training.runs import ITERATION, TINY, build, last_policy, metrics

pytestmark = pytest.mark.engine("mujoco")
NETWORK = ("hidden=[16]", "minibatches=2")
SMALL = (
    "method=ase",
    "motion=[walk,run]",
    *(f"method.parts.{part}.{word}" for part in ("style", "skill") for word in NETWORK),
    "method.parts.style.replay_capacity=64",
    "method.parts.style.replay_push=16",
    "method.parts.skill.latent_size=4",
    "method.parts.skill.period_s=[0.1,0.5]",
    "algo.actor_minibatches=2",
    "algo.critic_minibatches=2",
    "task.episode_length_s=0.4",
)
ITERATIONS = 4


@pytest.fixture(scope="module", params=["ppo", "awr"])
def straight(request, tmp_path_factory):
    """The folder of a run that nothing interrupted, with a checkpoint of every iteration."""
    folder = tmp_path_factory.mktemp("straight")
    build(folder, *SMALL, f"algo={request.param}", iterations=ITERATIONS).start()
    return folder


def test_what_it_logs_is_finite_and_tells_skills_from_chance(straight):
    rows = metrics(straight)
    names = (
        "reward/style", "reward/skill", "skill/dot_product", "skill/shuffled_dot_product",
        "diversity/loss", "diversity/ratio", "style/loss",
    )  # fmt: skip
    for name in names:
        assert all(math.isfinite(float(cell)) for cell in rows[name]), name
    assert all(float(cell) > 0 for cell in rows["reward/style"])


def test_a_killed_run_goes_on_bit_for_bit(straight, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(straight, folder)
    (folder / "evaluation.json").unlink()
    for path in (folder / "checkpoints").glob("checkpoint_*.pt"):
        if int(path.stem.split("_")[1]) > 2 * ITERATION:
            path.unlink()
    launch.build(launch.compose([f"resume={folder}"], folder), folder).start()
    assert metrics(folder) == metrics(straight)
    ours, theirs = last_policy(folder), last_policy(straight)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    reports = [json.loads((f / "evaluation.json").read_text()) for f in (folder, straight)]
    assert reports[0]["overall"] == reports[1]["overall"]


def test_a_loaded_run_has_its_latents_and_is_judged_alike_each_time(straight):
    run = LoadedRun(straight, num_envs=2)
    assert run.env.groups["latent"].size == 4
    assert run.policy.actor_groups == ("policy", "latent")
    first, second = (run.evaluator.run(run.policy)["overall"] for _ in range(2))
    assert first == second
    assert "normalizers.latent.mean" not in last_policy(straight)


def test_evaluations_leave_the_latents_of_the_training_alone(tmp_path):
    for name, every in (("often", 64), ("never", 1e9)):
        build(tmp_path / name, *SMALL, f"evaluation.every={every}", iterations=2).start()
    often, never = (last_policy(tmp_path / name) for name in ("often", "never"))
    assert all(torch.equal(often[name], never[name]) for name in never)


def test_the_rollout_holds_the_latents_that_were_acted_on(tmp_path):
    """A latent in a row of the rollout is what the actor saw: its log density says so."""
    run = build(tmp_path / "run", *SMALL, iterations=1)
    trainer = run.trainer(tmp_path / "run")
    trainer.collector.collect()
    rollout, policy = trainer.rollout, run.policy
    inputs = policy.actor_input(policy.normalize(rollout.obs))[:-1]
    again = policy.distribution(inputs.flatten(0, 1)).log_prob(rollout.action.flatten(0, 1))
    torch.testing.assert_close(again.view_as(rollout.log_prob), rollout.log_prob)
    latents = rollout.obs["latent"]
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(latents.shape[:-1]))
    assert (latents[1:] != latents[:-1]).any(-1).any()  # some were redrawn
    trainer.logger.close()


def test_falls_and_a_penalty_of_the_encoder_are_options(tmp_path, monkeypatch):
    monkeypatch.setattr("mimickit.assembly.FALLS", 2)
    monkeypatch.setattr("mimickit.tasks.starts.FALL_S", 0.2)
    options = ("task.fallen_share=0.3", "method.parts.skill.penalty=0.5")
    build(tmp_path / "run", *SMALL, *options, iterations=1).start()
    assert float(metrics(tmp_path / "run")["skill/gradient_penalty"][0]) > 0
    newest = sorted((tmp_path / "run" / "checkpoints").glob("checkpoint_*.pt"))[-1]
    starts = read(newest)["run"]["env"]["task"]["starts"]
    assert starts["falls"]["root_pos"].shape == (2, 3)
    resumed = launch.build(
        launch.compose([f"resume={tmp_path / 'run'}"], tmp_path / "run"), tmp_path / "run"
    )
    trainer = resumed.trainer(tmp_path / "run")
    trainer.load(read(newest), newest)
    assert torch.equal(resumed.env.task.starts._falls.root_pos, starts["falls"]["root_pos"])
    trainer.logger.close()


def test_latents_can_be_laid_over_a_goal(tmp_path):
    goal = ("task=steering", "method.reward.task=0.5")
    build(tmp_path / "run", *SMALL, *goal, iterations=1).start()
    assert float(metrics(tmp_path / "run")["reward/skill"][0]) >= 0


def test_a_model_that_hides_the_latents_is_refused(tmp_path):
    with pytest.raises(IncompatibleParts, match="leave that at null"):
        build(tmp_path / "run", *SMALL, "model.actor_groups=[policy]")


@pytest.mark.engine("mujoco_warp")
def test_it_runs_in_warp_worlds(tmp_path):
    tiny = [option for option in TINY if not option.startswith("engine")]
    options = ("engine=mujoco_warp", "device=cpu", f"max_samples={ITERATION}")
    launch.build(launch.compose([*tiny, *SMALL, *options]), tmp_path).start()
    assert float(metrics(tmp_path)["reward/style"][0]) > 0
