"""What `motion=` may hold, and how it is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mimickit.errors import ConfigError, MotionError, UnknownBody, UnknownMotion
from mimickit.motions import Clip, motion_names, resolve_motions, save_clip
from mimickit.motions.catalog import MotionEntry, _unique, list_motions


def still_clip(humanoid, name: str) -> Clip:
    names = tuple(joint.name for joint in humanoid.movable_joints)
    rot = np.zeros((3, len(names), 4))
    rot[..., 3] = 1.0
    return Clip(
        name, 30.0, False, names, np.zeros((3, 3)), np.tile([0.0, 0, 0, 1], (3, 1)), rot, {}
    )


@pytest.fixture
def folder(tmp_path, humanoid):
    """A folder of clips `stand` and `fall`, with an index."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("stand", "fall"):
        save_clip(clips / f"{name}.npz", still_clip(humanoid, name))
    index = {
        "stand": {"file": "stand.npz", "weight": 2.0, "may_touch_ground": None},
        "fall": {"file": "fall.npz", "may_touch_ground": []},
    }
    (clips / "index.yaml").write_text(yaml.safe_dump({"clips": index}, sort_keys=False))
    return clips


def dataset(path, *items):
    path.write_text(yaml.safe_dump({"motions": list(items)}))
    return path


def test_a_name_brings_the_facts_of_the_index(folder, humanoid):
    (stand,) = resolve_motions("stand", humanoid, folder)
    (fall,) = resolve_motions("fall", humanoid, folder)
    assert (stand.name, stand.weight, stand.may_touch_ground) == ("stand", 2.0, None)
    assert (fall.name, fall.weight, fall.may_touch_ground) == ("fall", 1.0, ())
    assert motion_names(folder) == ["stand", "fall"]


def test_an_unknown_name_lists_the_close_ones(folder, humanoid):
    with pytest.raises(UnknownMotion) as error:
        resolve_motions("stnad", humanoid, folder)
    assert str(error.value) == (
        "character 'humanoid' has no motion 'stnad' (asked for by motion). Closest: stand. "
        "All: fall, stand."
    )


def test_an_unknown_name_in_a_list_is_located(folder, humanoid):
    with pytest.raises(UnknownMotion, match=r"asked for by motion\[1\]"):
        resolve_motions(["stand", "jump"], humanoid, folder)


def test_a_path_to_a_catalogued_clip_keeps_the_facts_of_the_index(folder, humanoid):
    (entry,) = resolve_motions(str(folder / "fall.npz"), humanoid)
    assert (entry.name, entry.may_touch_ground) == ("fall", ())


def test_a_path_outside_a_catalog_takes_the_defaults(tmp_path, humanoid):
    save_clip(tmp_path / "other.npz", still_clip(humanoid, "other"))
    (entry,) = resolve_motions(tmp_path / "other.npz", humanoid)
    assert (entry.name, entry.weight, entry.may_touch_ground) == ("other", 1.0, None)


def test_a_mimickit_clip_is_imported_on_the_way(tmp_path, humanoid):
    frames = np.zeros((4, 34)).tolist()
    content = {"loop_mode": 1, "fps": 30, "frames": frames}
    (tmp_path / "old.pkl").write_bytes(pickle.dumps(content))
    (entry,) = resolve_motions(str(tmp_path / "old.pkl"), humanoid)
    assert (entry.name, entry.clip.loop, entry.clip.num_frames) == ("old", True, 4)


def test_lists_mix_names_paths_and_mappings(folder, humanoid):
    motion = ["stand", str(folder / "fall.npz"), {"name": "fall", "weight": 0.5}]
    entries = resolve_motions(motion, humanoid, folder)
    assert [(e.name, e.weight) for e in entries] == [
        ("stand", 2.0),
        ("fall", 1.0),
        ("fall#2", 0.5),
    ]


def test_what_a_composed_config_holds_works_as_plain_lists_do(folder, humanoid):
    config = OmegaConf.create(["stand", {"name": "fall", "may_touch_ground": ["head"]}])
    entries = resolve_motions(config, humanoid, folder)
    assert [entry.may_touch_ground for entry in entries] == [None, ("head",)]


