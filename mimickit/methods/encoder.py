"""Skills that can be told apart: an encoder recovers the latent from the motion it led to.

Legend: T steps, N envs, M samples, D features of a window, Z components of a latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.algos.minibatches import minibatches
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import LATENT, Latents, on_sphere
from mimickit.envs.signals import Window
from mimickit.errors import IncompatibleParts
from mimickit.methods.checks import check_at_least, check_precision, check_share
from mimickit.methods.gan import gradient_penalty
from mimickit.methods.learning_part import LearningPart
from mimickit.methods.part import Sources
from mimickit.models.mlp import mlp
from mimickit.models.normalizer import Normalizer
from mimickit.models.precision import matmul_precision, run_network

_KEY = "method.parts.<skill>"  # a part does not know by which name a method has it


class SkillEncoder(LearningPart):
    """Gives the policy latents and rewards motion that shows which latent it was driven by.

    With e the encoder's unit vector for a window of motion and z the latent that the last action of
    the window was conditioned on, the encoder maximises the mean of e . z: the log likelihood of
    a von Mises-Fisher distribution, but for constants. The reward is max(e . z, 0).

    Args:
        latent_size, latent_scale, period_s, by_clip, return_share: see
            `mimickit.envs.conditions.Latents`.
        frames, global_frame: of the window, see `mimickit.envs.signals.Window`; as the style's.
        hidden, activation: of the network. output_scale: bound of its initial last-layer weights.
        penalty: weight of the squared gradient of e . z by the (normalised) window; 0 for none.
        epochs: passes per iteration. minibatches: parts that each pass is cut into.
        share: of a rollout's samples that a pass looks at, in (0, 1].
        optimizer: torch optimiser with its options bound. max_grad_norm: None leaves gradients.
        normalizer_samples: when the input statistics freeze.
        precision: see `mimickit.models.precision`.

    Source: ASE (Peng et al. 2022), constants as in MimicKit f8d0d70 (mimickit/learning/
        ase_agent.py), which has no penalty.
    """

    needs = frozenset({"reference"})
    minibatches_of = "skill encoder"

    def __init__(
        self,
        *,
        latent_size: int,
        latent_scale: float,
        period_s: Sequence[float],
        by_clip: bool,
        return_share: float = 0.0,
        frames: int,
        global_frame: bool,
        hidden: Sequence[int],
        activation: str,
        output_scale: float,
        penalty: float,
        epochs: int,
        minibatches: int,
        share: float,
        optimizer: Callable[..., torch.optim.Optimizer],
        max_grad_norm: Optional[float],
        normalizer_samples: float,
        precision: str,
    ) -> None:
        check_at_least(f"{_KEY}.penalty", 0, penalty)
        check_at_least(f"{_KEY}.epochs", 0, epochs)
        check_at_least(f"{_KEY}.minibatches", 1, minibatches)
        check_share(f"{_KEY}.share", share)
        check_precision(f"{_KEY}.precision", precision)
        self.signals = {"window": partial(Window, frames=frames, global_frame=global_frame)}
        latents = partial(
            Latents, size=latent_size, scale=latent_scale, period_s=period_s, by_clip=by_clip,
            return_share=return_share,
        )  # fmt: skip
        self.conditions = {LATENT: latents}
        self._hidden, self._activation, self._output_scale = hidden, activation, output_scale
        self._penalty = penalty
        self._epochs, self._minibatches, self._share = epochs, minibatches, share
        self._make_optimizer = partial(
            Optimizer, factory=optimizer, max_grad_norm=max_grad_norm, key=f"{_KEY}.optimizer"
        )
        self._normalizer_samples = normalizer_samples
        self._precision = precision

    def connect(self, sources: Sources) -> None:
        check_seen(sources)
        device, width = sources.device, sources.signals["window"].size
        size = sources.conditions[LATENT].spec.size
        self.network = mlp(width, self._hidden, size, self._activation, self._output_scale)
        self.network.to(device)
        self.normalizer = Normalizer(width, self._normalizer_samples).to(device)
        self._pool = sources.pool
        self._pool.keep_equal(self.normalizer.buffers())
        self.optimizer = self._make_optimizer(self.network.parameters(), pool=self._pool)
        self.generator = sources.generator
        self._sizes = {"signal size": width, "latent size": size, "hidden": list(self._hidden)}

    @property
    def facts(self) -> dict[str, Any]:
        return dict(self._sizes)

    @torch.no_grad()
    def reward(self, rollout: Rollout) -> Tensor:
        # Step by step: activations of a whole rollout would not fit beside it.
        latents = rollout.obs[LATENT][: rollout.steps]
        with matmul_precision(self._precision, rollout.reward.device):
            agreement = [
                (self.encode(windows) * acted_on).sum(-1)
                for windows, acted_on in zip(rollout.signals["window"], latents)
            ]
        return torch.stack(agreement).clamp_min(0.0)

    def update(self, rollout: Rollout) -> dict[str, Tensor]:
        windows = rollout.signals["window"].flatten(0, 1)
        latents = rollout.obs[LATENT][: rollout.steps].flatten(0, 1)
        share = max(1, round(self._share * len(windows)))
        logs: dict[str, list[Tensor]] = {}
        with matmul_precision(self._precision, windows.device):
            for rows in minibatches(
                len(windows), self._epochs, self._minibatches, self.generator, share
            ):
                inputs = windows.index_select(0, rows)
                self.normalizer.update(inputs, self._pool)
                for name, value in self._step(inputs, latents.index_select(0, rows)).items():
                    logs.setdefault(name, []).append(value)
        return {name: torch.stack(values).mean() for name, values in logs.items()}

    def encode(self, windows: Tensor) -> Tensor:
        """The latents [M, Z], unit vectors, that windows [M, D] of motion speak for."""
        return self._encode(self.normalizer(windows))

    def _encode(self, inputs: Tensor) -> Tensor:
        return on_sphere(run_network(self.network, inputs, self._precision))

    def _step(self, windows: Tensor, latents: Tensor) -> dict[str, Tensor]:
        """One step on windows [M, D] and the latents [M, Z] of their last actions; logs."""
        inputs = self.normalizer(windows).requires_grad_(self._penalty > 0)
        encoded = self._encode(inputs)
        agreement = (encoded * latents).sum(-1)
        loss, logs = -agreement.mean(), {}
        if self._penalty > 0:
            slope = gradient_penalty(agreement, inputs)
            loss, logs = loss + self._penalty * slope, {"gradient_penalty": slope.detach()}
        self.optimizer.step(loss)
        with torch.no_grad():
            # Rows come in random order, so the next one's latent is any other latent.
            shuffled = (encoded * latents.roll(1, 0)).sum(-1)
            return {
                "dot_product": agreement.mean(),
                "shuffled_dot_product": shuffled.mean(),
                **logs,
            }


def check_seen(sources: Sources) -> None:
    """Refuse a policy that acts without the latents.

    Raises:
        IncompatibleParts: there are none, or the actor does not see them.
    """
    if LATENT not in sources.conditions:
        raise IncompatibleParts(
            f"no part of the method gives the policy latents; those that are: a skill encoder "
            f"(+method/part@method.parts.skill=skill_encoder); conditions that there are: "
            f"{', '.join(sources.conditions) or 'none'}"
        )
    if LATENT not in sources.policy.actor_groups:
        raise IncompatibleParts(
            f"the actor sees {', '.join(sources.policy.actor_groups)} and no skill's latent: add "
            f"'{LATENT}' to model.actor_groups, or leave that at null"
        )
