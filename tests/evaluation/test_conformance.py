"""How far engines part under equal commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mimickit import launch
from mimickit.evaluation.conformance import open_loop_distances

pytest.importorskip("mujoco")
WORLDS = 4


def build(*words: str):
    config = launch.compose(["logger=[]", f"num_envs={WORLDS}", "motion=walk", *words])
    return launch.make(launch.check_config(config), folder=Path("unused")).env


def distances(*others, steps: int = 2):
    first = build("engine=mujoco")
    return open_loop_distances(first, others, steps, torch.Generator().manual_seed(0))


def test_an_engine_is_no_way_from_itself_and_a_nudge_is_seen():
    same, nudged = distances((build("engine=mujoco"), 0.0), (build("engine=mujoco"), 1e-3))
    assert same.tolist() == [0.0] * WORLDS
    assert (nudged > 0.5e-3).all() and (nudged < 0.1).all()


def test_warp_goes_where_mujoco_goes():
    pytest.importorskip("mujoco_warp")
    (apart,) = distances((build("engine=mujoco_warp", "engine.device=cpu"), 0.0))
    assert 0 < apart.max() < 2e-4
