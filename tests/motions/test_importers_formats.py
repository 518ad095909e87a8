"""Any file: its format is told by content, nothing in it runs, and what is no clip says so."""

from __future__ import annotations

import enum
import io
import json
import os
import pickle
import sys
import types
import zlib

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.errors import ConfigError, MimicKitError, MotionError, UnknownName
from mimickit.motions import save_clip
from mimickit.motions.catalog import MOTIONS
from mimickit.motions.clip import load_clip
from mimickit.motions.importers import FORMATS, ImportOptions, import_motion
from mimickit.motions.importers.unpickling import unpickle
from tests.motions.foreign import ENUM_PICKLES, FRAMES, Call, walk, write_csv, write_pickle

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"


@pytest.mark.parametrize(
    "name", ["a.pkl", "a.npz", "a.npy", "a.csv", "a.motion", "a.bvh", "a.txt", "a.joblib"]
)
def test_a_git_lfs_pointer_says_what_to_do(tmp_path, g1, name):
    path = tmp_path / name
    path.write_bytes(LFS)
    with pytest.raises(MotionError, match=r"Git-LFS pointer.*git lfs pull"):
        import_motion(path, g1)


# --- what a file may hold --------------------------------------------------------------------


def plain_pickle(path, value):
    write_pickle(path, value)


def compressed_pickle(path, value):
    path.write_bytes(zlib.compress(pickle.dumps(value)))


def joblib_pickle(path, value):
    joblib.dump(value, path, compress=("gzip", 3))


def object_array(path, value):
    boxed = np.empty((), dtype=object)
    boxed[()] = value
    np.save(path.with_suffix(".npy"), boxed, allow_pickle=True)
    path.with_suffix(".npy").replace(path)


def torch_file(path, value):
    torch.save(value, path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.mkdir, eval, getattr, np.load])
@pytest.mark.parametrize(
    "write", [plain_pickle, compressed_pickle, joblib_pickle, object_array, torch_file]
)
def test_a_hostile_file_is_refused_and_nothing_of_it_runs(
    tmp_path, g1, write, function, protocol, monkeypatch
):
    monkeypatch.setattr(pickle, "DEFAULT_PROTOCOL", protocol)
    trace = tmp_path / "ran"
    path = tmp_path / "clip.pkl"
    write(path, {"fps": 30, "frames": Call(function, str(trace))})
    with pytest.raises(MotionError, match=r"clip\.pkl is refused: .* may be hostile"):
        import_motion(path, g1)
    assert not trace.exists()


@pytest.mark.parametrize(
    "value",
    [
        {"a": np.array([{}, "text"], dtype=object)},
        {"a": np.array(["text"])},
        {"a": np.zeros(2, dtype=[("x", float)])},
        {"a": np.array([1 + 2j])},
        {"a": np.dtype("f8")},
    ],
)
def test_joblib_makes_nothing_but_arrays_of_numbers(tmp_path, value):
    path = tmp_path / "a.pkl"
    joblib.dump(value, path)
    with pytest.raises(MotionError, match=r"a\.pkl"):
        unpickle(path, path.read_bytes())


