"""The clips we ship: complete, closed, on the ground, and made by the script that says so."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mimickit.errors import MotionError
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_heading,
    quat_multiply,
    quat_to_exp_map,
)
from mimickit.motions import load_clip, motion_names, resolve_motions
from mimickit.motions.catalog import INDEX_KEYS, MOTIONS, read_index
from mimickit.motions.clip import PROVENANCE_KEYS
from mimickit.motions.importers.deepmimic import find_pybullet_motions

ROOT = Path(__file__).resolve().parents[2]
FOLDER = MOTIONS / "humanoid"
INDEX = read_index(FOLDER)
NAMES = tuple(INDEX)

# Lengths [s] of MimicKit's Table 1 where the recording is the same (its walk is another).
TABLE_1 = {
    "run": 0.80, "crawl": 2.93, "roll": 2.00, "getup_facedown": 3.03, "spinkick": 1.28,
    "cartwheel": 2.71, "backflip": 1.75, "dance_a": 1.62,
}  # fmt: skip

# The fastest joint of any clip but these stays below 1000 deg/s; these are as fast as recorded.
FAST = {
    "backflip": 1750,
    "dance_b": 1210,
    "kick": 1180,
    "punch": 1560,
    "roll": 1060,
    "spinkick": 1460,
}

# But in flight, the lowest geom is this close to the ground [m]; a tumble may be off by more.
GROUND_BANDS = {"roll": 0.042}


def build_script():
    path = ROOT / "scripts" / "build_humanoid_motions.py"
    spec = importlib.util.spec_from_file_location("build_humanoid_motions", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    return build_script()


@pytest.fixture(scope="module")
def ground(script, humanoid):
    return script.Ground(humanoid)


@pytest.fixture(scope="module")
def clips():
    return {name: load_clip(FOLDER / facts["file"]) for name, facts in INDEX.items()}


def rotations(clip) -> torch.Tensor:
    stacked = np.concatenate([clip.root_rot[:, None], clip.joint_rot], axis=1)
    return torch.from_numpy(stacked).double()


def turns(start, end) -> np.ndarray:
    return quat_to_exp_map(quat_multiply(quat_conjugate(start), end)).norm(dim=-1).numpy()


def test_all_twenty_clips_are_there_and_nothing_else():
    assert len(NAMES) == 20
    assert motion_names(FOLDER) == list(NAMES)
    assert {path.stem for path in FOLDER.glob("*.npz")} == set(NAMES)


def test_the_clips_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_index_agrees_with_the_clip(name, clips):
    clip, facts = clips[name], INDEX[name]
    assert set(facts) == set(INDEX_KEYS)
    assert (clip.name, clip.loop, clip.fps) == (name, facts["loop"], facts["fps"])
    assert clip.duration == pytest.approx(facts["duration"], abs=1e-4)
    for key in ("source", "licence", "notes"):
        assert clip.provenance[key] == facts[key]


@pytest.mark.parametrize("name", NAMES)
def test_provenance_is_complete(name, clips):
    provenance = clips[name].provenance
    assert set(provenance) == set(PROVENANCE_KEYS)
    assert all(provenance.values())
    assert provenance["licence"] == "MIT"
    assert len(bytes.fromhex(provenance["source_hash"])) == 32


@pytest.mark.parametrize("name", NAMES)
def test_the_name_resolves_for_the_humanoid(name, humanoid):
    (entry,) = resolve_motions(name, humanoid)
    assert entry.clip.joint_rot_for(humanoid).shape[1:] == (14, 4)
    assert entry.weight == 1.0


def test_lengths_are_those_of_the_paper(clips):
    for name, seconds in TABLE_1.items():
        assert clips[name].duration == pytest.approx(seconds, abs=0.01), name


def test_ground_contacts_are_allowed_where_the_motion_needs_them(humanoid):
    allowed = {name: resolve_motions(name, humanoid)[0].may_touch_ground for name in NAMES}
    assert set(allowed["cartwheel"]) == {"right_hand", "left_hand", "right_foot", "left_foot"}
    for name in ("roll", "crawl", "getup_facedown", "getup_faceup"):
        assert allowed[name] == ()
    assert sum(bodies is None for bodies in allowed.values()) == 15


@pytest.mark.parametrize("name", NAMES)
def test_no_body_touches_the_ground_that_may_not(name, clips, humanoid, ground):
    (entry,) = resolve_motions(name, humanoid)
    allowed = entry.may_touch_ground
    if allowed == ():
        return
    allowed = humanoid.may_touch_ground if allowed is None else allowed
    assert set(ground.touching(clips[name])) <= set(allowed)


@pytest.mark.parametrize("name", [name for name in NAMES if INDEX[name]["loop"]])
def test_the_last_frame_of_a_looping_clip_is_its_first_moved_over_the_ground(name, clips):
    clip = clips[name]
    rot = rotations(clip)
    whole = quat_multiply(rot[-1, 0], quat_conjugate(rot[0, 0]))
    np.testing.assert_allclose(whole[:2], 0.0, atol=1e-5)  # the root turned about z only
    rot[-1, 0] = quat_multiply(
        quat_from_heading(-2.0 * torch.atan2(whole[2], whole[3])), rot[-1, 0]
    )
    assert turns(rot[-1], rot[0]).max() < 1e-5
    if not name.startswith("turn_"):
        assert abs(whole[2]) < 1e-5  # a clip that is not for turning returns to its heading
    assert clip.root_pos[-1, 2] == pytest.approx(clip.root_pos[0, 2], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_lowest_geom_is_on_the_ground_but_in_flight(name, clips, script, ground):
    low = ground.lowest(clips[name])
    grounded = np.ones(len(low), dtype=bool)
    for first, last in script.RECIPES[name].flights:
        grounded[first : last + 1] = False
    assert grounded.mean() > 0.5
    assert np.abs(low[grounded]).max() < GROUND_BANDS.get(name, 0.025)
    assert low.min() > -GROUND_BANDS.get(name, 0.025)


@pytest.mark.parametrize("name", NAMES)
def test_no_joint_turns_faster_than_the_recording_warrants(name, clips):
    rot = rotations(clips[name])
    speed = np.degrees(turns(rot[:-1], rot[1:]).max()) * clips[name].fps
    assert speed < FAST.get(name, 1000)


def test_the_glitches_of_the_walk_are_gone(clips):
    walk = clips["walk"]
    shoulder = torch.from_numpy(walk.joint_rot[:, walk.joint_names.index("left_shoulder")])
    speed = np.degrees(turns(shoulder[:-1], shoulder[1:])) * walk.fps
    assert speed[18] < 150  # 863 deg/s in the recording, frames 18 to 19


@pytest.mark.engine("mujoco")
def test_heights_are_those_of_mujoco(clips, humanoid, ground):
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    data = mujoco.MjData(model)
    clip = clips["cartwheel"]
    for frame in (0, 60, 90):
        data.qpos[:3] = clip.root_pos[frame]
        data.qpos[3:7] = clip.root_rot[frame, [3, 0, 1, 2]]
        for index, name in enumerate(clip.joint_names):
            joint = model.joint(name)
            x, y, z, w = clip.joint_rot[frame, index].astype(float)
            if joint.type[0] == mujoco.mjtJoint.mjJNT_BALL:
                data.qpos[joint.qposadr[0] :][:4] = [w, x, y, z]
            else:
                data.qpos[joint.qposadr[0]] = 2.0 * np.arctan2(np.dot([x, y, z], joint.axis), w)
        mujoco.mj_forward(model, data)
        lows = []
        for geom in range(model.ngeom):
            kind, size = model.geom_type[geom], model.geom_size[geom]
            up = data.geom_xmat[geom].reshape(3, 3)[2]  # the geom's axes along world z
            if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
                reach = size[0]
            elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
                reach = size[0] + size[1] * abs(up[2])
            else:
                reach = np.abs(up) @ size
            lows.append(data.geom_xpos[geom, 2] - reach)
        assert ground.lowest(clip)[frame] == pytest.approx(min(lows), abs=1e-5)


def test_closing_a_seam_spreads_it_evenly(script):
    # Two frames of 0 and one of 0.2 rad about x: -0.1, 0, +0.1 rad are added in reverse.
    angles = torch.tensor([0.0, 0.0, 0.2], dtype=torch.float64)
    rot = torch.zeros(3, 2, 4, dtype=torch.float64)
    rot[..., 3] = 1.0
    rot[:, 1, 0], rot[:, 1, 3] = (angles / 2).sin(), (angles / 2).cos()
    pos = torch.tensor([[0.0, 0, 1.0], [1, 0, 1], [2, 0, 1.1]], dtype=torch.float64)
    pos, rot, gaps = script.close_seam(pos, rot, turns=True)
    np.testing.assert_allclose(quat_to_exp_map(rot[:, 1])[:, 0], [0.1, 0.0, 0.1], atol=1e-12)
    np.testing.assert_allclose(pos[:, 2], [1.05, 1.0, 1.05])
    np.testing.assert_allclose(pos[:, 0], [0, 1, 2])
    np.testing.assert_allclose(gaps, [0.0, np.degrees(0.2)], atol=1e-9)


@pytest.mark.parametrize("window", [None, 3])
def test_repairing_a_cut_makes_the_step_like_its_neighbours(script, window):
    angles = torch.arange(11, dtype=torch.float64) * 0.01
    angles[6:] += 0.3  # the jump
    rot = torch.zeros(11, 1, 4, dtype=torch.float64)
    rot[:, 0, 2], rot[:, 0, 3] = (angles / 2).sin(), (angles / 2).cos()
    fixed, worst = script.repair_cut(rot, script.Cut(5, 6, window), [])
    steps = np.diff(quat_to_exp_map(fixed[:, 0])[:, 2])
    assert steps[5] == pytest.approx(0.01, abs=1e-9)
    assert worst == pytest.approx(np.degrees(0.3))
    if window is None:  # spread evenly: the nine other steps of ten take 0.3 / 9 each
        np.testing.assert_allclose(np.delete(steps, 5), 0.01 + 0.3 / 9, atol=1e-9)
    else:  # frames out of reach stay as they were
        np.testing.assert_allclose(steps[[0, 1, 9]], 0.01, atol=1e-9)


def test_the_script_makes_the_same_bytes_again(script, ground, humanoid, tmp_path):
    pytest.importorskip("pybullet_data")
    source, version = find_pybullet_motions(), importlib.metadata.version("pybullet")
    for name in ("walk", "getup_facedown", "dance_b"):
        clip = script.build(name, script.RECIPES[name], source, version, humanoid, ground)
        data = (source / script.RECIPES[name].file).read_bytes()
        assert clip.provenance["source_hash"] == hashlib.sha256(data).hexdigest()
        shipped = load_clip(FOLDER / f"{name}.npz")
        np.testing.assert_allclose(clip.joint_rot, shipped.joint_rot, atol=1e-6)
        np.testing.assert_allclose(clip.root_pos, shipped.root_pos, atol=1e-6)
        for file in ("a.npz", "b.npz"):
            again = script.build(name, script.RECIPES[name], source, version, humanoid, ground)
            script.save_clip(tmp_path / file, again)
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_it_says_which_package_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MotionError, match="`pip install pybullet` brings it"):
        find_pybullet_motions()
