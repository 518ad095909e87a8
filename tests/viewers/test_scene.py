"""Bodies are drawn where the state says, by the geoms that are meant to be seen."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from mimickit.errors import CharacterError, IncompatibleParts
from mimickit.geometry.quaternion import quat_normalize
from mimickit.viewers.scene import CHARACTER_GROUP, GHOST_GROUP, HIDDEN_GROUP, Scene

BOX = """<mujoco><worldbody><body name="trunk"><freejoint/>
  <geom name="skin" type="sphere" size="0.2" group="{skin}" rgba="1 0 0 1"/>
  <geom name="hull" type="box" size="0.2 0.2 0.2" group="3"/>
</body></worldbody></mujoco>"""


def geom_places(scene, prefix):
    model, data = scene.model, scene.data
    ids = [g for g in range(model.ngeom) if model.geom(g).name.startswith(prefix)]
    return data.geom_xpos[ids], data.geom_xmat[ids]


def test_head_is_drawn_at_its_height_in_the_default_pose(humanoid, standing):
    scene = Scene(humanoid)
    scene.place(standing)
    # Pelvis 0.882416 + torso 0.236151 + neck 0.223894 + middle of the head's sphere 0.175.
    np.testing.assert_allclose(
        scene.data.geom("character0/head").xpos, [0.0, 0.0, 1.517461], atol=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_geoms_are_where_mujoco_puts_them_in_any_pose(humanoid, pose, seed):
    generator = torch.Generator().manual_seed(seed)
    dofs = torch.randn(1, humanoid.num_dofs, generator=generator)
    root_rot = quat_normalize(torch.randn(1, 4, generator=generator))
    root_pos = torch.randn(1, 3, generator=generator)
    state = pose(humanoid, dofs, root_pos, root_rot)
    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    data = mujoco.MjData(model)
    data.qpos[:3] = root_pos[0]
    data.qpos[3:7] = root_rot[0, [3, 0, 1, 2]]
    for joint in humanoid.movable_joints:
        start = model.joint(joint.name).qposadr[0]
        if joint.kind.value == 1:
            data.qpos[start] = dofs[0, joint.dofs]
        else:
            data.qpos[start : start + 4] = state.joint_rot[0, joint.body - 1, [3, 0, 1, 2]]
    mujoco.mj_kinematics(model, data)

    scene = Scene(humanoid)
    scene.place(state, reference=state)
    for prefix in ("character0/", "ghost0/"):
        pos, mat = geom_places(scene, prefix)
        np.testing.assert_allclose(pos, data.geom_xpos, atol=2e-6)
        np.testing.assert_allclose(mat, data.geom_xmat, atol=2e-6)


def test_characters_of_a_row_stand_apart(humanoid, standing):
    scene = Scene(humanoid, count=3)
    roots = scene.place(standing.map(lambda t: t.expand(3, *t.shape[1:])))
    spacing = 2.2 * humanoid.default_height
    np.testing.assert_allclose(roots[:, 1], [-spacing, 0.0, spacing], atol=1e-6)
    assert scene.width == pytest.approx(2 * spacing)


def test_ghost_shows_only_with_a_reference(humanoid, standing):
    scene = Scene(humanoid)
    scene.place(standing)
    assert scene.option.geomgroup[GHOST_GROUP] == 0
    scene.place(standing, standing)
    assert scene.option.geomgroup[GHOST_GROUP] == 1


def test_ghost_of_a_tracking_character_is_inside_it(humanoid):
    model = Scene(humanoid).model
    own = [model.geom(g) for g in range(model.ngeom) if model.geom(g).name.startswith("char")]
    for geom in own:
        ghost = model.geom(geom.name.replace("character", "ghost"))
        assert ghost.size[0] <= 0.9 * geom.size[0]  # the radius; a box's half length
        assert (ghost.size <= geom.size).all()
        assert ghost.rgba[3] < 0.5 < geom.rgba[3]


@pytest.mark.parametrize(("skin", "shown"), [(2, {"skin"}), (3, {"skin", "hull"})])
def test_collision_geoms_show_only_without_visual_ones(humanoid, tmp_path, skin, shown):
    file = tmp_path / "box.xml"
    file.write_text(BOX.format(skin=skin))
    model = Scene(replace(humanoid, model=file, body_names=("trunk",))).model
    groups = {n: model.geom(f"character0/{n}").group[0] for n in ("skin", "hull")}
    assert {n for n, group in groups.items() if group == CHARACTER_GROUP} == shown
    assert set(groups.values()) <= {CHARACTER_GROUP, HIDDEN_GROUP}


def test_state_of_another_number_of_characters_is_refused(humanoid, standing):
    with pytest.raises(IncompatibleParts, match=r"draws 2 'humanoid' of 15 bodies.*\[1, 15, 3\]"):
        Scene(humanoid, count=2).place(standing)


def test_file_that_mujoco_cannot_read_is_named(humanoid, tmp_path):
    file = tmp_path / "broken.xml"
    file.write_text("<mujoco><worldbody><body name='trunk'><geom size='x'/></body></worldbody>")
    with pytest.raises(CharacterError, match=r"MuJoCo cannot read .*broken\.xml"):
        Scene(replace(humanoid, model=file))
