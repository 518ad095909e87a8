"""Collision shapes and masses are what MuJoCo makes of the same file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit.characters.shapes import read_masses, read_shapes
from mimickit.errors import CharacterError
from mimickit.geometry.quaternion import quat_normalize

MODEL = """
<mujoco>
  <default>
    <geom density="500"/>
    <default class="rod"><geom type="capsule" size="0.1"/></default>
    <default class="picture"><geom contype="0" conaffinity="0" density="0"/></default>
  </default>
  <worldbody>
    <body name="root">
      <freejoint/>
      {geom}
      <geom class="picture" type="sphere" size="2"/>
    </body>
  </worldbody>
</mujoco>
"""
GEOMS = {
    "sphere": '<geom size="0.3" pos="0.1 0.2 0.3"/>',
    "capsule": '<geom type="capsule" size="0.1 0.4" pos="0 0.1 0" quat="0.5 0.1 -0.7 0.2"/>',
    "fromto": '<geom class="rod" fromto="0.1 0 0.2 -0.3 0.4 0.1"/>',
    "downward": '<geom class="rod" fromto="0 0 0.4 0 0 -0.1" mass="2"/>',
    "cylinder": '<geom type="cylinder" size="0.2 0.3" quat="0.5 0.1 -0.7 0.2"/>',
    "box": '<geom type="box" size="0.1 0.2 0.3" pos="0 0 0.5" quat="1 2 3 4"/>',
    "ellipsoid": '<geom type="ellipsoid" size="0.1 0.2 0.3" pos="1 0 0" quat="1 -2 0 4"/>',
}


@pytest.fixture
def one_body(humanoid, tmp_path):
    """A character of one body with the given geoms."""

    def make(geom):
        path = tmp_path / "model.xml"
        path.write_text(MODEL.format(geom=geom))
        return replace(humanoid, model=path, body_names=("root",), parents=(-1,), joints=())

    return make


def surface(kind, size, half):
    """Points [P, 3] all over a shape's surface in its own frame; what is convex needs no more."""
    generator = np.random.default_rng(0)
    ball = generator.normal(size=(200_000, 3))
    ball /= np.linalg.norm(ball, axis=-1, keepdims=True)
    if kind == "box":
        return size * np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    if kind == "ellipsoid":
        return size * ball
    ends = half * np.array([[0.0, 0, 1], [0, 0, -1]])
    if kind == "cylinder":
        ring = ball[:, :2] / np.linalg.norm(ball[:, :2], axis=-1, keepdims=True)
        rim = np.pad(size[0] * ring, ((0, 0), (0, 1)))
        return (rim + ends[:, None]).reshape(-1, 3)
    return (size[0] * ball + ends[:, None]).reshape(-1, 3)


@pytest.mark.parametrize("name", GEOMS)
def test_lowest_point_is_that_of_a_dense_surface(one_body, name):
    mujoco = pytest.importorskip("mujoco")
    character = one_body(GEOMS[name])
    shapes = read_shapes(character)
    assert len(shapes.names) == 1  # the picture does not collide
    model = mujoco.MjModel.from_xml_path(str(character.model))
    kind = "capsule" if name in ("fromto", "downward") else name
    size = model.geom_size[0]
    points = surface(kind, size, 0.0 if kind == "sphere" else size[1])
    data = mujoco.MjData(model)
    for rot in quat_normalize(torch.randn(5, 4, dtype=torch.float64)):
        x, y, z, w = rot.tolist()
        data.qpos[:] = [1.0, 2.0, 3.0, w, x, y, z]
        mujoco.mj_forward(model, data)
        world = data.geom_xpos[0] + points @ data.geom_xmat[0].reshape(3, 3).T
        body_pos = torch.tensor([[1.0, 2.0, 3.0]])
        (found,) = shapes.lowest_points(body_pos, rot.unsqueeze(0))
        assert float(found[2]) == pytest.approx(world[:, 2].min(), abs=3e-4)
        assert float(shapes.body_heights(body_pos, rot.unsqueeze(0))) == float(found[2])
        assert np.linalg.norm(world - found.numpy(), axis=-1).min() < 0.02  # on the surface


@pytest.mark.parametrize("name", GEOMS)
def test_masses_are_those_of_mujoco(one_body, name):
    mujoco = pytest.importorskip("mujoco")
    character = one_body(GEOMS[name])
    masses, centers = read_masses(character)
    model = mujoco.MjModel.from_xml_path(str(character.model))
    assert masses == pytest.approx(model.body_mass[1:])
    np.testing.assert_allclose(centers, model.body_ipos[1:], atol=1e-9)


def test_humanoid_weighs_fifty_kilograms(humanoid):
    masses, _ = read_masses(humanoid)
    assert masses.sum() == pytest.approx(50.05, abs=0.01)
    assert len(read_shapes(humanoid).names) == 18


def test_an_inertial_wins_over_geoms(one_body):
    masses, centers = read_masses(
        one_body('<inertial pos="0 0 1" mass="3" diaginertia="1 1 1"/><geom size="1"/>')
    )
    assert masses.tolist() == [3.0]
    assert centers.tolist() == [[0.0, 0.0, 1.0]]


def test_a_body_without_shapes_is_infinitely_high(one_body):
    shapes = read_shapes(one_body(""))
    heights = shapes.body_heights(
        torch.zeros(4, 1, 3), torch.tensor([0.0, 0, 0, 1]).expand(4, 1, 4)
    )
    assert heights.shape == (4, 1)
    assert torch.isinf(heights).all()


@pytest.mark.parametrize(
    ("geom", "message"),
    [
        ('<geom name="leg" mesh="leg"/>', "geom 'leg' is a mesh, which cannot be measured"),
        ('<geom type="box" fromto="0 0 0 1 0 0" size="1"/>', "is a box with fromto"),
        ('<geom size="1" euler="0 1 0"/>', "uses euler; state its rotation as quat"),
        ('<geom type="box" size="1 2"/>', r'has size="1 2", which must be 3 numbers'),
    ],
)
def test_a_geom_that_cannot_be_measured_is_named(one_body, geom, message):
    with pytest.raises(CharacterError, match=message):
        read_shapes(one_body(geom))
