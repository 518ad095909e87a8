"""Goals with the settings of their files in conf/task."""

from __future__ import annotations

from functools import partial

import torch
import yaml

from mimickit.geometry.quaternion import quat_from_heading
from mimickit.state import CharacterState
from mimickit.tasks.goals import Location, Reach, Steering
from tests.conftest import ROOT


def settings(task):
    """The goal's node of conf/task/<task>.yaml, without what Hydra reads."""
    node = yaml.safe_load((ROOT / "conf" / "task" / f"{task}.yaml").read_text())["goal"]
    return {key: value for key, value in node.items() if not key.startswith("_")}


def location(**changes):
    return partial(Location, **{**settings("location"), **changes})


def steering(**changes):
    return partial(Steering, **{**settings("steering"), **changes})


def reach(**changes):
    return partial(Reach, **{**settings("reach"), **changes})


GOALS = {
    "location": location(),
    "reach": reach(),
    "steering": steering(),
    "separate facing": steering(separate_facing=True),
}


def made(goal, num=1, control_dt=0.5, seed=0, character=None):
    """A goal for N envs, as a task makes it."""
    return goal(
        character=character,
        num_envs=num,
        control_dt=control_dt,
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
    )


def at(x, y, angle=0.0, num=1):
    """N characters without bodies at one place, with one heading [rad]."""
    state = CharacterState.zeros(num, 1, 0)
    state.root_pos[:, :2] = torch.tensor([x, y])
    state.root_rot[:] = quat_from_heading(torch.tensor(angle))
    return state


def everyone(num=1):
    return torch.ones(num, dtype=torch.bool)