@given(st.data())
def test_a_damaged_joblib_file_gives_a_motion_error_or_numbers(tmp_path_factory, data):
    buffer = io.BytesIO()
    joblib.dump({"a": np.arange(6.0).reshape(2, 3), "b": [1, 2.0, "c"]}, buffer)
    content = bytearray(buffer.getvalue())
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("joblib") / "a.pkl"
    try:
        unpickle(path, bytes(content))
    except MotionError as error:
        assert "a.pkl" in str(error)


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("compress", [0, 3, ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_joblib_arrays_come_back_as_they_were(tmp_path, compress, make):
    value = {"f": make(np.random.default_rng(0).random((3, 5))), "i": np.arange(4, dtype=np.int16)}
    value["empty"], value["none"] = np.zeros((0, 3), np.float32), None
    path = tmp_path / "a.pkl"
    joblib.dump(value, path, compress=compress)
    if compress == ("lzma", 3):  # the one of joblib's compressions that has no magic of its own
        with pytest.raises(MotionError, match="no readable pickle"):
            unpickle(path, path.read_bytes())
        return
    read = unpickle(path, path.read_bytes())
    assert read["none"] is None
    for key in ("f", "i", "empty"):
        np.testing.assert_array_equal(read[key], value[key])
        assert read[key].dtype == value[key].dtype


def test_a_file_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mimickit.motions.importers.unpickling._MOST_BYTES", 1000)
    path = tmp_path / "a.pkl"
    with pytest.raises(MotionError, match="unpacks to more than"):
        unpickle(path, zlib.compress(b"\0" * 5000))


def test_a_pickle_that_repeats_itself_is_read_once_per_object(tmp_path):
    bomb = [0]
    for _ in range(60):
        bomb = [bomb, bomb]
    path = tmp_path / "a.pkl"
    assert len(unpickle(path, pickle.dumps(bomb))) == 2


@pytest.mark.parametrize("reduced", ENUM_PICKLES)
def test_a_motion_files_state_enum_is_its_value(tmp_path, monkeypatch, reduced):
    name = "protomotions.simulator.base_simulator.simulator_state"
    module = types.ModuleType(name)
    module.StateConversion = enum.Enum("StateConversion", {"COMMON": "common"}, module=name)
    module.StateConversion.__reduce_ex__ = ENUM_PICKLES[reduced]
    for depth in range(1, 5):
        part = ".".join(name.split(".")[:depth])
        monkeypatch.setitem(sys.modules, part, module if depth == 4 else types.ModuleType(part))
    path = tmp_path / "a.motion"
    torch.save({"fps": 30, "state_conversion": module.StateConversion.COMMON}, path)
    from mimickit.motions.importers.content import read_content

    content = read_content(path)
    assert content.kind == "torch"
    assert content.value["state_conversion"] == "common"


@pytest.mark.parametrize("cut", [30, 200, 900])
@pytest.mark.parametrize("write", [torch_file, object_array, joblib_pickle])
def test_a_truncated_file_is_refused(tmp_path, g1, write, cut):
    path = tmp_path / "a.bin"
    write(path, {"fps": 30, "frames": np.zeros((30, 7)).tolist()})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(MotionError, match=r"a\.bin"):
        import_motion(path, g1)


# --- which format ----------------------------------------------------------------------------


def test_a_file_of_no_known_format_says_what_it_holds(tmp_path, g1):
    path = write_pickle(tmp_path / "a.pkl", {"poses": 1, "names": 2})
    with pytest.raises(
        MotionError,
        match=r"no known motion format: it is pickle with poses, names; formats: clip, ",
    ):
        import_motion(path, g1)


def test_a_format_that_was_told_wrongly_is_refused(tmp_path, g1):
    path = write_csv(tmp_path / "a.csv", *walk(g1))
    with pytest.raises(MotionError, match="is not of format gmr; its content says csv"):
        import_motion(path, g1, format_name="gmr")
    with pytest.raises(UnknownName, match=r"'cvs'.*Closest: csv"):
        import_motion(path, g1, format_name="cvs")


def test_a_suffix_means_nothing(tmp_path, g1):
    path = write_csv(tmp_path / "a.pkl", *walk(g1))
    (imported,) = import_motion(path, g1, ImportOptions(fps=30))
    assert imported.format == "csv"
    assert "36 columns" in imported.reason


def test_this_packages_own_clips_are_read_too(tmp_path, humanoid):
    (imported,) = import_motion(
        MOTIONS / "humanoid" / "walk.npz", humanoid, ImportOptions(loop=False, name="mine")
    )
    assert (imported.format, imported.clip.name, imported.clip.loop) == ("clip", "mine", False)


def test_provenance_says_where_a_clip_is_from(tmp_path, g1):
    path = write_csv(tmp_path / "a.csv", *walk(g1))
    options = ImportOptions(fps=30, source="my lab", licence="CC0-1.0", loop=True)
    (imported,) = import_motion(path, g1, options)
    record = imported.clip.provenance
    assert (record["source"], record["licence"]) == ("my lab", "CC0-1.0")
    assert len(record["source_hash"]) == 64
    assert imported.clip.loop


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quat_order": "wzyx"}, "quat_order must be xyzw or wxyz"),
        ({"up_axis": "x"}, "up_axis must be z or y"),
        ({"fps": 0.0}, "fps must be finite and > 0"),
        ({"tolerance": float("nan")}, "tolerance must be finite and > 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        ImportOptions(**options)


@given(st.data())
def test_any_bytes_give_a_clip_or_one_clear_error(tmp_path_factory, g1, data):
    start = data.draw(
        st.sampled_from(
            [b"", b"\x80\x04", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"{", b"x\x9c", b"HI"]
        )
    )
    path = tmp_path_factory.mktemp("any") / "a.bin"
    path.write_bytes(start + data.draw(st.binary(max_size=200)))
    with pytest.raises(MimicKitError, match=r"a\.bin"):
        import_motion(path, g1)


# --- any4hdmi --------------------------------------------------------------------------------


def dataset(folder, character, **changes):
    from mimickit.motions.importers.any4hdmi import qpos_names

    names = list(qpos_names(character))
    root_pos, root_rot, dofs = walk(character)
    qpos = np.hstack([root_pos, np.roll(root_rot, 1, axis=-1), dofs]).astype(np.float32)
    manifest = {
        "format_version": 2,
        "dataset_name": "test",
        "mjcf": "hf://someone/g1_xmls@main/g1.xml",
        "motions_subdir": "motions",
        "timestep": 1 / 120,
        "qpos_dim": len(names),
        "qpos_names": names,
        "num_motions": 2,
        "source": {},
    }
    (folder / "motions" / "sub").mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
    for path in ("motions/a.npz", "motions/sub/b.npz"):
        np.savez(folder / path, qpos=qpos)
    return folder


def test_a_dataset_is_read_whole_or_clip_by_clip(tmp_path, g1):
    folder = dataset(tmp_path / "set", g1)
    both = import_motion(folder, g1)
    assert [(each.clip.name, each.clip.fps) for each in both] == [("a", 120.0), ("b", 120.0)]
    (one,) = import_motion(folder / "motions" / "sub" / "b.npz", g1)
    np.testing.assert_allclose(one.clip.root_pos, walk(g1)[0], atol=1e-6)
    assert one.clip.num_frames == FRAMES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 1}, "format version 2 is read, got 1"),
        ({"timestep": 0}, "timestep must be > 0 s, got 0"),
        ({"qpos_names": "root_tx"}, "qpos_names must be a list of names"),
        ({"qpos_names": ["root_tx", "waist"]}, "not for character 'g1': columns .*waist"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(tmp_path, g1, changes, message):
    with pytest.raises(MotionError, match=message):
        import_motion(dataset(tmp_path / "set", g1, **changes), g1)


def test_a_folder_or_a_clip_without_a_manifest_is_refused(tmp_path, g1):
    folder = dataset(tmp_path / "set", g1)
    (folder / "manifest.json").unlink()
    with pytest.raises(MotionError, match=r"without manifest\.json"):
        import_motion(folder, g1)
    with pytest.raises(MotionError, match="no known motion format: it is npz with qpos"):
        import_motion(folder / "motions" / "a.npz", g1)


# --- the files that people have --------------------------------------------------------------

SAMPLES = {
    "amass_smpl_walk.npz": ("smpl", "amass", {}),
    "asap_g1_walk.pkl": ("g1", "asap", {}),
    "gmr_g1_walk_stand.pkl": ("g1", "gmr", {}),
    "kimodo_g1_walk.csv": ("g1", "csv", {"fps": 30}),
    "motion_imitation_dog_trot.txt": ("go2", "motion_imitation", {}),
    "poselib_backflip.npy": ("humanoid", "poselib", {}),
    "protomotions_g1.motion": ("g1", "protomotions", {}),
}


@pytest.mark.parametrize("file", SAMPLES)
def test_a_sample_file_of_each_project_is_read(tmp_path, request, file):
    folder = os.environ.get("MIMICKIT_SAMPLE_DATA")
    if not folder:
        pytest.skip("MIMICKIT_SAMPLE_DATA names no folder of other projects' files")
    character, name, options = SAMPLES[file]
    character = request.getfixturevalue(character)
    (imported,) = import_motion(os.path.join(folder, file), character, ImportOptions(**options))
    assert imported.format == name
    save_clip(tmp_path / "a.npz", imported.clip)
    assert load_clip(tmp_path / "a.npz").joint_rot_for(character).shape[1] == character.num_joints


def test_every_format_is_documented():
    text = (MOTIONS.parent / "docs" / "importing.md").read_text()
    assert [name for name in FORMATS if f"`{name}`" not in text] == []
