"""Draws clips and start times for resets.

Legend: C clips, K bins of clip time, N episodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mimickit.errors import CheckpointError, ConfigError, closest
from mimickit.motions.library import MotionLibrary
from mimickit.pooling import Pool

MODES = ("weights", "uniform", "length", "adaptive")
LEAST_CHANCE = 0.02  # of failing in a bin: so that none is drawn 50 times as often as others
PRIOR_S = 2.0  # [s] for which a bin counts as failing like the average, besides what it saw


@dataclass(frozen=True)
class Sampling:
    """How often which clip, and which part of it, is drawn.

    Attributes:
        mode: `weights`: clips by weight; `uniform`: all alike; `length`: by weight times seconds;
            `adaptive`: as `length`, and more often where episodes fail.
        bin_s: longest stretch of a clip [s] that is judged as one; shorter bins find the place
            better and need more experience.
        lookahead: how many bins count, from the one to start in on; those behind by `decay` each.
        decay: of the bins that follow, unitless.
        memory_s: how much experience [s] a bin remembers; more is steadier, less is newer.
        even_share: share of episodes drawn as `length` would, so that nothing is forgotten.

    Raises:
        ConfigError: a value that cannot work.
    """

    mode: str = "weights"
    bin_s: float = 1.0
    lookahead: int = 3
    decay: float = 0.8
    memory_s: float = 120.0
    even_share: float = 0.1

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            near = closest(str(self.mode), MODES, count=1)
            hint = f" Closest: {near[0]}." if near else ""
            raise ConfigError(f"task.sampling.mode={self.mode}: choose {', '.join(MODES)}.{hint}")
        for key in ("bin_s", "memory_s"):
            value = getattr(self, key)
            if not (_is_number(value) and 0.0 < value < math.inf):
                raise ConfigError(f"task.sampling.{key} must be above 0, got {value}")
        for key in ("decay", "even_share"):
            value = getattr(self, key)
            if not (_is_number(value) and 0.0 <= value <= 1.0):
                raise ConfigError(f"task.sampling.{key} must be from 0 to 1, got {value}")
        if isinstance(self.lookahead, bool) or not isinstance(self.lookahead, int):
            raise ConfigError(f"task.sampling.lookahead must be whole, got {self.lookahead}")
        if self.lookahead < 1:
            raise ConfigError(f"task.sampling.lookahead must be at least 1, got {self.lookahead}")


def read_sampling(settings: Mapping[str, Any]) -> Sampling:
    """The settings under `task.sampling`.

    Raises:
        ConfigError: an unknown key, or a value that cannot work.
    """
    known = [field.name for field in fields(Sampling)]
    for key in settings:
        if key not in known:
            near = closest(str(key), known, count=1)
            hint = f" Closest: {near[0]}." if near else ""
            raise ConfigError(f"task.sampling has no '{key}'.{hint} All: {', '.join(known)}")
    return Sampling(**settings)


def make_sampler(
    library: MotionLibrary,
    generator: torch.Generator,
    random_start: bool,
    sampling: Sampling,
    control_dt: float,
) -> MotionSampler:
    """What draws the clips and start times of a task."""
    if sampling.mode == "adaptive":
        return AdaptiveSampler(library, generator, random_start, sampling, control_dt)
    return MotionSampler(library, generator, random_start, sampling.mode)


class MotionSampler:
    """Clips by a share that never changes, times uniform over the clip.

    Args:
        random_start: draw the time from [0, duration); otherwise every episode starts at 0.
        generator: on the library's device; its state belongs to whoever checkpoints it.
        mode: see `Sampling`.

    Attributes:
        adaptive: whether `record` is of any use.
    """

    adaptive = False

    def __init__(
        self,
        library: MotionLibrary,
        generator: torch.Generator,
        random_start: bool = True,
        mode: str = "weights",
    ) -> None:
        self.library = library
        self.generator = generator
        self.random_start = random_start
        self._shares = clip_shares(library, mode)  # [C]
        self._cumulative = self._shares.cumsum(0)

    def sample(self, count: int, lead: float = 0.0) -> tuple[Tensor, Tensor]:
        """Clip indices [count] int64 and times [count] s.

        Always draws the same amount from the generator for the same count, whatever it returns.

        Args:
            lead: how much of a clip [s] must lie before a time, for who looks back from it. Clips
                that loop have it anyway; others no sooner, or, if they are shorter, at their end.
        """
        draws = torch.rand(2, count, generator=self.generator, device=self._cumulative.device)
        clips = torch.searchsorted(self._cumulative, draws[0], right=True)
        clips = clips.clamp_max(len(self._cumulative) - 1)  # sums of floats may end short of 1
        return clips, self._times(clips, draws[1], lead)

    def sample_of(
        self, groups: Tensor, group_of: Tensor, lead: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """As `sample`, each clip from a wanted group: by the shares that clips have within it.

        Args:
            groups: the wanted ones, [M] int64; each must have clips that are drawn at all.
            group_of: the group of each clip, [C] int64.
        """
        draws = torch.rand(2, len(groups), generator=self.generator, device=groups.device)
        # In float64, where a draw below 1 stays below the sum that it is multiplied with.
        shares = (group_of == groups.unsqueeze(-1)) * self._shares.double()  # [M, C]
        reached = shares.cumsum(-1)
        wanted = draws[0].double().unsqueeze(-1) * reached[:, -1:]
        clips = torch.searchsorted(reached, wanted, right=True).squeeze(-1)
        return clips, self._times(clips, draws[1], lead)

    def _times(self, clips: Tensor, draws: Tensor, lead: float) -> Tensor:
        """Times in clips [M] by draws [M] in [0, 1); see `sample`."""
        durations = self.library.durations[clips]
        first = durations.clamp_max(lead).masked_fill(self.library.loops[clips], 0.0)
        times = first + draws * (durations - first)
        return times if self.random_start else torch.zeros_like(times)

    def record(self, clips: Tensor, times: Tensor, failed: Tensor) -> None:
        """Learn from one control step: where each env is, and whether its episode fails there.

        Args:
            clips: [N] int64. times: in the clip, [N] s. failed: [N] bool.
        """

    def exchange(self, pool: Pool) -> None:
        """Learn also what other ranks recorded since the last exchange; not within a step."""

    def state_dict(self) -> dict[str, Any]:
        """What was learned; nothing here."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""


