"""One optimiser with what belongs to it: parameters, gradient clipping, learning-rate schedule."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterable
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from mimickit.errors import CheckpointError, ConfigError
from mimickit.pooling import ALONE, Pool

SCHEDULES = ("constant", "linear")
CAPTURABLE = ("fused", "capturable")  # options that keep a torch optimiser's step on the device

_log = logging.getLogger(__name__)


class Optimizer:
    """Steps on losses; on a CUDA device, steps may be captured and replayed as a graph.

    Over several ranks it steps on the mean of their losses: all gradients side by side in one
    all-reduce, and what is clipped is the mean's norm.

    A graph keeps the addresses of what it works on, so the learning rate is then a tensor on the
    device, and going on from a checkpoint fills the moments that are there.

    Args:
        parameters: what to optimise; those that need no gradient are left out.
        factory: a torch optimiser class with its options bound, called with the parameters.
        max_grad_norm: clip the gradient's norm; None leaves it.
        schedule: "constant", or "linear": the rate falls to zero over the run.
        key: where in the config the factory stands, for messages.
        pool: the ranks that learn together.

    Attributes:
        capturable: whether `step` may be captured: never on a CPU, and only if the torch optimiser
            can keep its step on the device.

    Raises:
        ConfigError: torch or the schedule refuses a setting.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        factory: Callable[..., torch.optim.Optimizer],
        max_grad_norm: Optional[float] = None,
        schedule: str = "constant",
        key: str = "algo.actor_optimizer, algo.critic_optimizer",
        pool: Pool = ALONE,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ConfigError(f"algo.schedule={schedule}: choose one of {', '.join(SCHEDULES)}")
        self.parameters = [p for p in parameters if p.requires_grad]
        on_cuda = any(p.device.type == "cuda" for p in self.parameters)
        options = _capturable_options(factory) if on_cuda else {}
        try:
            self.optimizer = factory(self.parameters, **options)
        except (TypeError, ValueError, RuntimeError) as error:  # torch refuses a setting
            raise ConfigError(f"{key}: {error}") from error
        self.capturable = bool(options) and all(options.values())
        self.max_grad_norm = max_grad_norm
        self._pool = pool
        pool.keep_equal(self.parameters)
        self._key = key
        self.schedule = schedule
        self._base_lr = [float(group["lr"]) for group in self.optimizer.param_groups]
        if self.capturable:
            for group, base in zip(self.optimizer.param_groups, self._base_lr):
                group["lr"] = torch.tensor(base, device=self.parameters[0].device)
            # torch warns of steps outside a graph, as the first ones are.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
        elif on_cuda:
            _log.warning(
                "%s as configured cannot step within a CUDA graph, so learning is slower (%s)",
                self._kind,
                key,
            )

    @property
    def lr(self) -> Tensor:
        """The learning rate in use, a scalar beside the parameters."""
        group = self.optimizer.param_groups[0]
        if isinstance(group["lr"], Tensor):
            return group["lr"]
        return torch.full((), group["lr"], device=group["params"][0].device)

    def set_progress(self, progress: float) -> None:
        """Set the learning rate for a run that is `progress` in [0, 1] done; outside any graph."""
        scale = 1.0 - progress if self.schedule == "linear" else 1.0
        for group, base in zip(self.optimizer.param_groups, self._base_lr):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(base * scale)
            else:
                group["lr"] = base * scale

    def step(self, loss: Tensor) -> None:
        """One descent step on a scalar loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._pool.ranks > 1:
            self._average_gradients()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.step()

    @torch.no_grad()
    def _average_gradients(self) -> None:
        """Replace the gradients by their means over the ranks, which lie in one flat buffer."""
        graded = [p for p in self.parameters if p.grad is not None]
        flat = torch.cat([p.grad.reshape(-1) for p in graded])  # type: ignore[union-attr]
        mean = self._pool.sum(flat).div_(self._pool.ranks)
        for parameter, part in zip(graded, mean.split([p.numel() for p in graded])):
            parameter.grad = part.view_as(parameter)

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
                f"({self._key})"
            )
        groups = self.optimizer.state_dict()["param_groups"]
        rates = [group["lr"] for group in self.optimizer.param_groups]
        moments = {p: dict(known) for p, known in self.optimizer.state.items()}
        self.optimizer.load_state_dict({"state": state["moments"], "param_groups": groups})
        # Torch has put new tensors in place of those that a graph may work on: fill the old ones.
        for group, rate in zip(self.optimizer.param_groups, rates):
            group["lr"] = rate
        for parameter, known in moments.items():
            loaded = self.optimizer.state[parameter]
            for name in known.keys() & loaded.keys():
                if isinstance(known[name], Tensor) and isinstance(loaded[name], Tensor):
                    loaded[name] = known[name].copy_(loaded[name])

    @property
    def _kind(self) -> str:
        return type(self.optimizer).__name__


def _capturable_options(factory: Callable[..., torch.optim.Optimizer]) -> dict[str, bool]:
    """Those of `CAPTURABLE` that the optimiser knows, switched on unless the config says no.

    With a rate on the device, SGD has to be fused; Adam's check wants to hear "capturable" too.
    """
    known, typed = inspect.signature(factory).parameters, getattr(factory, "keywords", {})
    return {name: typed.get(name, True) for name in CAPTURABLE if name in known}