def test_a_dataset_finds_files_beside_itself(folder, humanoid, monkeypatch, tmp_path):
    path = dataset(
        folder / "mix.yaml",
        {"file": "stand.npz", "weight": 3, "loop": True},
        {"name": "fall", "may_touch_ground": ["left_hand"]},
    )
    monkeypatch.chdir(tmp_path)
    first, second = resolve_motions(str(path), humanoid, folder)
    assert (first.weight, first.clip.loop) == (3.0, True)
    assert (second.name, second.may_touch_ground) == ("fall", ("left_hand",))


def test_a_dataset_may_stand_in_a_list(folder, humanoid):
    path = dataset(folder / "mix.yaml", {"name": "stand"}, {"name": "fall"})
    entries = resolve_motions([str(path), "stand"], humanoid, folder)
    assert [entry.name for entry in entries] == ["stand", "fall", "stand#2"]


def test_a_folder_brings_every_clip_below_it(folder, humanoid, tmp_path):
    deeper = folder / "more" / "slow"
    deeper.mkdir(parents=True)
    save_clip(deeper / "sit.npz", still_clip(humanoid, "anything"))
    (deeper / "notes.txt").write_text("not a clip")
    for motion in (folder, f"{folder}/", {"folder": str(folder)}, [str(folder)]):
        entries = resolve_motions(motion, humanoid)
        # The index beside `stand` and `fall` speaks for them; the other is called by its place.
        facts = {e.name: (e.weight, e.may_touch_ground) for e in entries}
        assert facts == {"stand": (2.0, None), "fall": (1.0, ()), "more/slow/sit": (1.0, None)}


def test_facts_of_a_folder_are_those_of_each_of_its_clips(folder, humanoid):
    path = dataset(
        folder.parent / "mix.yaml",
        {"folder": "clips", "weight": 0.25, "loop": True, "may_touch_ground": ["head"]},
        {"name": "stand"},
    )
    entries = resolve_motions(str(path), humanoid, folder)
    assert [e.name for e in entries] == ["fall", "stand", "stand#2"]
    assert [e.weight for e in entries] == [0.25, 0.25, 2.0]
    assert [e.clip.loop for e in entries] == [True, True, False]
    assert [e.may_touch_ground for e in entries] == [("head",), ("head",), None]


def test_a_bare_word_is_a_folder_only_where_no_clip_has_that_name(folder, humanoid, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "stand").mkdir()
    assert [e.name for e in resolve_motions("stand", humanoid, folder)] == ["stand"]
    assert len(resolve_motions("clips", humanoid, folder)) == 2


@pytest.mark.parametrize(
    ("motion", "message"),
    [
        ({"folder": "clisp"}, r"motion\.folder: there is no folder clisp\. Closest: clips"),
        ("empty/", r"motion: folder empty holds no clip \(\.npz or \.pkl\)"),
    ],
)
def test_a_folder_without_clips_is_refused(folder, humanoid, monkeypatch, motion, message):
    monkeypatch.chdir(folder.parent)
    (folder.parent / "empty").mkdir()
    with pytest.raises(MotionError, match=message):
        resolve_motions(motion, humanoid)


def test_a_damaged_clip_of_a_folder_is_named(folder, humanoid):
    (folder / "zz.npz").write_bytes(b"PK not a clip")
    with pytest.raises(MotionError, match=r"zz\.npz is truncated"):
        resolve_motions(folder, humanoid)


