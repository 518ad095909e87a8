"""Objects are drawn where they are, in the shapes that were declared."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from mimickit.geometry.quaternion import quat_from_axis_angle
from mimickit.objects import Solid, read_objects
from mimickit.viewers.markers import FIXED_COLOR, FREE_COLOR, add_markers, blocks
from mimickit.viewers.scene import Scene
from mimickit.viewers.web import primitive_mesh

NODES = [
    {"name": "ball", "shape": "sphere", "size": 0.1, "mass": 2, "pos": [1, 0, 3]},
    {"name": "post", "shape": "capsule", "size": [0.1, 0.5], "mass": 2, "pos": [1, 0, 3]},
    {"name": "wall", "shape": "box", "size": [0.2, 0.3, 0.4], "pos": [8, 0, 1]},
]


@pytest.fixture
def found():
    """Two worlds of each object: at (1, 2, 3), turned by 90 degrees about x, and at the origin."""
    pos = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    turn = quat_from_axis_angle(torch.tensor([1.0, 0.0, 0.0]), torch.tensor(np.pi / 2)).float()
    rot = torch.stack([turn, torch.tensor([0.0, 0.0, 0.0, 1.0])])
    return [Solid(spec, pos, rot) for spec in read_objects(NODES)]


def test_each_is_a_block_of_its_shape_in_each_world(found):
    offsets = np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    drawn = blocks(found, offsets)
    kinds = [kind.name for kind in (block.kind for block in drawn)]
    assert kinds == [f"mjGEOM_{name}" for name in ("SPHERE", "CAPSULE", "BOX") for _ in range(2)]
    np.testing.assert_allclose([block.pos for block in drawn[:2]], [[1, 1, 3], [0, 1, 0]])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(drawn[2].quat, [half, half, 0, 0], atol=1e-6)  # w first
    assert drawn[0].size.tolist() == [0.1, 0.0, 0.0]
    assert drawn[4].size.tolist() == [0.2, 0.3, 0.4]
    assert [tuple(block.color) for block in drawn[2:6:2]] == [FREE_COLOR, FIXED_COLOR]


def test_they_are_added_to_a_drawing(found, humanoid):
    scene = Scene(humanoid, 2)
    drawing = mujoco.MjvScene(scene.model, maxgeom=100)
    add_markers(drawing, found, scene.offsets)
    assert drawing.ngeom == 6
    wall = drawing.geoms[4]
    np.testing.assert_allclose(wall.size, [0.2, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(wall.pos, [1.0, 2.0 + scene.offsets[0, 1], 3.0], atol=1e-6)
    # Turned by 90 degrees about x: its z axis points along -y.
    np.testing.assert_allclose(wall.mat[:, 2], [0.0, -1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    ("number", "extent"), [(0, [0.2, 0.2, 0.2]), (1, [0.2, 0.2, 1.2]), (2, [0.4, 0.6, 0.8])]
)
def test_on_a_page_they_are_as_large_as_declared(found, number, extent):
    pytest.importorskip("trimesh")
    block = blocks(found, np.zeros((2, 3)))[2 * number]
    mesh = primitive_mesh(block.kind, block.size)
    assert mesh is not None
    vertices, _ = mesh
    np.testing.assert_allclose(np.ptp(vertices, axis=0), extent, atol=2e-3)
    np.testing.assert_allclose(vertices.min(0) + vertices.max(0), 0.0, atol=1e-6)
