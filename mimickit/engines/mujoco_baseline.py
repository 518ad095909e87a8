"""What MuJoCo itself costs: the yardstick that the CPU engine is measured against."""

from __future__ import annotations

import time
from typing import Any

import mujoco
import numpy as np


def c_seconds_per_step(
    model: mujoco.MjModel, worlds: dict[str, Any], rows: np.ndarray, substeps: int
) -> float:
    """CPU seconds per control step of a bare loop of mj_step on one MjData.

    Every row's state is loaded and stepped once; a second pass loads and steps nothing, and its
    time is taken off, so that only the simulation counts.

    Args:
        model: as the engine compiled it.
        worlds: the engine's states, as in its `state_dict()["worlds"]`.
        rows: which of them to step.
        substeps: simulation steps per control step.
    """
    data = mujoco.MjData(model)
    fields = {name: value.numpy() for name, value in worlds.items()}

    def run(nstep: int) -> float:
        start = time.process_time()
        for row in rows:
            data.time = fields["time"][row].item()
            data.qpos[:] = fields["qpos"][row]
            data.qvel[:] = fields["qvel"][row]
            data.qacc_warmstart[:] = fields["qacc_warmstart"][row]
            data.ctrl[:] = fields["ctrl"][row]
            mujoco.mj_step(model, data, nstep)
        return time.process_time() - start

    stepped = run(substeps)
    return (stepped - run(0)) / len(rows)
