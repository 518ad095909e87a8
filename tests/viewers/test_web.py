"""Pages hold every pose, load nothing, and leave no server behind."""

from __future__ import annotations

import base64
import re
import socket
from dataclasses import replace

import numpy as np
import pytest

from mimickit.errors import ConfigError, RunError
from mimickit.viewers import Frame, moved, play
from mimickit.viewers.scene import Scene
from mimickit.viewers.web import WebViewer, geom_mesh

viser = pytest.importorskip("viser")
SHAPES = """<mujoco><worldbody><body name="trunk"><freejoint/>
  <geom name="sphere" type="sphere" size="0.3"/>
  <geom name="capsule" type="capsule" size="0.1 0.4"/>
  <geom name="box" type="box" size="0.1 0.2 0.3"/>
  <geom name="cylinder" type="cylinder" size="0.1 0.4"/>
  <geom name="ellipsoid" type="ellipsoid" size="0.1 0.2 0.3"/>
</body></worldbody></mujoco>"""
HALF_EXTENTS = {  # in the geom's own frame [m]; capsules and cylinders lie along z
    "sphere": (0.3, 0.3, 0.3),
    "capsule": (0.1, 0.1, 0.5),
    "box": (0.1, 0.2, 0.3),
    "cylinder": (0.1, 0.1, 0.4),
    "ellipsoid": (0.1, 0.2, 0.3),
}


def recording(page):
    """What viser's player reads: seconds, and (time, message) pairs."""
    import msgspec
    import zstandard

    data = base64.b64decode(re.search(r'__VISER_EMBED_DATA__="([^"]+)"', page).group(1))
    inner = zstandard.ZstdDecompressor().decompress(data[8:])
    length = int.from_bytes(inner[:8], "little")
    content = msgspec.msgpack.decode(inner[8 : 8 + length])
    return content["durationSeconds"], content["messages"]


@pytest.fixture
def walk(standing):
    """Five frames, 0.1 m apart, with a ghost that is 1 m to the left from the third on."""
    states = [moved(standing, (0.1 * i, 0.0, 0.0)) for i in range(5)]
    return [
        Frame(s, moved(s, (0.0, 1.0, 0.0)) if i >= 2 else None, f"frame {i}")
        for i, s in enumerate(states)
    ]


def test_page_holds_the_poses_of_every_frame(humanoid, walk, tmp_path):
    path = tmp_path / "page.html"
    play(walk, WebViewer(humanoid, path, fps=10.0))
    seconds, messages = recording(path.read_text(encoding="utf-8"))
    assert seconds == pytest.approx(0.5)
    heads = [
        (time, message["position"])
        for time, message in messages
        if message["type"] == "SetPositionMessage" and message["name"] == "/world/character0/head"
    ]
    assert [time for time, _ in heads] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    # Pelvis 0.882416 + torso 0.236151 + neck 0.223894; 0.1 m per frame along x.
    expected = [(0.1 * i, 0.0, 1.342461) for i in range(5)]
    np.testing.assert_allclose([place for _, place in heads], expected, atol=1e-6)


def test_ghost_shows_from_the_first_frame_with_a_reference(humanoid, walk, tmp_path):
    path = tmp_path / "page.html"
    play(walk, WebViewer(humanoid, path, fps=10.0))
    _, messages = recording(path.read_text(encoding="utf-8"))
    seen = [
        (round(time, 3), message["visible"])
        for time, message in messages
        if message["type"] == "SetSceneNodeVisibilityMessage"
        and message["name"] == "/world/ghost0/head"
    ]
    assert seen[0] == (0.0, False)
    assert seen[-1] == (0.2, True)


def test_page_loads_nothing_from_elsewhere(humanoid, walk, tmp_path):
    path = tmp_path / "page.html"
    play(walk, WebViewer(humanoid, path, fps=10.0))
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"?https?:", page)
    assert list(tmp_path.iterdir()) == [path]


def test_no_server_runs_afterwards_and_nothing_is_printed(
    humanoid, walk, tmp_path, monkeypatch, capsys
):
    servers = []
    real = viser.ViserServer
    monkeypatch.setattr(
        viser, "ViserServer", lambda **settings: servers.append(real(**settings)) or servers[-1]
    )
    play(walk, WebViewer(humanoid, tmp_path / "page.html", fps=10.0))
    (server,) = servers
    assert server.get_host() == "127.0.0.1"
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", server.get_port())) != 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", list(HALF_EXTENTS))
def test_shapes_have_their_size(humanoid, tmp_path, kind):
    file = tmp_path / "shapes.xml"
    file.write_text(SHAPES)
    model = Scene(replace(humanoid, model=file, body_names=("trunk",))).model
    vertices, faces = geom_mesh(model, model.geom(f"character0/{kind}").id)
    np.testing.assert_allclose(vertices.max(0), HALF_EXTENTS[kind], rtol=0.02)
    np.testing.assert_allclose(vertices.min(0), -np.array(HALF_EXTENTS[kind]), rtol=0.02)
    assert faces.max() == len(vertices) - 1


def test_discarded_page_leaves_the_older_one_untouched(humanoid, standing, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("older")
    viewer = WebViewer(humanoid, path, fps=10.0)
    viewer.show(standing)
    viewer.discard()
    viewer.close()
    assert path.read_text() == "older"


def test_other_file_types_are_refused(humanoid, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.html, got .*page\.pdf"):
        WebViewer(humanoid, tmp_path / "page.pdf", fps=10.0)


def test_missing_extra_is_named(humanoid, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"viser, which is not installed.*'\.\[viewer\]'"):
        WebViewer(humanoid, tmp_path / "page.html", fps=10.0)
