"""The environment's loop: one engine, one task, one action space, N envs.

`step` never resets: the state that was reached stays, also at an episode's end, so that learners
can look at it. Whoever steps calls `reset` with the mask of finished envs. Neither observes, which
costs as much as the rest of a step's bookkeeping: `observe` is for when somebody wants to see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

import torch
from torch import Tensor

from mimickit.engines.engine import Engine
from mimickit.envs.actions import Actions
from mimickit.envs.conditions import Condition
from mimickit.envs.signals import Signal
from mimickit.envs.task import Task, lacking
from mimickit.envs.terminations import done_flags
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.objects import SceneObjects
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState, Step


class Env:
    """N environments side by side.

    Args:
        hold: for how many control steps an action is kept, from an episode's first step on. Actions
            that come in between are ignored, so that policies may be asked at every step all the
            same. Episodes last whole holds, unless they fail or succeed.

    Attributes:
        groups: observation groups by name: the task's and the conditions.
        signals: what methods look at, by name.
        conditions: what methods add to what is acted on, by the name of the group.
        action_size: width of an action.
        dt: seconds per step.
        control_steps: in one step; see `HeldEnv`.
        episode_steps: [N] steps since the last reset; more at first, see `spread_episodes`.
        divergences: how many times an engine's world blew up, [] int64.
    """

    def __init__(
        self,
        engine: Engine,
        task: Task,
        actions: Actions,
        signals: Optional[Mapping[str, Signal]] = None,
        conditions: Optional[Mapping[str, Condition]] = None,
        hold: int = 1,
    ) -> None:
        missing = lacking(actions.needs, task)
        if missing:
            raise IncompatibleParts(
                f"{type(actions).__name__} needs {missing}; or use action=absolute"
            )
        self.engine = engine
        self.task = task
        self.actions = actions
        self.signals = dict(signals or {})
        self.conditions = dict(conditions or {})
        self.num_envs = engine.num_envs
        self.device = engine.device
        self.dt = engine.control_dt
        self.control_steps = 1
        for name in self.conditions:
            if name in task.groups:
                raise IncompatibleParts(
                    f"a part of the method adds an observation group '{name}', and task "
                    f"{type(task).__name__} has one of that name"
                )
        added = {name: condition.spec for name, condition in self.conditions.items()}
        self.groups: dict[str, GroupSpec] = {**task.groups, **added}
        self.action_size = actions.size
        length = task.episode_length_s
        steps = round(length / self.dt) if math.isfinite(length) else 0
        self.hold = hold
        self.max_steps = -(-steps // hold) * hold
        if self.max_steps < 1:
            raise ConfigError(
                f"task.episode_length_s={length} must be finite, and no shorter than one control "
                f"step of {self.dt:.4f} s"
            )
        self._held = torch.zeros(self.num_envs, actions.size, device=self.device)
        self.episode_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.divergences = torch.zeros((), dtype=torch.long, device=self.device)
        self.reset_all()

    @property
    def state(self) -> CharacterState:
        """The simulated characters, as live views."""
        return self.engine.state

    @property
    def objects(self) -> SceneObjects:
        """What else there is in the world, as live views."""
        return SceneObjects(self.engine.object_specs, self.engine.objects)

    @property
    def generator(self) -> torch.Generator:
        """What new episodes are drawn from."""
        return self.task.generator

    def reset_all(self) -> None:
        """Start a new episode everywhere."""
        self.reset(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))

    def spread_episodes(self, first: int, total: int) -> None:
        """Count the envs' episodes as begun at different times, so that not all end at once.

        Env i of this one is env `first + i` of `total`, and that share of its time is over already.
        For right after `reset_all`: where nobody fails, all would go on together for ever, and what
        is learned from a few steps would be learned from one part of the episode.
        """
        index = first + torch.arange(self.num_envs, device=self.device)
        holds = self.max_steps // self.hold
        self.episode_steps.copy_(index * holds // total * self.hold)

    @torch.inference_mode()  # spares autograd's share of each small operation
    def reset(self, mask: Tensor) -> None:
        """Start a new episode where mask [N] is true."""
        start = self._draw(mask)
        self.engine.write(mask, start, self.task.drawn)
        self._place(mask)
        self._remember(mask)

    @torch.inference_mode()
    def step(self, action: Tensor) -> Step:
        """Advance by one control step under actions [N, action_size]."""
        self.engine.command(self._decode(action))
        self._place(None)
        self.engine.step()
        return self._judge()

    @torch.inference_mode()
    def observe(self) -> dict[str, Tensor]:
        """What is seen now, after a step or a reset: groups by name, each [N, size], fresh."""
        return self._observe()

    def compile(self) -> None:
        """Fuse all but the physics with torch.compile: slow at the first steps, faster after."""
        for name in ("_decode", "_judge", "_draw", "_remember", "_observe"):
            setattr(self, name, torch.compile(getattr(self, name), dynamic=False))

    def _place(self, mask: Optional[Tensor]) -> None:
        """Move the objects that the task wants moved, everywhere or where mask [N] is true."""
        placement = self.task.placement
        if placement is not None:
            chosen = placement.mask
            if mask is not None:
                chosen = chosen & mask.unsqueeze(-1)
            self.engine.write_objects(chosen, placement.state)

    def _decode(self, action: Tensor) -> Tensor:
        if self.hold > 1:
            begins = (self.episode_steps % self.hold == 0).unsqueeze(-1)
            self._held.copy_(torch.where(begins, action, self._held))
            action = self._held
        return self.actions.decode(action, self.engine.state, self.task.next_reference)

    def _judge(self) -> Step:
        """What came of a step: rewards, signals, and how episodes stand."""
        state, diverged = self.engine.state, self.engine.diverged
        self.task.advance(state)
        for condition in self.conditions.values():
            condition.advance()
        self.episode_steps += 1
        self.divergences += torch.count_nonzero(diverged)
        done = done_flags(
            time_up=self.episode_steps >= self.max_steps,
            succeeded=self.task.succeeded(state),
            failed=self.task.failed(state) | diverged,
        )
        return Step(
            reward=self.task.rewards(state),
            done=done,
            info={"episode_steps": self.episode_steps.clone()},
            signals={name: signal.observe(state) for name, signal in self.signals.items()},
        )

    def _draw(self, mask: Tensor) -> CharacterState:
        self.episode_steps.masked_fill_(mask, 0)
        start = self.task.reset(mask)
        for condition in self.conditions.values():
            condition.reset(mask)
        return start

    def _remember(self, mask: Tensor) -> None:
        for signal in self.signals.values():
            signal.reset(mask, self.engine.state)

    def _observe(self) -> dict[str, Tensor]:
        added = {name: condition.observe() for name, condition in self.conditions.items()}
        return {**self.task.observe(self.engine.state), **added}

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return {
            "engine": self.engine.state_dict(),
            "task": self.task.state_dict(),
            "signals": {name: signal.state_dict() for name, signal in self.signals.items()},
            "conditions": {name: c.state_dict() for name, c in self.conditions.items()},
            "held": self._held.clone() if self.hold > 1 else None,
            "episode_steps": self.episode_steps.clone(),
            "divergences": self.divergences.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.engine.load_state_dict(state["engine"])
        self.task.load_state_dict(state["task"])
        for name, signal in self.signals.items():
            signal.load_state_dict(state["signals"][name])
        for name, condition in self.conditions.items():
            condition.load_state_dict(state["conditions"][name])
        if self.hold > 1:
            self._held.copy_(state["held"])
        self.episode_steps.copy_(state["episode_steps"])
        self.divergences.copy_(state["divergences"])
