"""Places characters, their ghosts, a floor and lights in a MuJoCo model that is only drawn.

Nothing here is simulated: body poses go straight from a state into the drawing. Quaternions
(x, y, z, w) become MuJoCo's (w, x, y, z) in `place` and nowhere else in this package.
"""

from __future__ import annotations

from typing import Optional

import mujoco
import numpy as np

from mimickit.characters import Character
from mimickit.errors import CharacterError, IncompatibleParts
from mimickit.state import CharacterState
from mimickit.viewers.camera import FIELD_OF_VIEW

GHOST_COLOR = (0.35, 0.60, 1.0, 0.30)
GHOST_SIZE = 0.88  # a ghost is slimmer, so that it vanishes inside a character that tracks it
SPACING = 2.2  # between neighbours in a row, in heights of the root
CHARACTER_GROUP, GHOST_GROUP, HIDDEN_GROUP = 0, 1, 5  # MuJoCo's geom groups, shown and not
FIRST_COLLISION_GROUP = 3  # by convention, lower groups are visual; only they are shown by default

SUN = np.array([0.7, -0.6, 2.2])  # towards the light
_SKY = ((0.93, 0.95, 0.98), (0.62, 0.71, 0.82))
_FLOOR = ((0.80, 0.82, 0.85), (0.71, 0.74, 0.78))


class Scene:
    """A row of characters, each with a ghost, on a chequered floor of one metre squares.

    Attributes:
        character: what is drawn.
        count: N, how many side by side.
        model, data: what MuJoCo draws.
        option: which geom groups it shows.
        width: of the row [m], from the first to the last character.
    """

    def __init__(self, character: Character, count: int = 1) -> None:
        self.character = character
        self.count = count
        spacing = SPACING * character.default_height
        self.width = (count - 1) * spacing
        self.offsets = np.zeros((count, 3))
        self.offsets[:, 1] = (np.arange(count) - 0.5 * (count - 1)) * spacing
        self.model = _build_model(character, count, self.width)
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)
        self.option = mujoco.MjvOption()
        self.option.geomgroup[:] = 0
        self.option.geomgroup[CHARACTER_GROUP] = 1

    def place(
        self, state: CharacterState, reference: Optional[CharacterState] = None
    ) -> np.ndarray:
        """Move everything to where it shall be drawn.

        Args:
            state: N characters. reference: their ghosts; None hides them.

        Returns:
            [N, 3] m, where the roots of the characters are drawn.

        Raises:
            IncompatibleParts: a state of another number of characters or of bodies.
        """
        roots = self._place_bodies(state, first_body=1)
        if reference is not None:
            self._place_bodies(reference, first_body=1 + self.count * self.character.num_bodies)
        self.option.geomgroup[GHOST_GROUP] = int(reference is not None)
        self._place_geoms()
        # The light moves along, so that its shadow map covers the characters wherever they go.
        middle = roots.mean(axis=0) * (1.0, 1.0, 0.0)
        self.data.light_xpos[0] = middle + self.model.light_pos[0]
        return roots

    def _place_bodies(self, state: CharacterState, first_body: int) -> np.ndarray:
        bodies = self.character.num_bodies
        expected = (self.count, bodies, 3)
        if tuple(state.body_pos.shape) != expected:
            raise IncompatibleParts(
                f"this viewer draws {self.count} '{self.character.name}' of {bodies} bodies, body "
                f"positions {list(expected)}; it was given {list(state.body_pos.shape)}"
            )
        pos = state.body_pos.detach().cpu().double().numpy() + self.offsets[:, None]
        rot = state.body_rot.detach().cpu().double().numpy()
        rows = slice(first_body, first_body + self.count * bodies)
        self.data.xpos[rows] = pos.reshape(-1, 3)
        self.data.xquat[rows] = rot.reshape(-1, 4)[:, [3, 0, 1, 2]]
        return pos[:, 0]

    def _place_geoms(self) -> None:
        model, data = self.model, self.data
        for geom in range(model.ngeom):
            body = model.geom_bodyid[geom]
            if body == 0:
                continue
            pos, quat = np.empty(3), np.empty(4)
            mujoco.mju_mulPose(
                pos, quat, data.xpos[body], data.xquat[body],
                model.geom_pos[geom], model.geom_quat[geom],
            )  # fmt: skip
            data.geom_xpos[geom] = pos
            mujoco.mju_quat2Mat(data.geom_xmat[geom], quat)


def _build_model(character: Character, count: int, width: float) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    _add_surroundings(spec, character.default_height, width)
    for ghost in (False, True):
        for number in range(count):
            _add_character(spec, character, f"{'ghost' if ghost else 'character'}{number}/", ghost)
    model = spec.compile()
    expected = 1 + 2 * count * character.num_bodies
    if model.nbody != expected:
        raise CharacterError(
            f"{character.model}: MuJoCo reads {model.nbody} bodies where {expected} were expected"
        )
    return model


def _add_character(spec: mujoco.MjSpec, character: Character, prefix: str, ghost: bool) -> None:
    try:
        part = mujoco.MjSpec.from_file(str(character.model))
    except ValueError as error:
        raise CharacterError(f"MuJoCo cannot read {character.model}: {error}") from None
    root = part.body(character.body_names[0])
    geoms = [geom for name in character.body_names for geom in part.body(name).geoms]
    # A character without visual geoms is drawn by those that collide.
    has_visual = any(geom.group < FIRST_COLLISION_GROUP for geom in geoms)
    for geom in geoms:
        shown = geom.group < FIRST_COLLISION_GROUP or not has_visual
        geom.group = (GHOST_GROUP if ghost else CHARACTER_GROUP) if shown else HIDDEN_GROUP
        geom.contype = geom.conaffinity = 0
        if ghost:
            geom.material = ""
            geom.rgba = GHOST_COLOR
            geom.size = GHOST_SIZE * geom.size
    spec.worldbody.add_frame().attach_body(root, prefix, "")


def _add_surroundings(spec: mujoco.MjSpec, height: float, width: float) -> None:
    """Sky, floor, lights and picture quality, for roots at `height` in a row of `width` [m]."""
    spec.stat.extent = 2.0 * height
    spec.stat.center = [0.0, 0.0, height]
    spec.visual.global_.fovy = FIELD_OF_VIEW
    spec.visual.map.znear = 0.02
    spec.visual.map.zfar = 40.0
    spec.visual.map.shadowclip = 2.0 + 0.5 * width / spec.stat.extent  # in extents
    spec.visual.quality.shadowsize = 4096
    spec.visual.quality.offsamples = 4
    spec.visual.headlight.ambient = [0.44, 0.44, 0.46]
    spec.visual.headlight.diffuse = [0.28, 0.28, 0.28]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.rgba.haze = [*_SKY[0], 1.0]

    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=_SKY[0],
        rgb2=_SKY[1],
        width=256,
        height=1536,
    )
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=_FLOOR[0],
        rgb2=_FLOOR[1],
        width=512,
        height=512,
    )
    floor = spec.add_material(name="floor", texuniform=True, texrepeat=[0.5, 0.5])
    floor.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    spec.worldbody.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[0.0, 0.0, 1.0],
        material="floor",
        contype=0,
        conaffinity=0,
    )
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=SUN * 2.0 * height,
        dir=-SUN / np.linalg.norm(SUN),
        diffuse=[0.56, 0.54, 0.51],
        specular=[0.25, 0.25, 0.25],
        ambient=[0.0, 0.0, 0.0],
        castshadow=True,
    )
