"""The retargeted clips we ship: they fit their characters, the ground, the limits and the index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mimickit import launch
from mimickit.geometry.quaternion import heading, quat_from_heading, quat_multiply
from mimickit.motions import load_clip, motion_names, resolve_motions
from mimickit.motions.catalog import MOTIONS, read_index
from mimickit.motions.clip import PROVENANCE_KEYS, content_hash
from mimickit.motions.measures import limit_excess, penetration, touching, trace
from mimickit.motions.retargeting import load_parts

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "docs" / "benchmarks" / "retargeting"
CHARACTERS = ("g1", "smpl", "humanoid_sword_shield", "pi_plus")
CLIPS = [(name, clip) for name in CHARACTERS for clip in motion_names(MOTIONS / name)]


@pytest.fixture(scope="module")
def characters():
    return {name: launch.make_character(name) for name in CHARACTERS}


@pytest.mark.parametrize("name", CHARACTERS)
def test_every_clip_of_the_humanoid_is_there_but_those_a_shield_forbids(name):
    left_out = {"cartwheel", "crawl", "getup_facedown", "getup_faceup", "roll"}
    wanted = [
        clip
        for clip in motion_names(MOTIONS / "humanoid")
        if name != "humanoid_sword_shield" or clip not in left_out
    ]
    unmirrored = {"backflip", "walk", "run"}  # sword and shield cannot be mirrored afterwards
    if name == "humanoid_sword_shield":
        both = [[clip, f"{clip}_mirrored"][: 1 if clip in unmirrored else 2] for clip in wanted]
        wanted = [clip for pair in both for clip in pair]
    assert motion_names(MOTIONS / name) == wanted
    assert {path.stem for path in (MOTIONS / name).glob("*.npz")} == set(wanted)
    assert (MOTIONS / name / "NOTICE").read_bytes() == (
        MOTIONS / "humanoid" / "NOTICE"
    ).read_bytes()


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_a_clip_keeps_to_the_ground_and_the_limits(name, clip, characters):
    entry = resolve_motions(clip, characters[name])[0]
    shown = trace(entry.clip, characters[name])
    assert float(penetration(shown).max()) < 0.02
    assert float(limit_excess(shown.dof_pos, characters[name]).max()) == 0.0
    speeds = shown.dof_vel.abs().amax(0).numpy()
    assert (speeds <= load_parts(characters[name]).speed_limits + 1e-3).all()
    allowed = entry.may_touch_ground
    allowed = characters[name].may_touch_ground if allowed is None else allowed
    assert not allowed or set(touching(shown)) <= set(allowed)


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_a_looping_clip_is_closed(name, clip):
    made = load_clip(MOTIONS / name / f"{clip}.npz")
    if not made.loop:
        return
    for joint in range(len(made.joint_names)):
        same = np.abs((made.joint_rot[0, joint] * made.joint_rot[-1, joint]).sum())
        assert same == pytest.approx(1.0, abs=1e-5)
    assert made.root_pos[0, 2] == pytest.approx(made.root_pos[-1, 2], abs=1e-4)
    first, last = torch.from_numpy(made.root_rot[[0, -1]]).double()
    level = [quat_multiply(quat_from_heading(-heading(q)), q) for q in (first, last)]
    assert abs(float((level[0] * level[1]).sum())) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("name", "clip"), CLIPS)
def test_report_index_and_provenance_are_the_clips_own(name, clip):
    made = load_clip(MOTIONS / name / f"{clip}.npz")
    mirror = {"name": clip[: -len("_mirrored")], "mirror": True}
    asked = mirror if clip.endswith("_mirrored") else clip
    source = resolve_motions(asked, launch.make_character("humanoid"))[-1].clip
    facts = read_index(MOTIONS / name)[clip]
    report = json.loads((REPORTS / f"{name}.json").read_text())[clip]
    assert set(made.provenance) == set(PROVENANCE_KEYS)
    assert made.provenance["source_hash"] == content_hash(source)
    assert (facts["fps"], facts["loop"], facts["notes"]) == (
        made.fps,
        made.loop,
        made.provenance["notes"],
    )
    assert facts["duration"] == pytest.approx(made.duration, abs=1e-4)
    assert (made.fps, made.num_frames) == (source.fps, source.num_frames)
    assert report["foot_error"] < 0.02
    assert report["beyond_limit"] == 0.0
    assert report["speed_share"] is None or report["speed_share"] <= 1.0 + 1e-4


@pytest.mark.parametrize("name", ["walk", "backflip"])
def test_the_script_makes_the_same_clips_again(name, characters):
    pytest.importorskip("mink")
    from mimickit.motions.retargeting import retarget

    humanoid = launch.make_character("humanoid")
    entry = resolve_motions(name, humanoid)[0]
    parts = load_parts(humanoid), load_parts(characters["g1"])
    made = retarget(entry.clip, *parts, entry.may_touch_ground).clip
    shipped = load_clip(MOTIONS / "g1" / f"{name}.npz")
    np.testing.assert_allclose(made.joint_rot, shipped.joint_rot, atol=1e-4)
    np.testing.assert_allclose(made.root_pos, shipped.root_pos, atol=1e-4)
