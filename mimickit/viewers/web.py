"""Writes a page that plays what it was shown: one HTML file for any browser, without a server."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import mujoco
import numpy as np

from mimickit.characters import Character
from mimickit.errors import ConfigError, RunError
from mimickit.state import CharacterState
from mimickit.viewers.camera import FIELD_OF_VIEW, LOOK_HEIGHT, FollowCamera
from mimickit.viewers.files import prepare_output
from mimickit.viewers.markers import Block, Shape, blocks, flat_arrow, shapes
from mimickit.viewers.scene import GHOST_GROUP, HIDDEN_GROUP, Scene
from mimickit.viewers.viewer import Drawn

HOST = "127.0.0.1"  # nobody else can reach the server while the page is made
DEFAULT_COLOR = (0.5, 0.5, 0.5, 1.0)  # of a geom, MuJoCo's: its material's counts then
TEXT_HEIGHT = 2.1  # of the label, in heights of the root
# viser sends no pose that equals the last one. Nodes start where nothing is ever shown, so that the
# first frame holds every pose, for when the page plays again from its start.
ELSEWHERE = {"position": (0.0, 0.0, -1000.0), "wxyz": (0.0, 1.0, 0.0, 0.0)}


class WebViewer:
    """Collects poses and writes them as viser's serialised scene; see `Viewer`.

    The page has a time line, play and pause, and a camera to turn with the mouse. The character
    stays in the middle: it is the floor that moves. A server runs only inside `close`.

    Attributes:
        path: the page. It appears, or replaces an older one, when the viewer is closed.
    """

    running = True

    def __init__(self, character: Character, path: Path, fps: float, count: int = 1) -> None:
        """Check everything that can go wrong before the first frame.

        Args:
            character: what is drawn. path: ends in .html; missing folders are made.
            fps: frames per second: the control rate plays in real time.
            count: characters side by side.

        Raises:
            ConfigError: the file is not an .html.
            RunError: the extra `viewer` is not installed, or the folder cannot be written.
        """
        prepare_output(path, ".html", "viser")
        self.path = path
        self._fps = fps
        self._scene = Scene(character, count)
        self._camera = FollowCamera(character.default_height, self._scene.width)
        self._frames: list[_Moment] = []

    def show(
        self,
        state: CharacterState,
        reference: Optional[CharacterState] = None,
        text: str = "",
        markers: Sequence[Drawn] = (),
    ) -> None:
        """Remember one frame."""
        roots = self._scene.place(state, reference)
        look_at = self._camera.follow(roots, 1.0 / self._fps).copy()
        data = self._scene.data
        self._frames.append(
            _Moment(
                look_at,
                data.xpos.copy(),
                data.xquat.copy(),
                reference is not None,
                text,
                shapes(markers, self._scene.offsets),
                blocks(markers, self._scene.offsets),
            )
        )

    def close(self) -> None:
        """Write the page, if anything was shown."""
        if not self._frames:
            return
        page = self._page()
        self._frames.clear()
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            partial.write_text(page, encoding="utf-8")
            os.replace(partial, self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise RunError(f"the page {self.path} could not be written: {error}") from None

    def discard(self) -> None:
        """Forget what was shown."""
        self._frames.clear()

    def _page(self) -> str:
        import viser

        with contextlib.redirect_stdout(io.StringIO()):  # viser announces its server
            server = viser.ViserServer(host=HOST)
        try:
            stage = _Stage(server, self._scene, self._camera, self._frames[0])
            stage.show(self._frames[0])
            recording = server.get_scene_serializer()
            for frame in self._frames[1:]:
                recording.insert_sleep(1.0 / self._fps)
                stage.show(frame)
            recording.insert_sleep(1.0 / self._fps)
            return recording.as_html()
        finally:
            with contextlib.redirect_stdout(io.StringIO()):
                server.stop()


class _Moment(NamedTuple):
    """A frame: where the camera looks, poses of all bodies, whether ghosts show, what else does."""

    look_at: np.ndarray
    pos: np.ndarray
    quat: np.ndarray
    ghosts: bool
    text: str
    shapes: list[Shape]
    blocks: list[Block]


class _Stage:
    """The scene as viser's nodes: /world, its bodies, their geoms, and markers."""

    def __init__(self, server: Any, scene: Scene, camera: FollowCamera, first: _Moment) -> None:
        height = scene.character.default_height
        middle = np.array([0.0, 0.0, LOOK_HEIGHT * height])
        server.initial_camera.position = middle + 1.1 * camera.offset
        server.initial_camera.look_at = middle
        server.initial_camera.fov = np.radians(FIELD_OF_VIEW)
        view = server.scene  # with viser's own lights: a page goes back to them when it starts anew
        self._world = view.add_frame("/world", show_axes=False, **ELSEWHERE)
        view.add_grid(
            "/world/floor",
            infinite_grid=True,
            cell_size=0.5,
            section_size=1.0,
            fade_distance=20.0 * height + 2.0 * scene.width,
            plane_color=(226, 230, 236),
            plane_opacity=1.0,
            shadow_opacity=0.3,
        )
        self._label = view.add_label(
            "/label", "", position=(0.0, 0.0, TEXT_HEIGHT * height), anchor="bottom-center"
        )
        self._text = ""
        model = scene.model
        self._bodies = [None] + [
            view.add_frame(f"/world/{model.body(body).name}", show_axes=False, **ELSEWHERE)
            for body in range(1, model.nbody)
        ]
        self._ghosts = [model.body(body).name.startswith("ghost") for body in range(model.nbody)]
        for geom in range(model.ngeom):
            if model.geom_bodyid[geom] != 0 and model.geom_group[geom] != HIDDEN_GROUP:
                _add_geom(view, model, geom)
        self._markers = [_add_marker(view, *numbered) for numbered in enumerate(first.shapes)]
        self._blocks = [_add_block(view, *numbered) for numbered in enumerate(first.blocks)]

    def show(self, frame: _Moment) -> None:
        look_at, pos, quat, ghosts, text, markers, solids = frame
        assert len(markers) == len(self._markers), "a recording keeps its markers"
        assert len(solids) == len(self._blocks), "a recording keeps its objects"
        for handle, block in zip(self._blocks, solids):
            handle.position, handle.wxyz = block.pos, block.quat
        for handle, shape in zip(self._markers, markers):
            if shape.arrow:
                handle.vertices = flat_arrow(shape)[0]
            handle.position = np.zeros(3) if shape.arrow else 0.5 * (shape.tail + shape.head)
            handle.wxyz = (1.0, 0.0, 0.0, 0.0)
        self._world.position = (-look_at[0], -look_at[1], 0.0)
        self._world.wxyz = (1.0, 0.0, 0.0, 0.0)
        for body, handle in enumerate(self._bodies):
            if handle is None:
                continue
            if self._ghosts[body] and handle.visible != ghosts:
                handle.visible = ghosts
            if not self._ghosts[body] or ghosts:
                handle.position = pos[body]
                handle.wxyz = quat[body]
        if text != self._text:
            self._label.text = self._text = text


