"""The world without physics of `tests.algos.toy`, with what an evaluator needs besides."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from tests.algos.toy import PointEnv


class EvaluatedPoints(PointEnv):
    """Points whose task has one clip and no reference."""

    state = None  # there is no character

    def __init__(self, num_envs, seed=0):
        super().__init__(num_envs, seed)
        self.task = SimpleNamespace(
            generator=self.generator,
            provides=frozenset(),
            reference=None,
            clips=torch.zeros(num_envs, dtype=torch.long),
            clip_names=("origin",),
            figures=lambda state: {},
        )

    def reset_all(self):
        self.reset(torch.ones(self.num_envs, dtype=torch.bool))
