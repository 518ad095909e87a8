"""Discriminators learn to tell a policy's motion from demonstrations; where they fail, they pay.

Legend: T steps, N envs, M samples, D features of the signal that is judged, L labels: what else
is known of a sample, besides the motion. Rows are samples with their labels behind them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, Optional, Union

import torch
from torch import Tensor, nn

from mimickit.algos.minibatches import minibatches
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import LATENT, shares_of_latents
from mimickit.envs.signals import Difference, Window
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.methods.checks import check_at_least, check_precision, check_share
from mimickit.methods.gan import classification_loss, gradient_penalty, style_reward
from mimickit.methods.learning_part import LearningPart
from mimickit.methods.part import Sources
from mimickit.methods.replay import Replay
from mimickit.methods.sliced import random_directions, sliced_distance
from mimickit.models.mlp import mlp
from mimickit.models.normalizer import Normalizer, ScaleNormalizer
from mimickit.models.precision import matmul_precision, run_network

_KEY = "method.parts.<discriminator>"  # a part does not know by which name a method has it


class Discriminator(LearningPart, ABC):
    """What both discriminators share: everything but what they look at and what is real.

    Fakes are the rollout's samples and, as many again, those of earlier iterations. Of several
    ranks each takes an equal share of all that is looked at and kept.

    Args:
        hidden, activation: of the network. logit_init: bound of its initial last-layer weights.
        reward_scale: of -log(1 - p).
        penalty: weight of the squared gradient by the (normalised) input, at fakes and real ones.
        logit_decay: weight of the last layer's squared weights.
        epochs: passes per iteration. minibatches: parts that each pass is cut into.
        share: of a rollout's samples that a pass looks at, in (0, 1].
        optimizer: torch optimiser with its options bound. max_grad_norm: None leaves gradients.
        replay_capacity: samples of earlier iterations that are kept.
        replay_push: how many of an iteration's are put among them.
        normalizer_samples: when the input statistics freeze.
        precision: see `mimickit.models.precision`.
    """

    minibatches_of = "discriminator"
    signal: str  # which signal is judged

    def __init__(
        self,
        *,
        hidden: Sequence[int],
        activation: str,
        logit_init: float,
        reward_scale: float,
        penalty: float,
        logit_decay: float,
        epochs: int,
        minibatches: int,
        share: float,
        optimizer: Callable[..., torch.optim.Optimizer],
        max_grad_norm: Optional[float],
        replay_capacity: int,
        replay_push: int,
        normalizer_samples: float,
        precision: str,
    ) -> None:
        for key, low, value in (
            ("penalty", 0, penalty),
            ("logit_decay", 0, logit_decay),
            ("epochs", 0, epochs),
            ("minibatches", 1, minibatches),
            ("replay_capacity", 1, replay_capacity),
            ("replay_push", 1, replay_push),
        ):
            check_at_least(f"{_KEY}.{key}", low, value)
        check_share(f"{_KEY}.share", share)
        check_precision(f"{_KEY}.precision", precision)
        self._hidden, self._activation, self._logit_init = hidden, activation, logit_init
        self._reward_scale, self._penalty, self._logit_decay = reward_scale, penalty, logit_decay
        self._epochs, self._minibatches, self._share = epochs, minibatches, share
        self._make_optimizer = partial(
            Optimizer, factory=optimizer, max_grad_norm=max_grad_norm, key=f"{_KEY}.optimizer"
        )
        self._capacity, self._push = replay_capacity, replay_push
        self._normalizer_samples = normalizer_samples
        self._precision = precision

    def connect(self, sources: Sources) -> None:
        device, width = sources.device, sources.signals[self.signal].size
        self._width, self._labels = width, self._connect_labels(sources)
        row = width + self._labels
        self.network = mlp(row, self._hidden, 1, self._activation, self._logit_init).to(device)
        self.normalizer = self._make_normalizer(width).to(device)
        self._pool = sources.pool
        self._pool.keep_equal(self.normalizer.buffers())
        self.optimizer = self._make_optimizer(self.network.parameters(), pool=self._pool)
        self.replay = Replay(-(-self._capacity // self._pool.ranks), row, device)
        self.generator = sources.generator

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "signal size": self._width,
            "hidden": list(self._hidden),
            "replay_capacity": self._capacity,
        }

    @torch.no_grad()
    def reward(self, rollout: Rollout) -> Tensor:
        # Minibatch by minibatch of steps: activations of a whole rollout would not fit beside it.
        with matmul_precision(self._precision, rollout.reward.device):
            logits = [
                self.logit(self._scaled(self._labelled(step, labels)))
                for step, labels in zip(rollout.signals[self.signal], self._labels_of(rollout))
            ]
        return self._reward_scale * style_reward(torch.stack(logits))

    def update(self, rollout: Rollout) -> dict[str, Tensor]:
        fakes = rollout.signals[self.signal].flatten(0, 1)
        labels, width = self._labels_of(rollout).flatten(0, 1), self._width
        logs: dict[str, list[Tensor]] = {}
        with matmul_precision(self._precision, fakes.device):
            for rows in self._batches(len(fakes)):
                fresh = self._labelled(fakes.index_select(0, rows), labels.index_select(0, rows))
                self.replay.push(fresh[: self._pushed_per_batch(len(rows))])
                real = self._real(fresh)
                self._learn_scale(fresh[:, :width], real[:, :width])
                fake = torch.cat([fresh, self.replay.sample(len(rows), self.generator)])
                for name, value in self._step(self._scaled(fake), self._scaled(real)).items():
                    logs.setdefault(name, []).append(value)
        return {name: torch.stack(values).mean() for name, values in logs.items()}

    def logit(self, inputs: Tensor) -> Tensor:
        """Logits [M] of rows [M, D + L] whose samples are normalised."""
        return run_network(self.network, inputs, self._precision).squeeze(-1)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "replay": self.replay.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.replay.load_state_dict(state["replay"])

    def _step(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """One step on rows with normalised samples; scalars to log."""
        fake, real = fake.requires_grad_(), real.requires_grad_()
        fake_logit, real_logit = self.logit(fake), self.logit(real)
        loss = classification_loss(fake_logit, real_logit)
        width = self._width  # a label may change as much as it likes
        slope = 0.5 * (
            gradient_penalty(fake_logit, fake, width) + gradient_penalty(real_logit, real, width)
        )
        last = self.network[-1]
        assert isinstance(last, nn.Linear)
        decay = last.weight.square().sum()
        self.optimizer.step(loss + self._penalty * slope + self._logit_decay * decay)
        with torch.no_grad():
            return {
                "loss": loss.detach(),
                "gradient_penalty": slope.detach(),
                "fake_accuracy": (fake_logit < 0).float().mean(),
                "real_accuracy": (real_logit > 0).float().mean(),
                "fake_logit": fake_logit.mean(),
                "real_logit": real_logit.mean(),
                **self._compared(fake[:, :width], real[:, :width]),
            }

    def _scaled(self, rows: Tensor) -> Tensor:
        """Rows [..., D + L] with normalised samples."""
        samples, labels = rows.split([self._width, self._labels], dim=-1)
        return self._labelled(self.normalizer(samples), labels)

    def _labelled(self, samples: Tensor, labels: Tensor) -> Tensor:
        """Rows [..., D + L] of samples [..., D] and labels [..., L]; no copy where L is 0."""
        return torch.cat([samples, labels], dim=-1) if self._labels else samples

    def _connect_labels(self, sources: Sources) -> int:
        """Take what labels are made from; L."""
        return 0

    def _labels_of(self, rollout: Rollout) -> Tensor:
        """The labels of a rollout's samples, [T, N, L]."""
        return rollout.signals[self.signal][..., :0]

    def _batches(self, samples: int) -> list[Tensor]:
        looked_at = max(1, round(self._share * samples))
        return minibatches(samples, self._epochs, self._minibatches, self.generator, looked_at)

    def _pushed_per_batch(self, rows: int) -> int:
        """How many samples of a minibatch go into the replay, so that an iteration's add up."""
        share = -(-self._push // max(1, self._epochs * self._minibatches * self._pool.ranks))
        return min(share, rows, self.replay.capacity)

    @abstractmethod
    def _make_normalizer(self, width: int) -> Union[Normalizer, ScaleNormalizer]:
        """What brings signals of a width to one scale."""

    @abstractmethod
    def _learn_scale(self, fresh: Tensor, real: Tensor) -> None:
        """Fold samples into the normaliser's statistics."""

    @abstractmethod
    def _real(self, fresh: Tensor) -> Tensor:
        """Real rows to set against the rollout's [M, D + L]: as many with the same labels, or 1."""

    @abstractmethod
    def _compared(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Figures that say without the network how far normalised fakes are from real ones."""


class StyleDiscriminator(Discriminator):
    """Judges short windows of motion against windows of the clips, wherever these are: AMP.

    Args:
        frames, global_frame: of the window, see `mimickit.envs.signals.Window`.
        by_clip: label each window with the clip it should be of: a demonstration with its own, the
            policy's with the one that the latent belongs to which it acted on. So it must do under
            each latent what the clip shows; see `mimickit.envs.conditions.latents_of_clips`.
            Demonstrations are then drawn of the clips that the policy was asked for.
        settings: see `Discriminator`.

    Source: AMP (Peng et al. 2021); labels: conditional adversarial skills (Dou et al. 2023, arXiv
    2309.11351).
    """

    needs = frozenset({"reference"})
    signal = "window"

    def __init__(
        self, *, frames: int, global_frame: bool, by_clip: bool = False, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._by_clip = by_clip
        self.signals = {"window": partial(Window, frames=frames, global_frame=global_frame)}

    def connect(self, sources: Sources) -> None:
        super().connect(sources)
        window = sources.signals["window"]
        assert isinstance(window, Window)
        self._window, self._sampler = window, sources.sampler(self.generator)
        self._directions = random_directions(window.size, sources.device)

    def _make_normalizer(self, width: int) -> Union[Normalizer, ScaleNormalizer]:
        return Normalizer(width, self._normalizer_samples)

    def _learn_scale(self, fresh: Tensor, real: Tensor) -> None:
        self.normalizer.update(torch.cat([fresh, real]), self._pool)

    def _real(self, fresh: Tensor) -> Tensor:
        # A window that began before its clip would show a character that stands still, then starts.
        lead, labels = self._window.span, fresh[:, self._width :]
        if self._labels:
            # Were a label rarer here than there, it would by itself speak for a fake.
            clips, times = self._sampler.sample_of(labels.argmax(-1), self._shares, lead)
        else:
            clips, times = self._sampler.sample(len(fresh), lead)
        return self._labelled(self._window.demonstrations(clips, times), labels)

    @property
    def facts(self) -> dict[str, Any]:
        return {**super().facts, "labels": self._labels}

    def _connect_labels(self, sources: Sources) -> int:
        if not self._by_clip:
            return 0
        if LATENT not in sources.conditions:
            raise IncompatibleParts(
                f"{_KEY}.by_clip=true labels windows by the latents that the policy acted on, and "
                "no part of the method gives it any: use method=ase, or by_clip=false"
            )
        library, size = sources.library, sources.conditions[LATENT].spec.size
        drawn = set(library.original_of[library.weights > 0].tolist())
        never = [name for i, name in enumerate(library.originals) if i not in drawn]
        if never:
            raise ConfigError(
                f"{_KEY}.by_clip=true gives every clip latents of its own, and {', '.join(never)} "
                "of weight 0 would never be shown: leave out of motion= what is not wanted"
            )
        self._clips = len(library.originals)
        self._shares = library.original_of % size
        return min(self._clips, size)

    def _labels_of(self, rollout: Rollout) -> Tensor:
        if not self._labels:
            return super()._labels_of(rollout)
        latents = rollout.obs[LATENT][: rollout.steps]
        return self._label(shares_of_latents(latents, self._clips))

    def _label(self, shares: Tensor) -> Tensor:
        """One of L for each of [...]: [..., L]."""
        return clip_label(shares, self._labels)

    def _compared(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The sliced Wasserstein distance, per feature's standard deviation."""
        fresh = fake[: len(real)]
        return {"distance": sliced_distance(fresh @ self._directions, real @ self._directions)}


def clip_label(shares: Tensor, labels: int) -> Tensor:
    """The labels [..., L] of samples that should be of one of L clips each, [...].

    One is sqrt(L), the others are 0, so that they have as much say as other inputs.
    """
    none = torch.zeros(*shares.shape, labels, device=shares.device)
    return none.scatter(-1, shares.unsqueeze(-1), labels**0.5)


class PairDiscriminator(Discriminator):
    """Judges how the character differs from its reference now; only no difference is real: ADD.

    Args:
        global_frame: see `mimickit.envs.signals.Difference`. settings: see `Discriminator`.

    Source: ADD (Zhang et al. 2025).
    """

    needs = frozenset({"reference", "visible_reference"})
    signal = "difference"

    def __init__(self, *, global_frame: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.signals = {"difference": partial(Difference, global_frame=global_frame)}

    def connect(self, sources: Sources) -> None:
        super().connect(sources)
        self._zero = torch.zeros(1, sources.signals["difference"].size, device=sources.device)

    def _make_normalizer(self, width: int) -> Union[Normalizer, ScaleNormalizer]:
        return ScaleNormalizer(width, self._normalizer_samples)

    def _learn_scale(self, fresh: Tensor, real: Tensor) -> None:
        self.normalizer.update(fresh, self._pool)

    def _real(self, fresh: Tensor) -> Tensor:
        return self._zero

    def _compared(self, fake: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The mean difference, in units of its own running mean: 1 is no better than ever."""
        return {"distance": fake.abs().mean()}
