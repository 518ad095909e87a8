"""A world without physics for tests of learning: move a point onto the origin. Legend: N envs."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec
from mimickit.state import Done, Step


class PointEnv:
    """What a trainer needs of an `Env`: a point in the plane that moves by half of each action.

    The reward of a step is exp(-|point|^2), so 1 at the origin; episodes are cut after 8 steps and
    begin anywhere in [-2, 2]^2.
    """

    dt = 0.1
    max_steps = 8
    action_size = 2

    def __init__(self, num_envs, seed=0):
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.groups = {"policy": GroupSpec(2)}
        self.generator = torch.Generator().manual_seed(seed)
        self.task = SimpleNamespace(generator=self.generator)  # of start states
        self.point = torch.zeros(num_envs, 2)
        self.episode_steps = torch.zeros(num_envs, dtype=torch.long)
        self.divergences = torch.zeros((), dtype=torch.long)
        self.reset(torch.ones(num_envs, dtype=torch.bool))

    def observe(self):
        return {"policy": self.point.clone()}

    def reset(self, mask):
        start = 4.0 * torch.rand(self.num_envs, 2, generator=self.generator) - 2.0
        self.point = torch.where(mask.unsqueeze(-1), start, self.point)
        self.episode_steps = self.episode_steps.masked_fill(mask, 0)

    def step(self, action):
        self.point = self.point + 0.5 * action
        self.episode_steps = self.episode_steps + 1
        done = torch.where(self.episode_steps >= self.max_steps, int(Done.TIME), int(Done.NULL))
        reward = torch.exp(-self.point.square().sum(-1))
        return Step(reward={"near": reward}, done=done, info={})

    def state_dict(self):
        return {
            "point": self.point.clone(),
            "steps": self.episode_steps.clone(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state):
        self.point, self.episode_steps = state["point"].clone(), state["steps"].clone()
        self.generator.set_state(state["generator"])


def point_policy(**changes):
    """A small policy for it, the same at every call."""
    torch.manual_seed(0)
    settings = {
        "actor_groups": ["policy"],
        "critic_groups": ["policy"],
        "actor_hidden": [32],
        "critic_hidden": [32],
        "activation": "tanh",
        "action_scale": 0.01,
        "sigma": "fixed",
        "sigma_init": 0.3,
        "normalizer_samples": 1e8,
    }
    return Policy({"policy": GroupSpec(2)}, 2, **{**settings, **changes})
