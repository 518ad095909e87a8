"""Objects of a config: what is read, and what is refused with a word on what to change."""

from __future__ import annotations

import pytest
import torch

from mimickit.errors import ConfigError, UnknownName
from mimickit.objects import SceneObjects, read_objects, solids
from mimickit.state import ObjectState

BALL = {"name": "ball", "shape": "sphere", "size": 0.1, "mass": 2, "pos": [1, 0, 3]}
WALL = {"name": "wall", "shape": "box", "size": [0.2, 2, 1], "pos": [8, 0, 1], "mass": None}


def test_what_is_left_out_has_a_default():
    ball, wall = read_objects([BALL, WALL])
    assert (ball.size, ball.mass, ball.pos) == ((0.1,), 2.0, (1.0, 0.0, 3.0))
    assert (ball.rot, ball.friction, ball.free) == ((0.0, 0.0, 0.0, 1.0), 1.0, True)
    assert (wall.mass, wall.free) == (None, False)
    assert read_objects([]) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "ball"}, r"there is no shape 'ball' \(asked for by task.objects\[0\].shape\)"),
        ({"sise": 1}, r"task.objects\[0\] has no setting 'sise'. Closest: size"),
        ({"pos": None}, r"task.objects\[0\] needs pos"),
        ({"size": [1, 2]}, r"task.objects\[0\].size=\[1, 2\]: 1 finite numbers .*\(radius\)"),
        ({"size": -1}, r"size=\[-1.0\]: every number must be > 0"),
        ({"shape": "box", "size": [1, 1, "x"]}, "3 finite numbers"),
        ({"mass": 0}, r"mass=0: a number > 0 \[kg\], or null for an obstacle"),
        ({"friction": 0}, r"friction=0: a number > 0"),
        ({"rot": [0, 0, 0, 2]}, r"rot=\[0.0, 0.0, 0.0, 2.0\]: a quaternion of length 1"),
        ({"name": ""}, r"name=: text is needed"),
    ],
)
def test_what_cannot_work_is_refused(change, message):
    with pytest.raises((ConfigError, UnknownName), match=message):
        read_objects([{**BALL, **change}])


def test_two_of_a_name_are_refused():
    with pytest.raises(ConfigError, match=r"task\.objects has several called ball"):
        read_objects([BALL, WALL, BALL])


def test_what_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match=r"task.objects\[0\]=ball: a mapping with name, shape"):
        read_objects(["ball"])


@pytest.fixture
def scene():
    specs = read_objects([WALL, BALL, {**BALL, "name": "other"}])
    state = ObjectState.zeros(3, 2, 15)
    state.pos[:, 1] = torch.tensor([1.0, 2.0, 3.0])
    return SceneObjects(specs, state)


def test_free_objects_are_found_by_name(scene):
    assert (scene.index("ball", "key"), scene.index("other", "key")) == (0, 1)
    with pytest.raises(UnknownName, match=r"no free object 'wall' \(asked for by task.goal.target"):
        scene.index("wall", "task.goal.target")


def test_all_objects_are_drawn_where_they_are(scene):
    wall, ball, other = solids(scene)
    assert torch.equal(wall.pos, torch.tensor([[8.0, 0.0, 1.0]] * 3))
    assert torch.equal(ball.pos, torch.zeros(3, 3))
    scene.state.pos[:] = 9.0
    assert torch.equal(other.pos, torch.tensor([[1.0, 2.0, 3.0]] * 3))  # a copy
