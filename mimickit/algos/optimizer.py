"""One optimiser with what belongs to it: parameters, gradient clipping, learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from mimickit.errors import CheckpointError, ConfigError

SCHEDULES = ("constant", "linear")


class Optimizer:
    """Steps on losses.

    Args:
        parameters: what to optimise; those that need no gradient are left out.
        factory: a torch optimiser class with its options bound, called with the parameters.
        max_grad_norm: clip the gradient's norm; None leaves it.
        schedule: "constant", or "linear": the rate falls to zero over the run.

    Raises:
        ConfigError: torch or the schedule refuses a setting.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        factory: Callable[..., torch.optim.Optimizer],
        max_grad_norm: Optional[float] = None,
        schedule: str = "constant",
    ) -> None:
        if schedule not in SCHEDULES:
            raise ConfigError(f"algo.schedule={schedule}: choose one of {', '.join(SCHEDULES)}")
        self.parameters = [p for p in parameters if p.requires_grad]
        try:
            self.optimizer = factory(self.parameters)
        except (TypeError, ValueError) as error:  # torch refuses a setting
            raise ConfigError(f"algo.actor_optimizer, algo.critic_optimizer: {error}") from error
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self._base_lr = [group["lr"] for group in self.optimizer.param_groups]

    @property
    def lr(self) -> float:
        """The learning rate in use."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set_progress(self, progress: float) -> None:
        """Set the learning rate for a run that is `progress` in [0, 1] done."""
        scale = 1.0 - progress if self.schedule == "linear" else 1.0
        for group, base in zip(self.optimizer.param_groups, self._base_lr):
            group["lr"] = base * scale

    def step(self, loss: Tensor) -> None:
        """One descent step on a scalar loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's moments; its settings stay the config's."""
        return {"kind": self._kind, "moments": self.optimizer.state_dict()["state"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`, with this optimiser's own settings.

        Raises:
            CheckpointError: the moments are of another kind of optimiser.
        """
        if state["kind"] != self._kind:
            raise CheckpointError(
                f"the checkpoint's optimiser is {state['kind']}, this run's is {self._kind} "
                "(algo.actor_optimizer, algo.critic_optimizer)"
            )
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["moments"], "param_groups": groups})

    @property
    def _kind(self) -> str:
        return type(self.optimizer).__name__
