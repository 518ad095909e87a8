"""The GPU's yardstick, with Warp's CPU device in the place of a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mimickit import launch
from mimickit.training import speed

pytestmark = pytest.mark.engine("mujoco_warp")


def test_every_stage_on_a_device_is_timed(monkeypatch):
    """Learning included, with gradients (on a CPU, threads of its own would hide their lack)."""
    pytest.importorskip("mujoco_warp")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    monkeypatch.setattr(speed, "ROUNDS", 1)
    words = ["engine=mujoco_warp", "device=cpu", "logger=[]", "num_envs=4", "algo.steps=2"]
    config = launch.compose([*words, "evaluation.num_envs=2", "max_samples=1e6"])
    run = launch.make(launch.check_config(config), folder=Path("unused"))
    trainer = run.trainer(Path("unused"))
    iterate, modes = trainer.iterate, []
    monkeypatch.setattr(
        trainer, "iterate", lambda watch: (modes.append(torch.is_grad_enabled()), iterate(watch))
    )
    stages = speed.cuda_stages(trainer)
    assert list(stages) == ["physics", "engine", "env", "env + policy", "training"]
    assert all(seconds > 0.0 for seconds, _ in stages.values())
    assert stages["physics"][1] == 1.0 > stages["training"][1] > 0.0
    assert modes and all(modes)