def test_listing_reads_no_clip(folder, humanoid):
    (folder / "zz.npz").write_bytes(b"PK not a clip")
    assert [source.path.name for source in list_motions(folder, humanoid)] == [
        "fall.npz",
        "stand.npz",
        "zz.npz",
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"name": "stand", "weight": -1}, r"motions\[0\]\.weight: the weight of clip 'stand'"),
        ({"name": "stand", "weight": float("inf")}, "must be finite and >= 0, got inf"),
        ({"name": "stand", "weight": "much"}, "must be finite and >= 0, got much"),
        ({"name": "stand", "weight": True}, "must be finite and >= 0, got True"),
        ({"name": "stand", "wieght": 1}, "unknown key 'wieght'. Closest: weight"),
        ({"weight": 1}, "wants one of `name`, `file`, `folder`"),
        ({"name": "stand", "file": "stand.npz"}, "wants one of `name`, `file`, `folder`"),
        ({"name": "stand", "loop": "wrap"}, "loop must be true or false, got 'wrap'"),
        ({"name": "stand", "may_touch_ground": "left_hand"}, "must be a list of bodies"),
        ("stand", "must be a mapping of name, file, folder, weight"),
    ],
)
def test_a_dataset_entry_that_cannot_be_is_refused(folder, humanoid, item, message):
    path = dataset(folder / "mix.yaml", item)
    with pytest.raises(ConfigError, match=message):
        resolve_motions(str(path), humanoid, folder)


def test_an_unknown_body_is_named_with_its_key(folder, humanoid):
    path = dataset(folder / "mix.yaml", {"name": "stand", "may_touch_ground": ["left_fot"]})
    with pytest.raises(
        UnknownBody, match=r"'left_fot' .*motions\[0\]\.may_touch_ground.*left_foot"
    ):
        resolve_motions(str(path), humanoid, folder)


def test_weights_that_are_all_zero_are_refused(folder, humanoid):
    motion = [{"name": "stand", "weight": 0}, {"name": "fall", "weight": 0}]
    with pytest.raises(ConfigError, match=r"weights of all clips are 0 \(stand, fall\)"):
        resolve_motions(motion, humanoid, folder)


@pytest.mark.parametrize(
    ("motion", "error", "message"),
    [
        ([], ConfigError, "asks for no clip at all"),
        (None, ConfigError, "motion must be a clip name, a path, a mapping, or a list"),
        (7, ConfigError, "got 7"),
        ("clips/walk.bvh", MotionError, "a clip is an .npz file, or MimicKit's .pkl"),
        ("nowhere/walk.npz", MotionError, "there is no motion file"),
        ("nowhere/mix.yaml", MotionError, "there is no motion file"),
    ],
)
def test_a_motion_that_cannot_be_is_refused(folder, humanoid, motion, error, message):
    with pytest.raises(error, match=message):
        resolve_motions(motion, humanoid, folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("motions: [", "is not readable YAML"),
        ("motions: []", "must be a list of at least one clip"),
        ("motion: [a]", "unknown key 'motion'. Closest: motions"),
        ("just text", "must be a mapping of motions"),
        ("motions: !!python/object/apply:os.getcwd []", "is not readable YAML"),
    ],
)
def test_a_dataset_file_that_cannot_be_is_refused(tmp_path, humanoid, text, message):
    path = tmp_path / "mix.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        resolve_motions(str(path), humanoid)


def test_an_index_with_a_mistyped_fact_is_refused(folder, humanoid):
    (folder / "index.yaml").write_text("clips: {stand: {file: stand.npz, wait: 1}}")
    with pytest.raises(ConfigError, match=r"clips\.stand has an unknown key 'wait'"):
        resolve_motions("stand", humanoid, folder)


def test_a_character_without_clips_has_no_motion(tmp_path, humanoid):
    with pytest.raises(UnknownMotion, match=r"has no motion 'walk'.*All: none"):
        resolve_motions("walk", humanoid, tmp_path)


@given(st.lists(st.sampled_from(["a", "b", "a#2", "b#2"]), max_size=12))
def test_report_names_are_unique_and_keep_their_beginning(shared_clip, names):
    entries = [MotionEntry(name, shared_clip, 1.0, None) for name in names]
    unique = [entry.name for entry in _unique(entries)]
    assert len(set(unique)) == len(names)
    assert all(new.startswith(old) for new, old in zip(unique, names))


@pytest.fixture(scope="module")
def shared_clip():
    rot = np.tile([0.0, 0, 0, 1], (2, 1, 1))
    return replace(
        Clip("a", 30.0, False, ("knee",), np.zeros((2, 3)), rot[:, 0], rot, {}), name="a"
    )
