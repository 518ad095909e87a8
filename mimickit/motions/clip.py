"""One motion clip and its file format: named joints in an .npz that is read without pickle.

Legend: T frames, M movable joints of the clip, J joints of a character (fixed ones included).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np

from mimickit.characters import Character, JointKind
from mimickit.errors import MotionError, closest, closest_beside

FORMAT = "mimickit-clip"
FORMAT_VERSION = 1
PROVENANCE_KEYS = ("source", "licence", "tool", "tool_version", "source_hash", "notes")
QUAT_TOLERANCE = 1e-2  # farther from unit length than this, a quaternion is damage, not rounding
OFF_AXIS_TOLERANCE = 0.05  # [rad] a hinge may turn about any axis but its own

_ARRAYS = ("root_pos", "root_rot", "joint_rot")
_KEYS = ("format", "version", "name", "fps", "loop", "joint_names", *_ARRAYS, "provenance")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, eq=False)
class Clip:
    """A recorded motion: the poses of a root and of named joints at a fixed rate.

    World frame, z up, metres; quaternions (x, y, z, w). Construction copies the arrays, checks
    them and scales quaternions to unit length.

    Attributes:
        name: for reports and error messages.
        fps: frames per second.
        loop: whether the motion wraps around (True) or holds its ends (False). A wrapping clip's
            last frame is its first again, up to a move over the ground: xy and yaw.
        joint_names: M movable joints, in any order.
        root_pos: [T, 3] m.
        root_rot: [T, 4].
        joint_rot: [T, M, 4] child in parent.
        provenance: where the clip is from: source, licence, tool, tool_version, source_hash
            (sha256 of the source file), notes.

    Raises:
        MotionError: naming the clip, and the frame and the joint at fault.
    """

    name: str
    fps: float
    loop: bool
    joint_names: tuple[str, ...]
    root_pos: np.ndarray
    root_rot: np.ndarray
    joint_rot: np.ndarray
    provenance: dict[str, str]

    def __post_init__(self) -> None:
        def put(field: str, value: object) -> None:
            object.__setattr__(self, field, value)

        if not self.name or not isinstance(self.name, str):
            raise MotionError(f"a clip needs a name, got {self.name!r}")
        put("fps", self._checked_fps())
        put("loop", bool(self.loop))
        put("joint_names", self._checked_joint_names())
        put("provenance", self._checked_provenance())
        for field in _ARRAYS:
            put(field, self._checked_array(field))
        for field in ("root_rot", "joint_rot"):
            put(field, self._unit_quaternions(field))

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.root_pos)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last [s]."""
        return (self.num_frames - 1) / self.fps

    def joint_rot_for(self, character: Character) -> np.ndarray:
        """Joint rotations [T, J, 4] in a character's joint order; identity for fixed joints.

        Raises:
            MotionError: the clip lacks joints of the character, has others, or turns a hinge
                about another axis than the character's.
        """
        self.check_fits(character)
        rot = np.zeros((self.num_frames, character.num_joints, 4), dtype=np.float32)
        rot[..., 3] = 1.0
        for joint in character.movable_joints:
            rot[:, joint.body - 1] = self.joint_rot[:, self.joint_names.index(joint.name)]
        return rot

    def check_fits(self, character: Character) -> None:
        """Refuse a clip of another character, in the cases that `joint_rot_for` lists.

        Raises:
            MotionError: as there.
        """
        wanted = [joint.name for joint in character.movable_joints]
        missing = [name for name in wanted if name not in self.joint_names]
        extra = [name for name in self.joint_names if name not in wanted]
        if missing or extra:
            raise MotionError(
                f"clip '{self.name}' is not for character '{character.name}': "
                f"missing joints: {_with_closest(missing, self.joint_names)}; "
                f"unknown joints: {_with_closest(extra, wanted)}"
            )
        for joint in character.movable_joints:
            if joint.kind is JointKind.HINGE:
                own = self.joint_rot[:, self.joint_names.index(joint.name)]
                self._check_hinge(own, joint.name, joint.axis, character.name)

    def _check_hinge(
        self, rot: np.ndarray, joint: str, axis: tuple[float, float, float], character: str
    ) -> None:
        vector = rot[:, :3].astype(np.float64)
        off_axis = vector - np.outer(vector @ np.asarray(axis), axis)
        angle = 2.0 * np.arcsin(np.minimum(np.linalg.norm(off_axis, axis=-1), 1.0))
        frame = int(angle.argmax())
        if angle[frame] > OFF_AXIS_TOLERANCE:
            raise MotionError(
                f"clip '{self.name}' is not for character '{character}': in frame {frame} joint "
                f"'{joint}' turns {math.degrees(angle[frame]):.1f} degrees about other axes than "
                "its hinge"
            )

    def _checked_fps(self) -> float:
        try:
            fps = float(self.fps)
        except (TypeError, ValueError):
            fps = math.nan
        if not (math.isfinite(fps) and fps > 0):
            raise MotionError(f"clip '{self.name}': fps must be finite and > 0, got {self.fps}")
        return fps

    def _checked_joint_names(self) -> tuple[str, ...]:
        names = tuple(str(name) for name in self.joint_names)
        if not names:
            raise MotionError(f"clip '{self.name}' names no joints")
        twice = sorted({name for name in names if names.count(name) > 1})
        if "" in names or twice:
            wrong = f"twice: {', '.join(twice)}" if twice else f"#{names.index('')} has no name"
            raise MotionError(f"clip '{self.name}': joint names must be unique; {wrong}")
        return names

    def _checked_provenance(self) -> dict[str, str]:
        given = self.provenance
        if not isinstance(given, Mapping) or not all(
            isinstance(text, str) for pair in given.items() for text in pair
        ):
            raise MotionError(f"clip '{self.name}': provenance must map words to text")
        return dict(given)

    def _checked_array(self, field: str) -> np.ndarray:
        try:
            array = np.array(getattr(self, field), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise MotionError(f"clip '{self.name}': {field} is not numbers: {error}") from None
        joints = len(self.joint_names)
        tail = {"root_pos": (3,), "root_rot": (4,), "joint_rot": (joints, 4)}[field]
        if array.ndim != len(tail) + 1 or array.shape[1:] != tail:
            wanted = ", ".join(["frames", *(str(size) for size in tail)])
            raise MotionError(
                f"clip '{self.name}': {field} must have shape ({wanted}), got {array.shape}"
            )
        if field == "root_pos" and len(array) < 2:
            raise MotionError(f"clip '{self.name}' needs at least 2 frames, got {len(array)}")
        if len(array) != len(self.root_pos):
            raise MotionError(
                f"clip '{self.name}': {field} has {len(array)} frames, "
                f"root_pos has {len(self.root_pos)}"
            )
        bad = ~np.isfinite(array)
        if bad.any():
            raise MotionError(
                f"clip '{self.name}': {field} holds NaN or infinity in {self._place(field, bad)}"
            )
        return array

    def _unit_quaternions(self, field: str) -> np.ndarray:
        array = getattr(self, field).astype(np.float64)
        length = np.linalg.norm(array, axis=-1)
        off = np.abs(length - 1.0)
        if off.max() > QUAT_TOLERANCE:
            worst = np.unravel_index(off.argmax(), off.shape)
            raise MotionError(
                f"clip '{self.name}': {field} is no rotation in "
                f"{self._place(field, off == off[worst])}: a quaternion of length "
                f"{length[worst]:.3f}"
            )
        # What is unit length to float precision stays as it is: load and save change no bit.
        scale = np.where(off < 1e-6, 1.0, length)
        return (array / scale[..., None]).astype(np.float32)

    def _place(self, field: str, where: np.ndarray) -> str:
        index = np.argwhere(where)[0]
        place = f"frame {index[0]}"
        return f"{place}, joint '{self.joint_names[index[1]]}'" if field == "joint_rot" else place


def load_clip(path: Union[str, Path]) -> Clip:
    """Read a clip from its .npz file; nothing in the file is unpickled.

    Raises:
        MotionError: the file is missing, truncated, not a clip, altered, or too new.
    """
    path = Path(path)
    content = read_content(path)
    try:
        return clip_of(content)
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None


def read_content(path: Path) -> dict[str, Any]:
    """What a clip's .npz file holds, known to be whole, but the motion itself not yet checked.

    Raises:
        MotionError: the file is missing, truncated, not a clip, altered, or too new.
    """
    content = read_members(path, read_bytes(path))
    if "format" not in content or str(content["format"]) != FORMAT:
        raise MotionError(
            f"{path} is not a motion clip of this package (it holds: "
            f"{', '.join(sorted(content)) or 'nothing'}); convert it with an importer"
        )
    try:
        version = int(content["version"])
    except (KeyError, TypeError, ValueError):
        raise MotionError(f"{path} is damaged: it does not say its format version") from None
    if version > FORMAT_VERSION:
        raise MotionError(
            f"{path} has clip format {version}, and this version reads up to {FORMAT_VERSION}; "
            "use a newer mimickit"
        )
    missing = [key for key in (*_KEYS, "content_hash") if key not in content]
    if missing:
        raise MotionError(f"{path} is damaged: it lacks {', '.join(missing)}")
    stated = str(content.pop("content_hash"))
    if stated != _content_hash(content):
        raise MotionError(
            f"{path} is damaged or was edited: its content does not match the sha256 stored in it"
        )
    return content


def clip_of(content: Mapping[str, Any]) -> Clip:
    """The clip that the content of a file describes.

    Raises:
        MotionError: it describes none, e.g. because a number is NaN.
    """
    try:
        return Clip(
            name=str(content["name"]),
            fps=content["fps"].item(),
            loop=bool(content["loop"]),
            joint_names=tuple(str(name) for name in np.atleast_1d(content["joint_names"])),
            root_pos=content["root_pos"],
            root_rot=content["root_rot"],
            joint_rot=content["joint_rot"],
            provenance=json.loads(str(content["provenance"])),
        )
    except ValueError as error:
        raise MotionError(f"the file is damaged: {error}") from None


def save_clip(path: Union[str, Path], clip: Clip) -> None:
    """Write a clip to an .npz file, whole or not at all; equal clips give equal bytes.

    Raises:
        MotionError: the path does not end in .npz, or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise MotionError(f"a clip's file name must end in .npz, got {path}")
    content = _content(clip)
    content["content_hash"] = np.array(_content_hash(content))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)  # numpy stamps members with 1980-01-01
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise MotionError(f"cannot write {path}: {error.strerror or error}") from None


def content_hash(clip: Clip) -> str:
    """The sha256 that the clip's file carries: what a clip made from it states as its source's."""
    return _content_hash(_content(clip))


def read_bytes(path: Path) -> bytes:
    """The bytes of a motion file.

    Raises:
        MotionError: the file is missing, unreadable, empty, or a Git-LFS pointer.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MotionError(f"there is no motion file {path}.{closest_beside(path)}") from None
    except OSError as error:
        raise MotionError(f"cannot read {path}: {error.strerror or error}") from None
    if not data:
        raise MotionError(f"{path} is empty")
    if data.startswith(_LFS_POINTER):
        raise MotionError(
            f"{path} is a Git-LFS pointer, not the motion itself; fetch it with `git lfs pull`"
        )
    return data


def source_hash(data: bytes) -> str:
    """The sha256 of a source file, for a clip's provenance."""
    return hashlib.sha256(data).hexdigest()


def read_members(path: Path, data: bytes, skip_pickled: bool = False) -> dict[str, Any]:
    """The arrays of an .npz file by name; nothing is unpickled.

    Args:
        path: for messages. data: the file's bytes.
        skip_pickled: leave out members that only unpickling would give, instead of refusing.

    Raises:
        MotionError: the file is no .npz, is damaged, or holds pickled objects.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        wrong = "is truncated" if data.startswith(b"PK") else "is not an .npz file"
        raise MotionError(f"{path} {wrong}")
    content: dict[str, Any] = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for key in archive.files:
                try:
                    content[key] = np.asarray(archive[key])
                except ValueError as error:
                    if not (skip_pickled and "allow_pickle" in str(error)):
                        raise
        return content
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise MotionError(f"{path} holds pickled objects, which are not read") from None
        raise MotionError(f"{path} is damaged: {error}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        tokenize.TokenError,
        EOFError,
        KeyError,
        MemoryError,
        OSError,
        OverflowError,
        RuntimeError,  # encrypted member; NotImplementedError: unknown compression
        SyntaxError,
        TypeError,
    ) as error:
        raise MotionError(f"{path} is damaged: {error}") from None


def _content(clip: Clip) -> dict[str, Any]:
    """All members of a clip's file but the hash over them."""
    return {
        "format": np.array(FORMAT),
        "version": np.array(FORMAT_VERSION),
        "name": np.array(clip.name),
        "fps": np.array(clip.fps),
        "loop": np.array(clip.loop),
        "joint_names": np.array(clip.joint_names),
        "root_pos": clip.root_pos,
        "root_rot": clip.root_rot,
        "joint_rot": clip.joint_rot,
        "provenance": np.array(json.dumps(clip.provenance, sort_keys=True)),
    }


def _content_hash(content: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(content):
        array = np.ascontiguousarray(content[key])
        digest.update(f"{key}|{array.dtype.str}|{np.shape(content[key])}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _with_closest(names: Sequence[str], known: Sequence[str]) -> str:
    """The names, each with what it may be mistaken for, or 'none'."""

    def one(name: str) -> str:
        near = closest(name, known, count=1)
        return f"{name} (closest: {near[0]})" if near else name

    return ", ".join(one(name) for name in names) or "none"
