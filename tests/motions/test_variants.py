"""Mirror images and other speeds: exact, still motions of their character, and said of the clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.errors import CharacterError, ConfigError, MotionError, UnknownMotion
from mimickit.geometry.quaternion import heading, quat_rotate
from mimickit.motions import load_clip
from mimickit.motions.catalog import MOTIONS, dataset_names, list_motions, resolve_motions
from mimickit.motions.clip import content_hash
from mimickit.motions.library import MotionLibrary
from mimickit.motions.lint import THRESHOLDS, lint
from mimickit.motions.variants import bent, check_symmetric, mirrored, other_side, retimed
from tests.conftest import character_facts

ACROSS = torch.tensor([1.0, -1.0, 1.0])
SIDES = {
    "left_foot": "right_foot",
    "R_Hip": "L_Hip",
    "l_ankle_roll_link": "r_ankle_roll_link",
    "FL_hip": "FR_hip",
    "RR_foot": "RL_foot",
    "head": "head",
    "pelvis": "pelvis",  # holds an l, but not as a word
    "leftover": "leftover",
}


@pytest.fixture(scope="module")
def kick():
    return load_clip(MOTIONS / "humanoid" / "kick.npz")


@pytest.mark.parametrize("name", SIDES)
def test_the_other_side_of_a_name(name):
    assert other_side(name) == SIDES[name]
    assert other_side(other_side(name)) == name


def test_mirroring_a_pose_by_hand(humanoid, kick):
    # 120 degrees about (1, 1, 1), (0.5, 0.5, 0.5, 0.5), become (-0.5, 0.5, -0.5, 0.5).
    rot = np.tile([0.0, 0, 0, 1], (2, len(kick.joint_names), 1))
    rot[:, kick.joint_names.index("left_shoulder")] = 0.5
    pos, root = [[1.0, 2.0, 3.0]] * 2, [[0.5] * 4] * 2
    clip = replace(kick, root_pos=pos, root_rot=root, joint_rot=rot)
    image = mirrored(clip, humanoid)
    right = image.joint_names.index("right_shoulder")
    np.testing.assert_array_equal(image.root_pos[0], [1.0, -2.0, 3.0])
    np.testing.assert_array_equal(image.root_rot[0], [-0.5, 0.5, -0.5, 0.5])
    np.testing.assert_array_equal(image.joint_rot[0, right], [-0.5, 0.5, -0.5, 0.5])
    assert np.abs(np.delete(image.joint_rot[0], right, axis=0)[:, :3]).max() == 0.0


@pytest.mark.parametrize("name", ["humanoid", "g1", "smpl", "pi_plus", "go2"])
def test_mirroring_twice_is_the_identity_in_every_bit(name, all_characters):
    character = all_characters(name)
    for entry in resolve_motions(["walk"], character):
        twice = mirrored(mirrored(entry.clip, character), character)
        for field in ("root_pos", "root_rot", "joint_rot"):
            np.testing.assert_array_equal(getattr(twice, field), getattr(entry.clip, field))


@pytest.mark.parametrize("name", ["humanoid", "go2"])
def test_kinematics_of_the_mirror_image_are_the_mirror_image_of_kinematics(name, all_characters):
    character = all_characters(name)
    clip = resolve_motions("kick" if name == "humanoid" else "walk", character)[0].clip
    kinematics = Kinematics(character, dtype=torch.float64)

    def bodies(clip):
        arrays = (clip.root_pos, clip.root_rot, clip.joint_rot_for(character))
        pos, rot = kinematics.forward(*(torch.from_numpy(array).double() for array in arrays))
        return pos, rot

    pos, rot = bodies(clip)
    image_pos, image_rot = bodies(mirrored(clip, character))
    mates = [character.body_names.index(other_side(body)) for body in character.body_names]
    torch.testing.assert_close(image_pos, pos[:, mates] * ACROSS, atol=1e-6, rtol=0)
    turned = rot[:, mates] * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    same = (image_rot * turned).sum(-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-6, rtol=0)


def test_a_mirrored_turn_turns_the_other_way(humanoid):
    clips = resolve_motions([{"name": "turn_left0", "mirror": True}], humanoid)
    library = MotionLibrary(humanoid, clips)
    left, right = library._loop_turn.tolist()
    assert left > 0.3
    assert right == pytest.approx(-left, abs=1e-5)


def test_a_character_with_a_sword_is_refused(humanoid, sword_shield):
    check_symmetric(humanoid)
    entry = resolve_motions("walk", sword_shield)[0]
    with pytest.raises(CharacterError, match="'right_hand' and 'left_hand' have different joints"):
        mirrored(entry.clip, sword_shield)
    with pytest.raises(CharacterError, match="'humanoid_sword_shield' is not its own mirror image"):
        list_motions([{"name": "walk", "mirror": True}], sword_shield)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offset": 0.05}, r"'left_foot' is 0.050 m from where 'right_foot' would be mirrored"),
        ({"rename": "left_sole"}, "body 'right_foot' has no counterpart 'left_foot'"),
        ({"turn": 0.2}, "'right_foot' and 'left_foot' rest in other directions"),
    ],
)
def test_what_is_not_symmetric_is_named(humanoid, change, message):
    foot = humanoid.body_names.index("left_foot")
    offsets, rotations = humanoid.offsets.copy(), humanoid.rotations.copy()
    offsets[foot, 0] += change.get("offset", 0.0)
    angle = change.get("turn", 0.0)
    rotations[foot] = [np.sin(angle), 0.0, 0.0, np.cos(angle)]
    names = list(humanoid.body_names)
    names[foot] = change.get("rename", "left_foot")
    crooked = replace(humanoid, offsets=offsets, rotations=rotations, body_names=tuple(names))
    with pytest.raises(CharacterError, match=message):
        check_symmetric(crooked)


def test_a_clip_of_another_character_is_not_mirrored(g1, kick):
    with pytest.raises(MotionError, match="is not for character 'g1'"):
        mirrored(kick, g1)


def test_twice_the_speed_is_the_same_poses_in_half_the_time(humanoid, kick):
    fast = retimed(kick, 2.0)
    np.testing.assert_array_equal(fast.joint_rot, kick.joint_rot)
    assert (fast.fps, fast.duration) == (2.0 * kick.fps, kick.duration / 2.0)
    entries = resolve_motions([{"name": "walk", "speeds": [1, 2]}], humanoid)
    library = MotionLibrary(humanoid, entries)
    slow, fast = library.lookup(torch.tensor([0, 1]), torch.tensor([0.4, 0.2]))[0:2].root_vel
    # Frames fall between the stored ones at other places, so speeds agree but for interpolation.
    torch.testing.assert_close(fast, 2.0 * slow, atol=0.05, rtol=0)


@pytest.mark.parametrize("speed", [0.4, 2.5, float("nan"), "fast", True])
def test_a_speed_that_makes_another_motion_is_refused(kick, speed):
    with pytest.raises(ConfigError, match=r"speed must be a number from 0.5 to 2.0, got"):
        retimed(kick, speed)


def test_a_straight_way_bends_into_a_circle_and_the_body_leans_into_it(humanoid, kick):
    # 2 m/s and 1 rad/s, so a circle of 2 m, of which two seconds are 2 rad; lean: atan(2 / 9.81).
    time = np.arange(61) / 30.0
    still = np.tile([0.0, 0, 0, 1], (61, 1))
    straight = replace(
        kick, fps=30.0, root_rot=still, joint_rot=np.repeat(kick.joint_rot[:1], 61, axis=0),
        root_pos=np.stack([2.0 * time, 0.0 * time, 0.0 * time + 0.9], axis=-1),
    )  # fmt: skip
    curve = bent(straight, 1.0)
    lean = np.arctan(2.0 / 9.81)
    left = np.array([-np.sin(2.0), np.cos(2.0)])
    place = 2.0 * np.array([np.sin(2.0), 1.0 - np.cos(2.0)]) + 0.9 * np.sin(lean) * left
    np.testing.assert_allclose(curve.root_pos[-1], [*place, 0.9 * np.cos(lean)], atol=1e-3)
    turned = torch.from_numpy(np.ascontiguousarray(curve.root_rot)).double()
    torch.testing.assert_close(heading(turned), torch.from_numpy(time), atol=1e-5, rtol=0)
    up = quat_rotate(turned[-1], torch.tensor([0.0, 0.0, 1.0]).double())
    np.testing.assert_allclose(up, [*(np.sin(lean) * left), np.cos(lean)], atol=1e-5)
    np.testing.assert_array_equal(curve.joint_rot, straight.joint_rot)
    assert curve.provenance["notes"].endswith("on a bend of 1 rad/s")
    # To the right it is the mirror image of a way that mirrors itself.
    other = bent(straight, -1.0)
    np.testing.assert_allclose(other.root_pos, curve.root_pos * ACROSS.numpy(), atol=1e-5)


def test_who_runs_a_bend_comes_back_to_where_he_began(humanoid):
    library = MotionLibrary(humanoid, resolve_motions([{"name": "run", "bend": 1.25}], humanoid))
    clip = torch.zeros(1, dtype=torch.long)
    begin, half, end = (
        library.lookup(clip, torch.tensor([time])).root_pos[0, :2]
        for time in (0.0, np.pi / 1.25, 2.0 * np.pi / 1.25)
    )
    # Feet go round a circle of 3.56 / 1.25 m; the root leans inwards, by 0.41 of its height.
    assert (half - begin).norm().item() == pytest.approx(2.0 * (3.56 / 1.25 - 0.37), rel=0.05)
    assert (end - begin).norm().item() < 0.3


def test_a_bend_and_its_mirror_image_are_of_one_clip_but_a_name_makes_another(humanoid):
    motion = [
        {"name": "run", "bend": 0.5, "mirror": True},
        {"name": "run", "bend": -0.5},
        {"name": "run", "as": "run_left", "bend": 0.5, "speeds": [0.9, 1]},
        "run",
    ]
    entries = resolve_motions(motion, humanoid)
    assert [entry.name for entry in entries] == [
        "run_bent0.5", "run_bent0.5_mirrored", "run_bent-0.5",
        "run_left_bent0.5_x0.9", "run_left_bent0.5", "run",
    ]  # fmt: skip
    library = MotionLibrary(humanoid, entries)
    assert library.originals == ["run", "run_left"]
    assert library.original_of.tolist() == [0, 0, 0, 1, 1, 0]
    turns = library._loop_turn.tolist()
    assert turns[0] == pytest.approx(0.5 * 0.8, abs=1e-3)
    assert turns[1] == pytest.approx(-turns[0], abs=1e-4)
    assert turns[2] == pytest.approx(-turns[0], abs=1e-4)
    # A bend is a rate of the motion as it is played.
    assert turns[3] == pytest.approx(0.5 * 0.8 / 0.9, abs=1e-3)


def test_a_bend_too_steep_to_stand_is_refused(humanoid):
    with pytest.raises(
        ConfigError, match=r"'run' would lean by 47 degrees .* 3 rad/s, more than 35"
    ):
        resolve_motions([{"name": "run", "bend": 3}], humanoid)


def test_variants_say_where_they_are_from(humanoid, kick):
    slow = retimed(kick, 0.8)
    image = mirrored(slow, humanoid)
    assert slow.provenance["source"] == kick.provenance["source"]
    assert slow.provenance["licence"] == kick.provenance["licence"]
    assert slow.provenance["source_hash"] == content_hash(kick)
    assert image.provenance["source_hash"] == content_hash(slow)
    notes = kick.provenance["notes"]
    assert (
        image.provenance["notes"]
        == f"{notes}; plays at 0.8 times its speed; mirrored left to right"
    )


def test_variants_share_the_weight_and_have_names_of_their_own(humanoid):
    motion = [{"name": "kick", "weight": 3, "mirror": True, "speeds": [0.9, 1, 1.1]}, "walk"]
    entries = resolve_motions(motion, humanoid)
    assert [entry.name for entry in entries] == [
        "kick_x0.9", "kick", "kick_x1.1",
        "kick_mirrored_x0.9", "kick_mirrored", "kick_mirrored_x1.1", "walk",
    ]  # fmt: skip
    assert [entry.weight for entry in entries] == [0.5] * 6 + [1.0]
    library = MotionLibrary(humanoid, entries)
    assert library.originals == ["kick", "walk"]
    assert library.original_of.tolist() == [0] * 6 + [1]


def test_a_mirrored_clip_may_touch_the_ground_on_the_other_side(humanoid):
    motion = {"name": "walk", "may_touch_ground": ["left_hand", "left_foot"], "mirror": True}
    walk, image = resolve_motions(motion, humanoid)
    assert walk.may_touch_ground == ("left_hand", "left_foot")
    assert image.may_touch_ground == ("right_hand", "right_foot")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"mirror": "yes"}, r"motion\[0\]\.mirror must be true or false, got 'yes'"),
        ({"speeds": 1.2}, r"motion\[0\]\.speeds must be a list of numbers, got 1.2"),
        ({"speeds": []}, r"motion\[0\]\.speeds must be a list of numbers, got \[\]"),
        ({"speeds": [1, 3]}, r"motion\[0\]\.speeds\[1\] must be a number from 0.5 to 2.0, got 3"),
        ({"speeds": [1, 1.0]}, r"motion\[0\]\.speeds names a speed twice"),
        ({"bend": "left"}, r"motion\[0\]\.bend must be a number of rad/s.* got left"),
        ({"bend": float("nan")}, r"motion\[0\]\.bend must be a number of rad/s"),
        ({"as": 3}, r"motion\[0\]\.as must be a name, got 3"),
    ],
)
def test_variants_that_cannot_be_are_refused(humanoid, item, message):
    with pytest.raises(ConfigError, match=message):
        list_motions([{"name": "walk", **item}], humanoid)


def test_one_name_is_for_one_clip(humanoid):
    folder = {"folder": str(MOTIONS / "humanoid"), "as": "all"}
    with pytest.raises(ConfigError, match=r"motion\[0\]\.as=all names one clip, and here are 20"):
        list_motions([folder], humanoid)


def test_the_linter_looks_at_the_variant(humanoid):
    # At twice its speed the jump falls with 4 g, and the linter's threshold for an error is 2.2.
    own, fast = (
        lint(s, humanoid) for s in list_motions([{"name": "jump", "speeds": [1, 2]}], humanoid)
    )
    assert own.figures["gravity"] == pytest.approx(1.0, abs=0.05)
    assert fast.figures["gravity"] == pytest.approx(4.0, rel=0.05)
    assert (fast.name, fast.severity) == ("jump_x2", 2)


DATASETS = [
    (name, dataset)
    for name in ("humanoid", "humanoid_sword_shield")
    for dataset in dataset_names(MOTIONS / name)
]


def test_the_datasets_that_ship():
    assert DATASETS == [
        ("humanoid", "actions"),
        ("humanoid", "agility"),
        ("humanoid", "locomotion"),
        ("humanoid", "recovery"),
        ("humanoid", "tumbling"),
        ("humanoid_sword_shield", "actions"),
        ("humanoid_sword_shield", "locomotion"),
    ]


@pytest.mark.parametrize(("name", "dataset"), DATASETS)
def test_a_dataset_has_no_errors_and_falls_as_things_fall(name, dataset, all_characters):
    for source in list_motions(dataset, all_characters(name)):
        report = lint(source, all_characters(name))
        assert report.severity < 2, report.findings
        assert report.figures.get("gravity", 1.0) <= THRESHOLDS["gravity"].warning


@pytest.mark.parametrize("name", ["humanoid", "humanoid_sword_shield"])
def test_every_kind_of_motion_weighs_1_and_more_where_it_takes_practice(name, all_characters):
    weights: dict = {}
    for source in list_motions(["locomotion", "actions"], all_characters(name)):
        kind = str(source.name).replace("_mirrored", "")
        kind = kind[:-1] if kind.startswith("turn_") else kind
        weights[kind] = weights.get(kind, 0.0) + source.weight
    ones = ("walk", "walk_forward", "run", "turn_left", "turn_right", "punch", "kick", "jump")
    more = {"spin": 2.0, "dance_a": 3.0, "dance_b": 3.0, "spinkick": 3.0}
    assert weights == pytest.approx({**dict.fromkeys(ones, 1.0), **more})


def test_a_dataset_is_found_by_its_name_and_listed_when_it_is_not(humanoid):
    named = list_motions("recovery", humanoid)
    by_path = list_motions(str(MOTIONS / "humanoid" / "recovery.yaml"), humanoid)
    assert [source.label for source in named] == [source.label for source in by_path]
    with pytest.raises(UnknownMotion, match=r"no motion 'recover'.*Closest: recovery"):
        list_motions("recover", humanoid)


@pytest.fixture(scope="module")
def all_characters():
    """A function that makes characters by name, each once."""
    from functools import lru_cache

    from mimickit.characters import load_character

    return lru_cache(None)(lambda name: load_character(**character_facts(name)))
