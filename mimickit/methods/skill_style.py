"""The style of skills: a frozen low level's discriminator judges what a high level makes of it.

Legend: T steps, N envs, L labels, or one where there are none, H width of the first layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mimickit.algos.rollout import Rollout
from mimickit.characters import Character
from mimickit.envs.signals import Window
from mimickit.envs.task import Task
from mimickit.errors import IncompatibleParts
from mimickit.methods.discriminator import clip_label
from mimickit.methods.gan import style_reward
from mimickit.methods.part import Part, Sources
from mimickit.models.normalizer import Normalizer
from mimickit.models.precision import run_network
from mimickit.state import CharacterState

SKILL_STYLE = "skill_style"  # the signal that skills bring along


class StyleSignal:
    """The style reward of the state that each control step reached; see `Signal`.

    It is a signal because a high level's step is several control steps long, of which each is
    judged, and the windows of all of them would not fit into a rollout.

    Args:
        character, task, control_dt: see `Window`.
        frames, global_frame: of the window that the discriminator learned from.
        network: its logits [N, 1] of normalised windows. normalizer: of windows.
        labels: L clips that a window can be labelled as, of which the best counts; see
            `clip_label`.
        reward_scale: of -log(1 - p).
        precision: see `mimickit.models.precision`.
    """

    size = 1

    def __init__(
        self,
        character: Character,
        task: Task,
        control_dt: float,
        *,
        frames: int,
        global_frame: bool,
        network: nn.Sequential,
        normalizer: Normalizer,
        labels: int,
        reward_scale: float,
        precision: str,
    ) -> None:
        self._window = Window(character, task, control_dt, frames=frames, global_frame=global_frame)
        device = task.clips.device
        self._network = network.to(device)
        first = self._network[0]
        assert isinstance(first, nn.Linear)
        self._weight, of_labels = first.weight.split([self._window.size, labels], dim=1)
        # A label only adds to the first layer's output, which all labels share: [L, H].
        self._offsets = first.bias.unsqueeze(0)
        if labels:
            label = clip_label(torch.arange(labels, device=device), labels)
            self._offsets = self._offsets + label @ of_labels.T
        self._behind = nn.Sequential(*list(self._network)[1:])
        self._normalizer = normalizer.to(device)
        self._reward_scale, self._precision = reward_scale, precision

    def observe(self, state: CharacterState) -> Tensor:
        # Not within matmul_precision, which would cut a compiled step in pieces.
        windows = self._normalizer(self._window.observe(state))
        first = functional.linear(windows, self._weight).unsqueeze(1) + self._offsets  # [N, L, H]
        logits = run_network(self._behind, first, self._precision)  # [N, L, 1]
        return self._reward_scale * style_reward(logits.amax(1))

    def reset(self, mask: Tensor, state: CharacterState) -> None:
        self._window.reset(mask, state)

    def state_dict(self) -> dict[str, Any]:
        return self._window.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._window.load_state_dict(state)


class SkillStyle(Part):
    """Rewards the style that the low level's own discriminator sees; nothing here learns.

    Source: ASE (Peng et al. 2022), the style reward of high-level tasks.
    """

    skill_signals = frozenset({SKILL_STYLE})

    def connect(self, sources: Sources) -> None:
        if SKILL_STYLE not in sources.signals:
            raise IncompatibleParts(
                "there is no style discriminator among the parts of the skills' method to judge "
                "by: leave this part away (method.parts.style=null)"
            )

    def reward(self, rollout: Rollout) -> Tensor:
        return rollout.signals[SKILL_STYLE].squeeze(-1)
