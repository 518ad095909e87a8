"""Goals and clips among objects that are simulated: what is thrown hits, what is in the way is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.engines.engine import default_state
from mimickit.envs.actions import AbsoluteActions
from mimickit.envs.env import Env
from mimickit.motions import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.objects import SceneObjects
from mimickit.state import Done
from tests.envs.parts import make_task
from tests.tasks.scenes import KINDS, specs

pytestmark = pytest.mark.engine("mujoco")
mujoco = pytest.importorskip("mujoco", minversion="4.0")


class DefaultPose(AbsoluteActions):
    """Holds the default pose, whatever the actions."""

    def __init__(self, character, mode):
        super().__init__(character, mode)
        self._pose = torch.tensor(character.default_dofs, dtype=torch.float32)

    def decode(self, action, state, next_reference):
        return self._pose.expand_as(action)


def world(character, objects, num=2, goal=None, actions=DefaultPose, **changes):
    """An environment among objects, and its objects."""
    from mimickit.engines.mujoco import MujocoEngine

    engine = MujocoEngine(character, num, threads=1, objects=objects)
    scene = SceneObjects(objects, engine.objects)
    task = make_task(
        character, "walk", num, goal=goal, objects=scene, pose_termination=False, **changes
    )
    return Env(engine, task, actions(character, "pos"))


def act(env):
    return env.step(torch.zeros(env.num_envs, env.action_size))


def test_balls_aimed_at_one_who_stands_hit_him(humanoid):
    """One throw each, of 8 to 10 m at 12 m/s or more: it is there within a second."""
    goal = partial(KINDS["dodgeball"], aim_body="torso", aim_noise=0.0, period_s=[9.0, 9.0])
    env = world(humanoid, specs("dodgeball"), 16, goal, contact_termination=False)
    everyone, standing = (
        torch.ones(16, dtype=torch.bool),
        default_state(humanoid, Kinematics(humanoid), 16),
    )
    env.engine.write(everyone, standing)
    env.task.goal.reset(everyone, standing)
    env.task.goal.buffers["time_left"].fill_(0.1)
    failed = torch.zeros(16, dtype=torch.bool)
    for _ in range(3 + 30):
        failed |= act(env).done == int(Done.FAIL)
    assert failed.float().mean() > 0.8


def test_a_reset_is_seen_with_the_target_where_it_was_put(humanoid):
    env = world(humanoid, specs("strike"), 3, KINDS["strike"])
    env.reset_all()
    target, root = env.objects.state.pos[:, 0], env.state.root_pos
    distance = (target - root)[:, :2].norm(dim=-1)
    assert (distance >= 0.5).all()
    assert (distance <= 10.0).all()
    torch.testing.assert_close(env.observe()["policy"][:, -15:-13].norm(dim=-1), distance)
    before = env.objects.state.clone()
    obs = env.observe()["policy"]
    env.reset(torch.tensor([False, True, False]))
    same = (env.objects.state.pos == before.pos).all(-1).all(-1)
    assert same.tolist() == [True, False, True]
    assert torch.equal(env.observe()["policy"][[0, 2], -15:], obs[[0, 2], -15:])


def test_who_walks_into_the_target_fails(humanoid):
    goal = partial(KINDS["strike"], distance=[0.5, 0.5], near_distance=0.5)
    env = world(humanoid, specs("strike"), 8, goal, contact_termination=False)
    failed, pushed = (torch.zeros(8, dtype=torch.bool) for _ in range(2))
    for _ in range(45):
        failed |= act(env).done == int(Done.FAIL)
        pushed |= (env.objects.state.contact_force != 0).flatten(1).any(-1)
    assert failed.any()
    assert (pushed | ~failed).all()
    assert (env.task.rewards(env.state)["goal_tilt"][failed] > 0).any()


def test_the_jump_clears_every_hurdle_of_the_task(humanoid):
    """No geom of the reference touches one, all the way; hurdles twice as high are in its way."""
    from mimickit.engines.mujoco import MujocoEngine

    library = MotionLibrary(humanoid, resolve_motions("jump", humanoid))
    times = torch.arange(0.0, 7 * float(library.durations[0]), 1 / 60)
    states = library.lookup(torch.zeros(len(times), dtype=torch.long), times)
    assert float(states.root_pos[-1, 0]) > 7.0  # beyond the last one

    def touched(objects):
        engine = MujocoEngine(humanoid, len(times), objects=objects, threads=1)
        engine.write(torch.ones(len(times), dtype=torch.bool), states)
        data, fixed = mujoco.MjData(engine.model), engine.model.geom_bodyid == 0
        fixed[mujoco.mj_name2id(engine.model, mujoco.mjtObj.mjOBJ_GEOM, "floor")] = False
        found = set()
        for qpos in engine.state_dict()["worlds"]["qpos"]:
            data.qpos[:] = qpos.numpy()
            mujoco.mj_forward(engine.model, data)
            geoms = np.array([contact.geom for contact in data.contact]).reshape(-1)
            found |= {engine.model.geom(int(g)).name for g in geoms if fixed[g]}
        return found

    hurdles = specs("obstacles")
    assert touched(hurdles) == set()
    higher = [replace(one, size=(*one.size[:2], 0.3), pos=(*one.pos[:2], 0.3)) for one in hurdles]
    assert len(touched(higher)) == len(hurdles)
