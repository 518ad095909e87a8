"""Environments whose steps are as long as an action is held: what learns to choose skills sees.

A policy that chooses now and then must be credited with all that came of a choice. So here a step
is a hold of the environment below: several control steps under one action.
"""

from __future__ import annotations

from typing import Any, Union

import torch
from torch import Tensor

from mimickit.envs.env import Env
from mimickit.errors import IncompatibleParts
from mimickit.objects import SceneObjects
from mimickit.state import CharacterState, Done, Step


class HeldEnv:
    """An `Env` in steps of `env.hold` control steps; what is not said here is as there.

    A reward is the mean over the control steps of a hold up to the one that ends the episode, which
    is credited with nothing after it; so is a signal, which must therefore be one number. How the
    episode stands is what the first control step said that ended it. Goals and timers move on with
    control steps, and with a hold every episode ends that the clock cuts, so what is seen then is
    what the cut left.

    Args:
        env: whose `hold` makes a step; resets must come through here.

    Attributes:
        control_steps: of the environment below in one step.
        max_steps: steps until the clock cuts an episode.
        dt: seconds per step.
    """

    def __init__(self, env: Env) -> None:
        for name, signal in env.signals.items():
            if signal.size != 1:
                raise IncompatibleParts(
                    f"signal '{name}' has {signal.size} numbers per control step, and no mean over "
                    f"the {env.hold} of a hold (method.hold): parts beside skills must judge each "
                    "control step, as mimickit.methods.SkillStyle"
                )
        self.env = env
        self.control_steps = env.hold
        self.max_steps = env.max_steps // env.hold
        self.dt = env.hold * env.dt
        self.engine, self.task, self.actions = env.engine, env.task, env.actions
        self.signals, self.conditions = env.signals, env.conditions
        self.groups, self.action_size = env.groups, env.action_size
        self.num_envs, self.device = env.num_envs, env.device
        self.divergences = env.divergences

    @property
    def state(self) -> CharacterState:
        """The simulated characters, as live views."""
        return self.env.state

    @property
    def objects(self) -> SceneObjects:
        """What else there is in the world, as live views."""
        return self.env.objects

    @property
    def generator(self) -> torch.Generator:
        """What new episodes are drawn from."""
        return self.env.generator

    @torch.inference_mode()
    def step(self, action: Tensor) -> Step:
        """Advance by one hold under actions [N, action_size]."""
        going = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        done = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        count = torch.zeros(self.num_envs, device=self.device)
        rewards: dict[str, Tensor] = {}
        signals: dict[str, Tensor] = {}
        for _ in range(self.control_steps):
            step = self.env.step(action)
            count += going
            for sums, terms in ((rewards, step.reward), (signals, step.signals)):
                for name, term in terms.items():
                    mask = going.view(-1, *(1,) * (term.dim() - 1))
                    term = torch.where(mask, term, 0.0)
                    sums[name] = sums[name] + term if name in sums else term
            done = torch.where(going, step.done, done)
            going = done == int(Done.NULL)
        return Step(
            reward={name: total / count for name, total in rewards.items()},
            done=done,
            info={"control_steps": count},
            signals={name: total / count.unsqueeze(-1) for name, total in signals.items()},
        )

    def reset(self, mask: Tensor) -> None:
        """Start a new episode where mask [N] is true: where the last step ended one."""
        self.env.reset(mask)

    def reset_all(self) -> None:
        """Start a new episode everywhere."""
        self.env.reset_all()

    def observe(self) -> dict[str, Tensor]:
        """What is seen now, after a step or a reset: groups by name, each [N, size], fresh."""
        return self.env.observe()

    def spread_episodes(self, first: int, total: int) -> None:
        """See `Env.spread_episodes`."""
        self.env.spread_episodes(first, total)

    def compile(self) -> None:
        """See `Env.compile`."""
        self.env.compile()

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return self.env.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.env.load_state_dict(state)


AnyEnv = Union[Env, HeldEnv]  # what training loops step