class AdaptiveSampler(MotionSampler):
    """More often where episodes fail, by what the training itself sees.

    Every clip is cut into bins of equal length. Of bin b the sampler keeps the failures F_b and
    the seconds T_b that envs spent in it, both fading with the experience in that bin, and so its
    rate of failures, with some seconds of the average rate h besides, and the chance to fail in
    passing through its w_b seconds:

        h_b = (F_b + `PRIOR_S` h) / (T_b + `PRIOR_S`),    q_b = 1 - exp(-h_b w_b),

    of which no bin has less than `LEAST_CHANCE`.
    With the share m_b of mode `length` and e = even_share, it starts episodes in bin b with p_b:

        s_b = sum_u decay^u q_(b + u),    p_b = (1 - e) m_b s_b / sum(m s) + e m_b,

    u runs over `lookahead` bins: what fails in one bin is also practised from before it; past the
    end, loops begin again and other clips stay in their last bin. Without failures p is m.

    Source: bins of a second, the kernel and the mix with an even share are those of BeyondMimic
    (Liao et al. 2025, III-F; its code has lambda 0.8 and an even share of 0.1). It counts
    failures; a rate, which PHC (Luo et al. 2023, hard negative mining) takes per clip, does not
    grow only because a bin is drawn often, and q_b is bounded on both sides, so that what nobody
    can do does not take all the samples. Memory in seconds of a bin's own experience is ours.
    """

    adaptive = True

    def __init__(
        self,
        library: MotionLibrary,
        generator: torch.Generator,
        random_start: bool,
        sampling: Sampling,
        control_dt: float,
    ) -> None:
        super().__init__(library, generator, random_start, "length")
        device = library.durations.device
        self.sampling = sampling
        self._dt = control_dt
        durations = library.durations.cpu().double()
        counts = torch.ceil(durations / sampling.bin_s - 1e-6).long().clamp_min(1)  # [C]
        total = int(counts.sum())
        clip_of = torch.repeat_interleave(torch.arange(len(counts)), counts)  # [K]
        firsts = counts.cumsum(0) - counts
        place = torch.arange(total) - firsts[clip_of]  # of a bin in its clip
        ahead = place.unsqueeze(-1) + torch.arange(sampling.lookahead)  # [K, lookahead]
        length, loops = counts[clip_of].unsqueeze(-1), library.loops.cpu()[clip_of].unsqueeze(-1)
        ahead = torch.where(loops, ahead % length, torch.minimum(ahead, length - 1))
        width = (durations / counts)[clip_of]
        share = (clip_shares(library, "length").cpu().double() / counts)[clip_of]

        self._clip_of = clip_of.to(device)
        self._firsts, self._counts = firsts.to(device), counts.to(device)
        self._ahead = (ahead + firsts[clip_of].unsqueeze(-1)).flatten().to(device)
        self._kernel = (sampling.decay ** torch.arange(sampling.lookahead)).to(device)
        self._start, self._width = (place * width).float().to(device), width.float().to(device)
        self._share = share.float().to(device)
        # What was seen: buffers that never change place.
        self._failures = torch.zeros(total, device=device)  # [K]
        self._seconds = torch.zeros(total, device=device)  # [K]
        # For `exchange`: what all ranks knew at the last one [2, K], and what this one saw since.
        self._shared = torch.zeros(2, total, device=device)
        self._new = torch.zeros(2, total, device=device)

    def sample(self, count: int, lead: float = 0.0) -> tuple[Tensor, Tensor]:
        """As `MotionSampler.sample`, with as many draws; `lead` must be 0."""
        assert lead == 0.0, "episodes begin anywhere"
        cumulative = self.probabilities().cumsum(0)
        draws = torch.rand(2, count, generator=self.generator, device=cumulative.device)
        bins = torch.searchsorted(cumulative, draws[0] * cumulative[-1], right=True)
        bins = bins.clamp_max(len(cumulative) - 1)
        times = self._start.index_select(0, bins) + draws[1] * self._width.index_select(0, bins)
        clips = self._clip_of.index_select(0, bins)
        return clips, times if self.random_start else torch.zeros_like(times)

    def record(self, clips: Tensor, times: Tensor, failed: Tensor) -> None:
        """See `MotionSampler.record`."""
        duration = self.library.durations.index_select(0, clips)
        loops = self.library.loops.index_select(0, clips)
        share = times / duration
        share = torch.where(loops, share.remainder(1.0), share.clamp(0.0, 1.0))
        count = self._counts.index_select(0, clips)
        bins = torch.minimum((share * count).long(), count - 1)
        bins = bins + self._firsts.index_select(0, clips)
        # Sums of ones, so exact in any order.
        visits = torch.zeros_like(self._seconds).index_add_(0, bins, torch.ones_like(times))
        failures = torch.zeros_like(self._seconds).index_add_(0, bins, failed.to(times.dtype))
        seconds = visits * self._dt
        kept = torch.exp(-seconds / self.sampling.memory_s)
        self._failures.mul_(kept).add_(failures)
        self._seconds.mul_(kept).add_(seconds)
        self._new.add_(torch.stack([failures, seconds]))

    def exchange(self, pool: Pool) -> None:
        """See `MotionSampler.exchange`: the sums fade by what was seen on all ranks together."""
        new = pool.sum(self._new)
        self._shared.mul_(torch.exp(-new[1] / self.sampling.memory_s)).add_(new)
        self._new.zero_()
        self._failures.copy_(self._shared[0])
        self._seconds.copy_(self._shared[1])

    def failure_chances(self) -> Tensor:
        """How likely an episode fails in passing through each bin, [K] in [0, 1]."""
        # Of the average, a bin that fails in every step has one failure per passage, not thirty.
        counted = torch.minimum(self._failures, self._seconds / self._width)
        average = counted.sum() / self._seconds.sum().clamp_min(self._dt)
        rate = (self._failures + PRIOR_S * average) / (self._seconds + PRIOR_S)
        return -torch.expm1(-rate * self._width)

    def probabilities(self) -> Tensor:
        """How likely an episode starts in each bin, [K], summing to 1."""
        chances = self.failure_chances().clamp_min(LEAST_CHANCE).index_select(0, self._ahead)
        scores = (chances.unflatten(0, (-1, len(self._kernel))) * self._kernel).sum(-1)
        hard = self._share * scores
        even = self.sampling.even_share
        return (1.0 - even) * hard / hard.sum() + even * self._share

    def state_dict(self) -> dict[str, Any]:
        """What was seen."""
        return {"failures": self._failures.clone(), "seconds": self._seconds.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; from the beginning, where another mode wrote the state.

        Raises:
            CheckpointError: it has another number of bins.
        """
        if not state:
            return
        if len(state["failures"]) != len(self._failures):
            raise CheckpointError(
                f"the checkpoint's adaptive sampling has {len(state['failures'])} bins, this run "
                f"{len(self._failures)}: keep motion and task.sampling.bin_s, or start anew"
            )
        self._failures.copy_(state["failures"])
        self._seconds.copy_(state["seconds"])
        self._shared.copy_(torch.stack([self._failures, self._seconds]))
        self._new.zero_()


def clip_shares(library: MotionLibrary, mode: str) -> Tensor:
    """How often each clip is drawn in a mode, `adaptive` aside: [C], summing to 1."""
    if mode == "weights":
        return library.weights
    shares = library.weights * library.durations if mode == "length" else library.weights > 0
    return shares / shares.sum()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
