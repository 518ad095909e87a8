"""Discs and arrows are drawn where and as large as they are, by every viewer."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from mimickit.state import Marker
from mimickit.viewers import Frame, play
from mimickit.viewers.camera import FollowCamera
from mimickit.viewers.markers import DISC_HEIGHT, add_markers, flat_arrow, shapes
from mimickit.viewers.scene import Scene

RED = (1.0, 0.0, 0.0, 1.0)
NOWHERE = np.zeros((1, 3))


def marker(pos, arrow=None, **changes):
    arrow = None if arrow is None else torch.tensor([arrow])
    return Marker(torch.tensor([pos]), arrow, **{"radius": 0.5, "color": RED, **changes})


def test_a_marker_is_drawn_once_per_character_beside_it():
    both = Marker(torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    offsets = np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    tails = [shape.tail.tolist() for shape in shapes([both], offsets)]
    assert tails == [[1.0, -1.0, 0.0], [2.0, 1.0, 0.0]]


def test_a_disc_lies_flat_and_an_arrow_ends_at_its_head():
    disc, arrow = shapes(
        [marker((1.0, 2.0, 0.0)), marker((0.0, 0.0, 0.1), (3.0, 4.0, 0.0))], NOWHERE
    )
    np.testing.assert_allclose(disc.head - disc.tail, [0.0, 0.0, DISC_HEIGHT])
    assert (disc.arrow, arrow.arrow) == (False, True)
    np.testing.assert_allclose(arrow.head, [3.0, 4.0, 0.1], atol=1e-6)


def test_a_flat_arrow_points_at_its_head():
    (arrow,) = shapes([marker((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), radius=0.1)], NOWHERE)
    vertices, faces = flat_arrow(arrow)
    # A shaft of 0.2 m width up to 0.4 m before the head, where the point begins with 0.6 m.
    expected = [[0, 0.1], [0, -0.1], [1.6, -0.1], [1.6, 0.1], [1.6, 0.3], [1.6, -0.3], [2, 0]]
    np.testing.assert_allclose(vertices[:, :2], expected, atol=1e-6)
    assert faces.max() == 6
    (none,) = shapes([marker((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))], NOWHERE)
    assert np.isfinite(flat_arrow(none)[0]).all()


def test_a_full_drawing_takes_no_more(humanoid):
    drawing = mujoco.MjvScene(Scene(humanoid).model, maxgeom=1)
    add_markers(drawing, [marker((0.0, 0.0, 0.0))] * 3, NOWHERE)
    assert drawing.ngeom == 1
    assert drawing.geoms[0].type == mujoco.mjtGeom.mjGEOM_CYLINDER
    np.testing.assert_allclose(drawing.geoms[0].size[:2], 0.5)


@pytest.mark.parametrize("arrow", [None, (1.0, 0.0, 0.0)])
def test_a_film_shows_markers(humanoid, standing, opengl, arrow):
    from mimickit.viewers.video import OffscreenRenderer

    scene = Scene(humanoid)
    scene.model.vis.quality.shadowsize = 256
    renderer = OffscreenRenderer(scene, (64, 48))
    camera = FollowCamera(humanoid.default_height)
    camera.follow(scene.place(standing))
    without = renderer.draw(camera).astype(int)
    shown = renderer.draw(camera, markers=[marker((0.0, 0.0, 0.1), arrow)]).astype(int)
    again = renderer.draw(camera).astype(int)
    renderer.close()
    redder = (shown - without)[..., 0] - (shown - without)[..., 2] > 60
    rows, _ = np.nonzero(redder)
    assert redder.sum() > 20
    assert rows.mean() > 24  # on the ground, in the lower half
    assert (again == without).all()


def test_a_page_holds_markers(humanoid, standing, tmp_path):
    pytest.importorskip("viser")
    from mimickit.viewers.web import WebViewer

    frames = [
        Frame(standing, markers=[marker((x, 0.0, 0.0)), marker((x, 0.0, 0.0), (x, 1.0, 0.0))])
        for x in (1.0, 2.0, 3.0)
    ]
    sizes = []
    for name, recording in (("with", frames), ("without", [Frame(standing)] * 3)):
        path = tmp_path / f"{name}.html"
        play(recording, WebViewer(humanoid, path, fps=10.0))
        sizes.append(path.stat().st_size)
    assert sizes[0] > sizes[1]
