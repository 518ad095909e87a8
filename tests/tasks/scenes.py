"""Goals with the objects and settings of their files in conf/task."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
import yaml

from mimickit.geometry.quaternion import quat_multiply, quat_rotate
from mimickit.objects import SceneObjects, free_objects, read_objects
from mimickit.state import ObjectState
from mimickit.tasks.goals import Dodgeball, Strike
from tests.conftest import ROOT
from tests.envs.parts import DT
from tests.tasks.goals import settings

KINDS = {
    "strike": partial(Strike, **{**settings("strike"), "strike_bodies": ["right_hand"]}),
    "dodgeball": partial(Dodgeball, **settings("dodgeball")),
}


def specs(task):
    """The objects of conf/task/<task>.yaml."""
    path = ROOT / "conf" / "task" / f"{task}.yaml"
    return read_objects(yaml.safe_load(path.read_text())["objects"])


def scene(found, num, num_bodies=15):
    """Objects that nothing simulates, where they were declared."""
    free = free_objects(found)
    state = ObjectState.zeros(num, len(free), num_bodies)
    for index, one in enumerate(free):
        state.pos[:, index] = torch.tensor(one.pos)
        state.rot[:, index] = torch.tensor(one.rot)
    return SceneObjects(found, state)


def made(task, character, num=1, seed=0, objects=None, control_dt=DT, **changes):
    """A goal for N envs, as a task makes it, and the state of its objects."""
    found = scene(specs(task) if objects is None else objects, num, character.num_bodies)
    goal = KINDS[task](
        character=character,
        num_envs=num,
        control_dt=control_dt,
        generator=torch.Generator().manual_seed(seed),
        device=torch.device("cpu"),
        **changes,
    )
    goal.connect(found)
    return goal, found.state


def place(goal, objects, mask=None):
    """What the environment does with a goal's wish."""
    marked = goal.placement.mask if mask is None else goal.placement.mask & mask.unsqueeze(-1)
    for name in ("pos", "rot", "vel", "ang_vel"):
        old, new = getattr(objects, name), getattr(goal.placement.state, name)
        old.copy_(torch.where(marked.unsqueeze(-1), new, old))


def turned(objects, turn, shift):
    """All objects turned by [4] about the origin and shifted by [3]."""
    return replace(
        objects,
        pos=quat_rotate(turn, objects.pos) + shift,
        rot=quat_multiply(turn, objects.rot),
        vel=quat_rotate(turn, objects.vel),
        ang_vel=quat_rotate(turn, objects.ang_vel),
    )


def random_objects(num, num_objects, num_bodies=15, seed=0):
    """Objects anywhere near the origin, of any velocity, untouched."""
    generator = torch.Generator().manual_seed(seed)
    state = ObjectState.zeros(num, num_objects, num_bodies)
    for name in ("pos", "vel", "ang_vel"):
        tensor = getattr(state, name)
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    rot = torch.randn(state.rot.shape, generator=generator)
    state.rot.copy_(rot / rot.norm(dim=-1, keepdim=True))
    return state
