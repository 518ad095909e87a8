"""What MuJoCo itself costs: the yardstick that the CPU engine is measured against."""

from __future__ import annotations

import time
from typing import Any

import mujoco
import numpy as np


def c_seconds_per_step(
    model: mujoco.MjModel, worlds: dict[str, Any], rows: np.ndarray, substeps: int, steps: int
) -> float:
    """CPU seconds per control step of a bare loop of mj_step on one MjData.

    Args:
        model: as the engine compiled it.
        worlds: the engine's states, as in its `state_dict()["worlds"]`.
        rows: which of them to step.
        substeps: simulation steps per control step.
        steps: control steps under the worlds' present command, all in one call.
    """
    data = mujoco.MjData(model)
    fields = {name: value.numpy() for name, value in worlds.items()}
    seconds = 0.0
    for row in rows:
        data.time = fields["time"][row].item()
        data.qpos[:] = fields["qpos"][row]
        data.qvel[:] = fields["qvel"][row]
        data.qacc_warmstart[:] = fields["qacc_warmstart"][row]
        data.ctrl[:] = fields["ctrl"][row]
        start = time.process_time()
        mujoco.mj_step(model, data, substeps * steps)
        seconds += time.process_time() - start
    return seconds / len(rows) / steps
