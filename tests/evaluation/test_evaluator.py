"""Which episodes count, and what becomes of them, on a scripted environment."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from mimickit.errors import ConfigError
from mimickit.evaluation.evaluator import Evaluator
from mimickit.state import CharacterState, Done, Step

BODIES = 15


@dataclasses.dataclass
class Episode:
    """What an env is to do: last for some steps, end so, with the root so far off at each step."""

    clip: int
    flag: Done
    offsets: list  # [m] per step


class Task:
    provides = frozenset({"reference"})
    tracked = True
    clip_names = ("walk", "run", "never")

    def __init__(self, num_envs):
        self.reference = CharacterState.zeros(num_envs, BODIES, 28)
        self.clips = torch.zeros(num_envs, dtype=torch.long)

    def figures(self, state):
        return {}


class ScriptedEnv:
    """Plays a list of episodes in every env; each step earns a reward of 1 in two terms."""

    dt = 0.5
    max_steps = 4
    device = torch.device("cpu")

    def __init__(self, character, scripts, noise=0.0):
        self.scripts = scripts
        self.num_envs = len(scripts)
        self.engine = type("Engine", (), {"character": character})
        self.task = Task(self.num_envs)
        self.generator = torch.Generator()
        self.noise = noise
        self.state = CharacterState.zeros(self.num_envs, BODIES, 28)
        self.episode_steps = torch.zeros(self.num_envs, dtype=torch.long)
        self.started = [0] * self.num_envs
        self.actions = []

    def reset_all(self):
        self.started = [0] * self.num_envs
        self.reset(torch.ones(self.num_envs, dtype=torch.bool))

    def reset(self, mask):
        for i in mask.nonzero().flatten().tolist():
            script = self.scripts[i]
            self.playing = getattr(self, "playing", {})
            self.playing[i] = script[self.started[i] % len(script)]
            self.started[i] += 1
            self.task.clips[i] = self.playing[i].clip
            self.episode_steps[i] = 0
        self.extra = self.noise * torch.rand(1, generator=self.generator).item()

    def observe(self):
        return {"policy": torch.zeros(self.num_envs, 1)}

    def step(self, action):
        self.actions.append(action)
        self.episode_steps += 1
        done = torch.zeros(self.num_envs, dtype=torch.long)
        for i, episode in self.playing.items():
            step = int(self.episode_steps[i])
            offset = episode.offsets[step - 1] + self.extra
            self.state.body_pos[i] = torch.tensor([offset, 0.0, 0.0])
            self.state.root_pos[i] = self.state.body_pos[i, 0]
            done[i] = int(episode.flag) if step == len(episode.offsets) else 0
        half = torch.full((self.num_envs,), 0.5)
        return Step(reward={"a": half, "b": half.clone()}, done=done, info={})


class Policy:
    def act_deterministic(self, obs):
        return torch.full((len(obs["policy"]), 28), 7.0)


def evaluate(env, episodes):
    return Evaluator(env, env.generator, seed=5, episodes=episodes).run(Policy())


SCRIPTS = [
    # Falls soon, so it would be seen three times as often as the other if all episodes counted.
    [Episode(0, Done.FAIL, [1.5]), Episode(1, Done.FAIL, [3.0]), Episode(2, Done.FAIL, [150.0])],
    [Episode(0, Done.TIME, [0.0, 0.3, 0.6, 0.9]), Episode(1, Done.SUCC, [0.6, 1.2])],
]


def test_first_episodes_of_every_env_by_hand(humanoid):
    results = evaluate(ScriptedEnv(humanoid, SCRIPTS), episodes=4)
    # Episodes: 1.5, 3.0 (fails), mean(0 .. 0.9) = 0.45, mean(0.6, 1.2) = 0.9; a root's share: / 15.
    overall = results["overall"]
    assert overall["episodes"] == 4
    assert overall["position_error_m"] == pytest.approx((1.5 + 3.0 + 0.45 + 0.9) / 4 / 15)
    assert overall["root_position_error_m"] == pytest.approx((1.5 + 3.0 + 0.45 + 0.9) / 4)
    assert overall["success_rate"] == 0.5  # a time-out and a success
    assert overall["return"] == pytest.approx((1 + 1 + 4 + 2) / 4)
    assert overall["episode_length_s"] == pytest.approx((1 + 1 + 4 + 2) / 4 * 0.5)
    assert overall["dof_velocity_error_rad_s"] == 0.0


def test_clips_have_rows_of_their_own_and_unseen_ones_none(humanoid):
    clips = evaluate(ScriptedEnv(humanoid, SCRIPTS), episodes=4)["clips"]
    assert list(clips) == ["walk", "run"]
    assert clips["walk"]["position_error_m"] == pytest.approx((1.5 + 0.45) / 2 / 15)
    assert clips["run"]["position_error_m"] == pytest.approx((3.0 + 0.9) / 2 / 15)
    assert clips["run"]["episodes"] == 2
    assert clips["walk"]["success_rate"] == 0.5


def test_later_episodes_of_fast_envs_do_not_count(humanoid):
    # Env 0 gets to its third episode, 150 m off, while env 1 is still in its first.
    env = ScriptedEnv(humanoid, SCRIPTS)
    results = evaluate(env, episodes=2)
    assert env.started[0] >= 3
    assert results["overall"]["episodes"] == 2
    assert results["overall"]["position_error_m"] == pytest.approx((1.5 + 0.45) / 2 / 15)


def test_every_env_weighs_the_same_whatever_its_episodes_last(humanoid):
    counts = [evaluate(ScriptedEnv(humanoid, SCRIPTS), n)["overall"]["episodes"] for n in (1, 3, 4)]
    assert counts == [2, 4, 4]  # rounded up to whole rounds


def test_the_same_result_twice_and_after_the_env_was_used(humanoid):
    env = ScriptedEnv(humanoid, SCRIPTS, noise=1.0)
    first = evaluate(env, 4)
    env.reset(torch.ones(2, dtype=torch.bool))
    env.step(torch.zeros(2, 28))
    assert evaluate(env, 4) == first
    other_seed = Evaluator(env, env.generator, seed=6, episodes=4).run(Policy())
    assert other_seed["overall"] != first["overall"]


def test_steps_after_the_last_counted_episode_change_nothing(humanoid):
    env = ScriptedEnv(humanoid, SCRIPTS)
    evaluator = Evaluator(env, env.generator, seed=5, episodes=4)
    evaluator.begin(Policy())
    for _ in range(evaluator.max_steps + 7):  # a CUDA device is not asked after every step
        evaluator.advance()
    assert bool(evaluator.over)
    assert evaluator.results() == evaluate(ScriptedEnv(humanoid, SCRIPTS), 4)


def test_stops_as_soon_as_all_counted_episodes_are_over(humanoid):
    env = ScriptedEnv(humanoid, SCRIPTS)
    evaluate(env, 2)
    assert len(env.actions) == 4  # of 2 episodes of at most 4 steps each


def test_acts_with_the_policys_best_actions_and_without_gradients(humanoid):
    env = ScriptedEnv(humanoid, SCRIPTS)
    before = torch.get_rng_state()
    evaluate(env, 2)
    assert all(bool((action == 7.0).all()) for action in env.actions)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_reference_there_are_no_tracking_errors(humanoid):
    env = ScriptedEnv(humanoid, SCRIPTS)
    env.task.provides, env.task.reference = frozenset(), None
    assert set(evaluate(env, 2)["overall"]) == {
        "return",
        "episode_length_s",
        "success_rate",
        "episodes",
    }


def test_no_episodes_are_refused(humanoid):
    with pytest.raises(ConfigError, match="evaluation episodes must be at least 1, got 0"):
        evaluate(ScriptedEnv(humanoid, SCRIPTS), 0)
