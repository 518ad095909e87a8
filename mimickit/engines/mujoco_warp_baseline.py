"""What MuJoCo Warp itself costs: the yardstick that the engine built on it is measured against."""

from __future__ import annotations

import time

import warp as wp

from mimickit.engines.mujoco_warp import MujocoWarpEngine
from mimickit.engines.mujoco_warp_graphs import WarpGraph


def warp_seconds_per_step(engine: MujocoWarpEngine, steps: int) -> float:
    """Seconds per control step of all worlds, by a graph of MuJoCo Warp's own steps.

    The graph holds one `mujoco_warp.step` per substep and nothing else. The model has no sensors;
    in mode pos it has no actuators either, and `step` calls back for the P part of the drives, one
    launch, for MuJoCo Warp has no geodesic drive of its own. Not in it are the checks of commands
    and for divergence, the summing up of ground forces, and the conversion to a character's state.

    Takes the engine's worlds from their present state on, under their present command, and puts
    them back.

    Args:
        engine: whose worlds to step; its first step, if none was taken yet, is not measured.
        steps: control steps to measure, one after the other without a pause.
    """
    device = wp.device_from_torch(engine.device)
    before = engine.state_dict()
    graph = WarpGraph(engine.worlds.advance, device)
    wp.synchronize_device(device)
    engine.worlds.take_commands()
    wp.synchronize_device(device)
    graph()  # captures
    engine.load_state_dict(before)
    wp.synchronize_device(device)
    start = time.perf_counter()
    for _ in range(steps):
        graph()
    wp.synchronize_device(device)
    seconds = time.perf_counter() - start
    engine.load_state_dict(before)
    return seconds / steps
