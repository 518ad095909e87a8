"""A method: named parts and the weights of their rewards, the task's among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import Condition
from mimickit.envs.signals import Signal
from mimickit.errors import ConfigError, IncompatibleParts, unknown_name_message
from mimickit.methods.part import Part, Sources

TASK = "task"  # the name of the task's own reward among a method's weights


class Method:
    """Parts by name, and how much each one's reward counts.

    Args:
        name: short name, e.g. for run folders.
        reward: weight per part, and of the sum of the task's terms under "task".
        parts: the parts by name; DeepMimic has none.
        hold: for methods whose actions are skills (see `mimickit.skills`): control steps that each
            is kept. None for methods that move the joints themselves.
    """

    def __init__(
        self,
        name: str,
        reward: Mapping[str, float],
        parts: Mapping[str, Part],
        hold: Optional[int] = None,
    ) -> None:
        if hold is not None and hold < 1:
            raise ConfigError(f"method.hold must be null or at least 1, got {hold}")
        for key in reward:
            if key != TASK and key not in parts:
                raise ConfigError(
                    unknown_name_message(
                        f"method '{name}' has no part", key, [TASK, *parts], "method.reward"
                    )
                )
        for key, weight in reward.items():
            if not isinstance(weight, (int, float)) or not math.isfinite(weight):
                raise ConfigError(f"method.reward.{key} must be a finite number, got {weight}")
        self.name = name
        self.hold = hold
        self.weights = dict(reward)
        self.parts = dict(parts)

    @property
    def needs(self) -> frozenset[str]:
        """What the task must provide."""
        return frozenset().union(*(part.needs for part in self.parts.values()))

    @property
    def signals(self) -> dict[str, Callable[..., Signal]]:
        """What the environment must observe for the parts, by name.

        Raises:
            IncompatibleParts: two parts want different things by one name.
        """
        return self._merged("signal", {name: part.signals for name, part in self.parts.items()})

    @property
    def skill_signals(self) -> frozenset[str]:
        """What the parts judge by of what skills bring along, by name."""
        return frozenset().union(*(part.skill_signals for part in self.parts.values()))

    @property
    def conditions(self) -> dict[str, Callable[..., Condition]]:
        """What the parts add to what the policy acts on, by the name of the observation group.

        Raises:
            IncompatibleParts: two parts want different things by one name.
        """
        wanted = {name: part.conditions for name, part in self.parts.items()}
        return self._merged("condition", wanted)

    @property
    def generators(self) -> list[torch.Generator]:
        """What the parts draw from."""
        return [generator for part in self.parts.values() for generator in part.generators]

    @property
    def capturable(self) -> bool:
        """Whether rewards and updates may be captured as a CUDA graph."""
        return all(part.capturable for part in self.parts.values())

    @property
    def facts(self) -> dict[str, Any]:
        """Those of the parts that have any, by name; see `Part.facts`."""
        return {name: part.facts for name, part in self.parts.items() if part.facts}

    def connect(self, sources: Mapping[str, Sources]) -> None:
        """Build what depends on the environment, part by part."""
        for name, part in self.parts.items():
            part.connect(sources[name])

    def reward(self, rollout: Rollout) -> dict[str, Tensor]:
        """Set the rollout's reward [T, N] from the task's terms and the parts; means to log."""
        means = {f"reward/{name}": term.mean() for name, term in rollout.terms.items()}
        total = torch.zeros_like(rollout.reward)
        if self.weights.get(TASK, 0.0) != 0.0:
            total += self.weights[TASK] * torch.stack(list(rollout.terms.values())).sum(0)
        for name, part in self.parts.items():
            reward = part.reward(rollout)
            if reward is not None:
                total += self.weights.get(name, 0.0) * reward
                means[f"reward/{name}"] = reward.mean()
        rollout.reward.copy_(total)
        return means

    def actor_terms(self) -> list[ActorTerm]:
        """The parts' additions to the actor's loss."""
        terms = (part.actor_term() for part in self.parts.values())
        return [term for term in terms if term is not None]

    def update(self, rollout: Rollout) -> dict[str, Tensor]:
        """Let every part learn; scalars to log, prefixed with the part's name."""
        metrics: dict[str, Tensor] = {}
        for name, part in self.parts.items():
            metrics.update({f"{name}/{k}": v for k, v in part.update(rollout).items()})
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Every part's state by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])

    def load_networks(self, state: dict[str, Any]) -> None:
        """Take what judges motion from `state_dict`, as a run that learns no more does."""
        for name, part in self.parts.items():
            part.load_networks(state[name])

    def _merged(
        self, kind: str, wanted: Mapping[str, Mapping[str, Callable[..., Any]]]
    ) -> dict[str, Callable[..., Any]]:
        """The factories that parts want, by their own names; what several want is made once."""
        found: dict[str, Callable[..., Any]] = {}
        for name, factories in wanted.items():
            for key, factory in factories.items():
                if key in found and _settings(found[key]) != _settings(factory):
                    raise IncompatibleParts(
                        f"part '{name}' of method '{self.name}' wants {kind} '{key}' with "
                        f"{_settings(factory)[1]}, another part with {_settings(found[key])[1]}"
                    )
                found[key] = factory
        return found


def part_nodes(method: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a method's config node, by name; one that is null is left away."""
    return {name: node for name, node in method["parts"].items() if node is not None}


def _settings(factory: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """What a factory calls, and with which options."""
    if isinstance(factory, partial):
        return factory.func, factory.keywords
    return factory, {}
