"""Drives a policy by random latents and says which skills that shows, how safely, how distinctly.

Legend: N episodes side by side, T control steps, L latents, Z components of a latent, D features
of a window, P directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Callable

import torch
from torch import Tensor

from mimickit.envs.conditions import LATENT, Latents, random_latents
from mimickit.envs.env import Env
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.evaluation.clip_windows import MOTION, ClipWindows
from mimickit.evaluation.evaluator import DeterministicPolicy
from mimickit.evaluation.skill_figures import (
    best_match,
    coverage,
    diversity,
    mean,
    retrieval,
    transitions,
    votes,
)
from mimickit.graphs import Graphed
from mimickit.methods import Part
from mimickit.methods.encoder import SkillEncoder
from mimickit.methods.sliced import sliced_distance
from mimickit.state import Done

CANDIDATES = 16  # latents that the encoder is to choose among
MOST_SAMPLES = 65_536  # windows of the rollouts that are compared with as many of the clips
ENCODED_WINDOW = "window"  # the signal that a skill encoder looks at


@dataclass(frozen=True)
class SkillSettings:
    """How long, how often.

    Attributes:
        repeats: episodes of each latent, at least 2, so that a latent's own spread is seen.
        seconds: that each episode keeps its latent [s].
        switch_seconds: that it then keeps another one [s].
        settle_seconds: after the start and after the switch, that only survival is judged by [s]:
            the motion there is still what it was before.

    Raises:
        ConfigError: a value that cannot work.
    """

    repeats: int = 2
    seconds: float = 10.0
    switch_seconds: float = 5.0
    settle_seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.repeats < 2:
            raise ConfigError(f"repeats must be at least 2, got {self.repeats}")
        shortest = min(self.seconds, self.switch_seconds)
        if not 0.0 <= self.settle_seconds < shortest:
            raise ConfigError(
                f"seconds={self.seconds} and switch={self.switch_seconds} must be longer than the "
                f"{self.settle_seconds} s in which a skill settles"
            )

    @property
    def all_seconds(self) -> float:
        """Of a whole episode [s]."""
        return self.seconds + self.switch_seconds


@dataclass(frozen=True)
class SkillRecord:
    """What episodes under random latents showed.

    Attributes:
        dt: seconds per step. settle: steps after which a skill shows. switch: when the latents
            change: the steps before it have the first ones.
        latents: [L, Z]. skills: [N] which of them each episode begins with.
        up: [T, N] bool, whether no failure has come until then.
        nearest: [T, N] clip that the motion is nearest to. distance: [T, N] from it.
        encoded: [T, N, Z], what the encoder says. shadows: [T, N, P], see `ClipWindows`.
    """

    dt: float
    settle: int
    switch: int
    latents: Tensor
    skills: Tensor
    up: Tensor
    nearest: Tensor
    distance: Tensor
    encoded: Tensor
    shadows: Tensor


class SkillRecorder:
    """Deterministic episodes, one per env, under latents that are drawn once and held.

    Episode i begins with latent i modulo L and goes on with one of another index. An env that
    fails starts anew, and counts no more. On CUDA a control step with all that is recorded of it is
    one replayed graph.

    Args:
        env: its own, with the signals in `SIGNALS` and the encoder's, and latents; its episodes
            must not end by the clock. Its number of envs must be a multiple of `repeats`.
        policy: to drive. encode: latents [N, Z] for the encoder's windows [N, D].
        clips: to look for nearest ones in.
        seed: of start states and latents.

    Raises:
        IncompatibleParts: the policy has no latents. ConfigError: the numbers do not fit.
    """

    def __init__(
        self,
        env: Env,
        policy: DeterministicPolicy,
        encode: Callable[[Tensor], Tensor],
        clips: ClipWindows,
        settings: SkillSettings,
        seed: int,
    ) -> None:
        if env.num_envs % settings.repeats:
            raise ConfigError(
                f"episodes={env.num_envs} must be a multiple of repeats={settings.repeats}"
            )
        latents = held_latents(env)
        self._env, self._policy, self._encode, self._clips = env, policy, encode, clips
        self._condition = latents
        self._seed = seed
        num, device = env.num_envs, env.device
        self._settle = round(settings.settle_seconds / env.dt)
        self._switch = round(settings.seconds / env.dt)
        steps = round(settings.all_seconds / env.dt)
        if env.max_steps <= steps:
            raise ConfigError(
                f"episodes of {env.max_steps} steps are too short for {steps} steps under latents"
            )
        self._count = num // settings.repeats
        if self._count <= settings.repeats:
            raise ConfigError(
                f"episodes={num} with repeats={settings.repeats} are {self._count} latents; at "
                f"least {settings.repeats + 1} are needed to change between"
            )
        episodes = torch.arange(num, device=device)
        self._skills = episodes % self._count
        # Another one for each repeat, so that there are as many pairs as episodes.
        self._next = (self._skills + 1 + episodes // self._count) % self._count

        self._obs = {name: value.clone() for name, value in env.observe().items()}
        self._up = torch.ones(num, dtype=torch.bool, device=device)
        self._now = torch.zeros(1, dtype=torch.long, device=device)
        windows = clips.shadows(torch.zeros(1, env.signals[MOTION].size, device=device))
        self._record = {
            "up": torch.zeros(steps, num, dtype=torch.bool, device=device),
            "nearest": torch.zeros(steps, num, dtype=torch.long, device=device),
            "distance": torch.zeros(steps, num, device=device),
            "encoded": torch.zeros(steps, num, latents.spec.size, device=device),
            "shadows": torch.zeros(steps, num, windows.shape[-1], device=device),
        }
        self._step = Graphed(self._step_once, device, [env.generator])

    @torch.no_grad()
    def run(self) -> SkillRecord:
        """Play and record all episodes; the record is overwritten by the next call."""
        env = self._env
        generator = torch.Generator(env.device).manual_seed(self._seed)
        latents = random_latents(self._count, self._condition.spec.size, generator)
        self._condition.hold(latents[self._skills])
        env.generator.manual_seed(self._seed)
        env.reset_all()
        self._look()
        self._up.fill_(True)
        self._now.zero_()
        for step in range(len(self._record["up"])):
            if step == self._switch:
                self._condition.hold(latents[self._next])
                self._look()
            self._step()
        return SkillRecord(
            dt=env.dt,
            settle=self._settle,
            switch=self._switch,
            latents=latents,
            skills=self._skills,
            **self._record,
        )

    def _step_once(self) -> None:
        env = self._env
        step = env.step(self._policy.act_deterministic(self._obs))
        self._up &= step.done != int(Done.FAIL)
        motion = self._clips.standardized(step.signals[MOTION])
        nearest, distance = self._clips.nearest(motion)
        seen = {
            "up": self._up,
            "nearest": nearest,
            "distance": distance,
            "encoded": self._encode(step.signals[ENCODED_WINDOW]),
            "shadows": self._clips.shadows(motion),
        }
        for name, value in seen.items():
            self._record[name].index_copy_(0, self._now, value.unsqueeze(0))
        self._now += 1
        env.reset(step.done != int(Done.NULL))
        self._look()

    def _look(self) -> None:
        """Keep what is seen now where graphs look for it."""
        for name, value in self._env.observe().items():
            self._obs[name].copy_(value)


def skill_figures(record: SkillRecord, clips: ClipWindows) -> dict[str, Any]:
    """All figures of a record, for JSON; those that nothing can be said of are None.

    Returns:
        `episodes`: how many of which length, `stays_up`, the share without a failure until the
        latents change, and `seconds_up`, the mean time until a failure or that change. `coverage`:
        of `clips` and of `originals`, see `skill_figures.coverage`, by the nearest clip of each
        latent, and `distance` from it. `diversity`, `encoder`, `transitions` (between originals):
        see their functions. `data`: the sliced Wasserstein `distance` of the motion from the
        clips', and its `floor`, that of the clips' from their own.
    """
    names, weights = clips.originals, torch.zeros(len(clips.originals), dtype=torch.float64)
    weights.index_add_(0, clips.original_of.cpu(), clips.weights.cpu().double())
    shown = torch.zeros_like(record.up)
    shown[record.settle : record.switch] = record.up[record.settle : record.switch]
    after = torch.zeros_like(record.up)
    after[record.switch + record.settle :] = record.up[record.switch + record.settle :]
    original = clips.original_of[record.nearest]
    up = record.up[: record.switch]
    lasting = up[-1].nonzero().squeeze(-1)  # episodes that stayed up under their first latent
    first = slice(record.settle, record.switch)

    by_clip = _by_skill(votes(record.nearest, shown, len(clips.names)), record)
    by_original = _by_skill(votes(original, shown, len(names)), record)
    moved = transitions(
        best_match(votes(original, shown, len(names)))[lasting],
        best_match(votes(original, after, len(names)))[lasting],
        record.up[-1][lasting],
        names,
    )
    encoded = torch.nn.functional.normalize((record.encoded * shown.unsqueeze(-1)).sum(0), dim=-1)
    shows = shown.any(0)
    return {
        "episodes": {
            "count": up.shape[1],
            "latents": len(record.latents),
            "seconds": record.switch * record.dt,
            "stays_up": mean(up[-1]),
            "seconds_up": float(up.double().sum(0).mean()) * record.dt,
        },
        "coverage": {
            "originals": coverage(best_match(by_original), names, weights.tolist()),
            "clips": coverage(best_match(by_clip), clips.names, clips.weights.tolist()),
            "distance": mean(record.distance[shown]),
        },
        "diversity": diversity(
            record.shadows[first, lasting].transpose(0, 1), record.skills[lasting]
        ),
        "encoder": retrieval(encoded[shows], record.skills[shows], record.latents, CANDIDATES),
        "transitions": {"seconds": (len(record.up) - record.switch) * record.dt, **moved},
        "data": _compared(record.shadows[shown], clips),
    }


def held_latents(env: Env) -> Latents:
    """The condition that drives an env's policy, to hold latents in.

    Raises:
        IncompatibleParts: there is none.
    """
    latents = env.conditions.get(LATENT)
    if not isinstance(latents, Latents):
        raise IncompatibleParts("the policy was trained without skills; method=ase has them")
    return latents


def skill_encoder(parts: Mapping[str, Part]) -> SkillEncoder:
    """The encoder among a method's parts.

    Raises:
        IncompatibleParts: there is none.
    """
    for part in parts.values():
        if isinstance(part, SkillEncoder):
            return part
    raise IncompatibleParts(
        f"the run's method has no skill encoder, only {', '.join(parts) or 'no parts'}; "
        "method=ase has one"
    )


def slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """The unit vector [Z] at a share of the way from one unit vector [Z] to another.

    The way is the great circle's; the two must not be opposite.
    """
    angle = torch.acos((first * second).sum().clamp(-1.0, 1.0))
    if float(angle) < 1e-4:
        return second.clone()
    ahead = torch.sin((1.0 - share) * angle) * first + torch.sin(share * angle) * second
    return ahead / torch.sin(angle)


def latent_path(latents: Tensor, steps: int, interpolate: bool) -> Iterator[tuple[int, Tensor]]:
    """The latents [L, Z] one after the other, `steps` control steps each.

    Args:
        interpolate: go from each to the next, and from the last to the first, by `slerp`; else keep
            each.

    Yields:
        Which one it is or comes from, and a latent [Z].
    """
    for index, latent in enumerate(latents):
        to = latents[(index + 1) % len(latents)]
        for step in range(steps):
            yield index, slerp(latent, to, step / steps) if interpolate else latent


def _by_skill(counts: Tensor, record: SkillRecord) -> Tensor:
    """Votes of episodes [N, C] summed over those of each latent, [L, C]."""
    sums = counts.new_zeros(len(record.latents), counts.shape[1])
    return sums.index_add_(0, record.skills, counts)


def _compared(shadows: Tensor, clips: ClipWindows) -> dict[str, Any]:
    """How far rollouts' windows are from the clips', by their shadows [M, P]."""
    if len(shadows) == 0:
        return {"distance": None, "floor": None}
    count = min(len(shadows), MOST_SAMPLES)
    chosen = torch.linspace(0, len(shadows) - 1, count, device=shadows.device).long()
    real, other = clips.sampled_shadows(count), clips.sampled_shadows(count)
    return {
        "distance": float(sliced_distance(shadows[chosen], real)),
        "floor": float(sliced_distance(other, real)),
    }
