"""What is looked at while a rollout fills, and how often."""

from __future__ import annotations

import torch

from mimickit.algos.rollout import Rollout
from mimickit.state import Done, Step
from mimickit.training.collector import Collector
from tests.algos.toy import PointEnv, point_policy


class WatchedEnv(PointEnv):
    """Cut by the clock at every 8th step; an env fails where it goes beyond a radius of 2."""

    def __init__(self, num_envs, steps_apart=0):
        self.log = []
        super().__init__(num_envs)
        self.episode_steps += steps_apart * torch.arange(num_envs)

    def observe(self):
        self.log.append("observe")
        return super().observe()

    def reset(self, mask):
        if bool(mask.any()):  # so that nobody's reset draws nothing
            self.log.append("reset")
            super().reset(mask)

    def step(self, action):
        self.log.append("step")
        step = super().step(action)
        failed = self.point.norm(dim=-1) > 2.0
        return Step(step.reward, torch.where(failed, int(Done.FAIL), step.done), info={})


def collector(env, steps):
    rollout = Rollout(steps, env.num_envs, env.groups, 2, env.device, env.max_steps)
    return Collector(env, point_policy(), rollout, torch.Generator().manual_seed(1))


def test_each_step_is_observed_once_and_once_more_where_the_clock_cuts():
    env = WatchedEnv(16)
    ours = collector(env, 8)
    env.log.clear()
    ours.collect()
    done = ours.rollout.done
    assert (done[:7] == int(Done.FAIL)).any()
    assert not (done[:7] == int(Done.TIME)).any()
    assert (done[7] == int(Done.TIME)).any()
    expected = ["observe"]
    for row in done[:7]:
        ended = ["reset"] if bool((row != int(Done.NULL)).any()) else []
        expected += ["step", *ended, "observe"]
    assert env.log == [*expected, "step", "observe", "reset", "observe"]


def test_what_a_graph_would_replay_fills_the_same_rollout():
    """There the state reached is observed at every step: shapes cannot depend on who ended."""
    ours, replayed = (collector(WatchedEnv(16, steps_apart=1), 20) for _ in range(2))
    replayed._on_cuda = True
    for each in (ours, replayed):
        each.collect()
        each.collect()
    assert (ours.rollout.done == int(Done.TIME)).any(-1).sum() > 8
    for name in ("obs", "timeout_obs"):
        found, expected = (getattr(each.rollout, name)["policy"] for each in (replayed, ours))
        where = expected != 0 if name == "timeout_obs" else torch.ones_like(expected).bool()
        assert torch.equal(found[where], expected[where])
    for name in ("done", "action", "log_prob"):
        assert torch.equal(getattr(replayed.rollout, name), getattr(ours.rollout, name))
