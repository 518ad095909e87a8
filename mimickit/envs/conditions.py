"""What methods add to what policies act on, besides what the task shows of the world.

A condition is part of the state that an action is chosen in: it moves on with the control steps,
and episodes begin with a new one. Legend: N envs, Z components of a latent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional, Protocol

import torch
from torch import Tensor

from mimickit.envs.clock import Clock
from mimickit.envs.task import Task
from mimickit.errors import ConfigError
from mimickit.specs import GroupSpec

LATENT = "latent"  # the observation group of the latents


class Condition(Protocol):
    """One more observation group of N envs; shapes are fixed and nothing waits for the device.

    Attributes:
        spec: of the group.
    """

    spec: GroupSpec

    def observe(self) -> Tensor:
        """What the next action is conditioned on, [N, size]; fresh memory."""
        ...

    def advance(self) -> None:
        """One control step later; within the step, before anything is observed."""
        ...

    def reset(self, mask: Tensor) -> None:
        """Begin anew where mask [N] is true; behind the task, whose episodes begin first."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on, besides the generator, which is the task's."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Latents:
    """Unit vectors that stand for skills: drawn anew at resets and whenever a timer runs out.

    Their components have a standard deviation of 1 / sqrt(Z), always: to standardise by running
    statistics would only let the meaning of a latent move with these.

    Args:
        num_envs: N. control_dt: seconds per step.
        generator: draws latents and times; the task's, so that the same episodes come with the same
            latents.
        size: Z.
        period_s: least and greatest time that a latent stays [s], in any case one control step.
        by_clip: see `latents_of_clips`; for episodes that begin in a clip of `task`, which says
            where each of them begins. The latents that follow are any, but for `return_share`.
        return_share: of the latents that follow, in [0, 1], those of the clip that the task drew
            for the episode, with `by_clip` only. So the way into a clip is learned from where it
            was just left, and from there farther and farther off.
        scale: what policies multiply them with; sqrt(Z) gives them as much say as other inputs.

    Attributes:
        latent: [N, Z], unit vectors.
        switched: [N] bool: whether the last step or reset drew a new one.

    Raises:
        ConfigError: no such size or times.

    Source: ASE (Peng et al. 2022); Z and times as in MimicKit f8d0d70 (mimickit/learning/
        ase_agent.py, data/agents/ase_humanoid_agent.yaml).
    """

    def __init__(
        self,
        num_envs: int,
        device: torch.device,
        control_dt: float,
        generator: torch.Generator,
        task: Optional[Task] = None,
        *,
        size: int,
        period_s: Sequence[float],
        scale: float = 1.0,
        by_clip: bool = False,
        return_share: float = 0.0,
    ) -> None:
        if not isinstance(size, int) or size < 2:
            raise ConfigError(
                f"method.parts.<skill>.latent_size must be whole and at least 2, got {size}"
            )
        if len(period_s) != 2 or not 0.0 <= period_s[0] <= period_s[1] < math.inf:
            raise ConfigError(
                "method.parts.<skill>.period_s must be [low, high] with 0 <= low <= high, got "
                f"{list(period_s)}"
            )
        if not 0.0 < scale < math.inf:
            raise ConfigError(f"method.parts.<skill>.latent_scale must be > 0, got {scale}")
        if not 0.0 <= return_share <= 1.0:
            raise ConfigError(
                f"method.parts.<skill>.return_share must be from 0 to 1, got {return_share}"
            )
        if return_share and not by_clip:
            raise ConfigError(
                f"method.parts.<skill>.return_share={return_share} returns to the clips' own "
                "latents, and with by_clip=false clips have none: set it to 0"
            )
        self.spec = GroupSpec(size, (("latent", size),), scale)
        self.latent = torch.zeros(num_envs, size, device=device)
        self.switched = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._clock = Clock(num_envs, control_dt, device, period_s)
        self._generator = generator
        self._task = task if by_clip else None
        self._return_share = 0.0 if self._task is None else return_share
        self._held = False

    def observe(self) -> Tensor:
        return self.latent.clone()

    def advance(self) -> None:
        if self._held:
            return
        share, returns = self._return_share, None
        if share:
            device = self.latent.device
            draws = torch.rand(len(self.latent), generator=self._generator, device=device)
            returns = draws < share
        self._draw(self._clock.advance(), returns)

    def reset(self, mask: Tensor) -> None:
        if self._held:
            return
        begins = None
        if self._task is not None:
            elsewhere = self._task.elsewhere
            begins = torch.ones_like(mask) if elsewhere is None else ~elsewhere
        self._draw(mask, begins)

    def hold(self, latents: Optional[Tensor]) -> None:
        """Keep latents [N, Z] of any length until other ones are held; None draws again.

        On CUDA, to begin or to end this does not reach a step that is captured already.
        """
        self._held = latents is not None
        if latents is not None:
            self.switched.fill_(False)
            self.latent.copy_(on_sphere(latents))

    def state_dict(self) -> dict[str, Any]:
        buffers = {name: buffer.clone() for name, buffer in self._clock.buffers.items()}
        return {"latent": self.latent.clone(), "switched": self.switched.clone(), **buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latent.copy_(state["latent"])
        self.switched.copy_(state["switched"])
        for name, buffer in self._clock.buffers.items():
            buffer.copy_(state[name])

    def _draw(self, mask: Tensor, by_clip: Optional[Tensor]) -> None:
        """New latents and times for the masked envs [N]; the same draws whoever they are.

        Args:
            by_clip: who of them gets a latent of its episode's clip, [N] bool; None for nobody.
        """
        count, size = self.latent.shape
        latents = random_latents(count, size, self._generator)
        if by_clip is not None:
            assert self._task is not None
            library = self._task.library
            own = latents_of_clips(
                latents, library.original_of[self._task.clips], len(library.originals)
            )
            latents = own.where(by_clip.unsqueeze(-1), latents)
        times = torch.rand(count, generator=self._generator, device=self.latent.device)
        self.latent.copy_(torch.where(mask.unsqueeze(-1), latents, self.latent))
        self._clock.wind(mask, times)
        self.switched.copy_(mask)


def random_latents(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Uniform on the unit sphere, [count, size]; on the generator's device."""
    return on_sphere(torch.randn(count, size, generator=generator, device=generator.device))


def latents_of_clips(latents: Tensor, clips: Tensor, count: int) -> Tensor:
    """Latents [N, Z] that belong to clips [N], each among `count`, [N, Z].

    The first `count` components share the sphere out evenly: a latent belongs to the clip whose
    component is its largest. Each largest component changes places with the one of the wanted clip,
    so latents that were uniform on the sphere are so still, if all clips are wanted equally often.
    Of more clips than components, every Z-th has the same.
    """
    own = (clips % latents.shape[-1]).unsqueeze(-1)
    top = shares_of_latents(latents, count).unsqueeze(-1)
    changed = latents.scatter(-1, top, latents.gather(-1, own))
    return changed.scatter(-1, own, latents.gather(-1, top))


def shares_of_latents(latents: Tensor, count: int) -> Tensor:
    """In whose share of the sphere latents [..., Z] lie, of `count` clips: [...].

    Below `count` and Z; see `latents_of_clips`.
    """
    return latents[..., : min(count, latents.shape[-1])].argmax(-1)


def on_sphere(vectors: Tensor) -> Tensor:
    """Vectors [..., Z] brought to unit length."""
    return torch.nn.functional.normalize(vectors, dim=-1)