def _add_geom(view: Any, model: mujoco.MjModel, geom: int) -> None:
    vertices, faces = geom_mesh(model, geom)
    body = model.body(model.geom_bodyid[geom]).name
    color, material = model.geom_rgba[geom], model.geom_matid[geom]
    if material >= 0 and np.allclose(color, DEFAULT_COLOR):
        color = model.mat_rgba[material]
    ghost = model.geom_group[geom] == GHOST_GROUP
    view.add_mesh_simple(
        f"/world/{body}/geom{geom}",
        vertices,
        faces,
        color=tuple(round(255.0 * float(c)) for c in color[:3]),
        opacity=float(color[3]) if color[3] < 1.0 else None,
        flat_shading=bool(model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX),
        position=model.geom_pos[geom],
        wxyz=model.geom_quat[geom],
        cast_shadow=not ghost,
        receive_shadow=not ghost,
    )


def _add_marker(view: Any, number: int, shape: Shape) -> Any:
    """A disc or a flat arrow; `_Stage.show` puts it in its place."""
    import trimesh.creation as create

    if shape.arrow:
        vertices, faces = flat_arrow(shape)
        vertices = np.zeros_like(vertices)  # so that the first frame's are sent as a change
    else:
        height = float(np.linalg.norm(shape.head - shape.tail))
        disc = create.cylinder(radius=shape.radius, height=height, sections=48)
        vertices, faces = np.asarray(disc.vertices), np.asarray(disc.faces)
    return view.add_mesh_simple(
        f"/world/marker{number}",
        vertices,
        faces,
        color=tuple(round(255.0 * float(c)) for c in shape.color[:3]),
        opacity=float(shape.color[3]),
        side="double",
        cast_shadow=False,
        **ELSEWHERE,
    )


def _add_block(view: Any, number: int, block: Block) -> Any:
    mesh = primitive_mesh(block.kind, block.size)
    assert mesh is not None, f"{block.kind.name} is none of the shapes of objects"
    return view.add_mesh_simple(
        f"/world/object{number}", *mesh, flat_shading=block.kind == mujoco.mjtGeom.mjGEOM_BOX,
        color=tuple(round(255.0 * float(c)) for c in block.color[:3]), **ELSEWHERE,
    )  # fmt: skip


def geom_mesh(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, np.ndarray]:
    """A geom as triangles in its own frame: vertices [V, 3] m and faces [F, 3].

    Raises:
        ConfigError: a kind of geom that cannot be shown on a page.
    """
    kind = mujoco.mjtGeom(int(model.geom_type[geom]))
    if kind == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        first_face, faces = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        return (
            model.mesh_vert[first : first + count].copy(),
            model.mesh_face[first_face : first_face + faces].copy(),
        )
    shape = primitive_mesh(kind, model.geom_size[geom])
    if shape is None:
        raise ConfigError(
            f"geom '{model.geom(geom).name}' is a {kind.name}, which a page cannot show; use "
            "spheres, capsules, boxes, cylinders, ellipsoids and meshes, or write a film"
        )
    return shape


def primitive_mesh(
    kind: mujoco.mjtGeom, size: np.ndarray
) -> Optional[tuple[np.ndarray, np.ndarray]]:
    """A shape of MuJoCo's as triangles: vertices [V, 3] m and faces [F, 3]; None if it is none."""
    import trimesh.creation as create

    kinds = mujoco.mjtGeom
    if kind == kinds.mjGEOM_SPHERE:
        shape = create.icosphere(subdivisions=3, radius=size[0])
    elif kind == kinds.mjGEOM_ELLIPSOID:
        shape = create.icosphere(subdivisions=3, radius=1.0)
        shape.apply_scale(size)
    elif kind == kinds.mjGEOM_CAPSULE:
        # In MuJoCo a capsule's middle is the origin; trimesh's too, but not in every release.
        shape = create.capsule(height=2.0 * size[1], radius=size[0], count=[24, 24])
        shape.apply_translation(-shape.bounds.mean(axis=0))
    elif kind == kinds.mjGEOM_CYLINDER:
        shape = create.cylinder(radius=size[0], height=2.0 * size[1], sections=32)
    elif kind == kinds.mjGEOM_BOX:
        shape = create.box(extents=2.0 * size)
    else:
        return None
    return np.asarray(shape.vertices), np.asarray(shape.faces)
