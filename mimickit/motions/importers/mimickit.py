"""Reads MimicKit's .pkl clips through an unpickler that knows containers and numbers only.

Layout: a dict of `loop_mode` (0 clamp, 1 wrap), `fps` and `frames` (T, 6 + D): root position [m],
root exp map, then the dofs in the character's order. Source: xbpeng/MimicKit f8d0d70, anim/motion.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch

from mimickit.characters import Character, Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_exp_map
from mimickit.motions.clip import Clip, read_bytes, source_hash

TOOL = "mimickit.motions.importers.mimickit"
TOOL_VERSION = "1"


def read_mimickit(path: Union[str, Path], character: Character) -> Clip:
    """Read one MimicKit clip, made for `character`; its name is the file's stem.

    Raises:
        MotionError: the file is missing, damaged, hostile, a Git-LFS pointer, or has another
            number of degrees of freedom than the character.
    """
    path = Path(path)
    data = read_bytes(path)
    content = _unpickle(path, data)
    if not isinstance(content, Mapping):
        raise MotionError(f"{path} is no MimicKit clip: a {type(content).__name__}, not a dict")
    missing = [key for key in ("loop_mode", "fps", "frames") if key not in content]
    if missing:
        raise MotionError(
            f"{path} is no MimicKit clip: it lacks {', '.join(missing)}, and has "
            f"{', '.join(sorted(map(str, content))) or 'nothing'}"
        )
    frames = torch.from_numpy(_frames(path, content["frames"], character))
    joint_rot = Kinematics(character, dtype=torch.float64).dof_to_rot(frames[:, 6:])
    movable = character.movable_joints
    try:
        return Clip(
            name=path.stem,
            fps=content["fps"],
            loop=_loop(path, content["loop_mode"]),
            joint_names=tuple(joint.name for joint in movable),
            root_pos=frames[:, :3].numpy(),
            root_rot=quat_from_exp_map(frames[:, 3:6]).numpy(),
            joint_rot=joint_rot[:, [joint.body - 1 for joint in movable]].numpy(),
            provenance={
                "source": path.name,
                "licence": "unknown",
                "tool": TOOL,
                "tool_version": TOOL_VERSION,
                "source_hash": source_hash(data),
                "notes": "",
            },
        )
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None


def _frames(path: Path, rows: Any, character: Character) -> np.ndarray:
    """The frames [T, 6 + D] as float64, all finite."""
    width = 6 + character.num_dofs
    try:
        frames: np.ndarray = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        frames = np.empty(0)
    if frames.ndim != 2:
        raise MotionError(f"{path}: frames must be rows of {width} numbers each, all as long")
    if frames.shape[1] != width:
        raise MotionError(
            f"{path} is not for character '{character.name}': its frames have {frames.shape[1]} "
            f"numbers, the character needs {width} = 6 for the root + {character.num_dofs} dofs"
        )
    bad = np.argwhere(~np.isfinite(frames))
    if len(bad):
        raise MotionError(f"{path}: frame {bad[0][0]} holds NaN or infinity, number {bad[0][1]}")
    return frames


def _loop(path: Path, mode: Any) -> bool:
    if isinstance(mode, (int, float)) and mode in (0, 1):
        return bool(mode)
    raise MotionError(f"{path}: loop_mode must be 0 (clamp) or 1 (wrap), got {mode!r}")


def _unpickle(path: Path, data: bytes) -> Any:
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except _Refused as error:
        raise MotionError(
            f"{path} is refused: its pickle asks for {error}, and a clip needs only numbers and "
            "containers; it may be hostile"
        ) from None
    except (
        pickle.UnpicklingError,
        struct.error,
        AttributeError,
        EOFError,
        ImportError,
        IndexError,
        KeyError,
        MemoryError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise MotionError(f"{path} is no readable pickle: {error}") from None


class _Refused(Exception):
    """A pickle asks for a global that a clip has no use for."""


class _Unpickler(pickle.Unpickler):
    """Resolves nothing but our own stand-ins for numpy's constructors and the loop mode."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global of the pickle, or `_Refused`."""
        if name == "LoopMode" and module.split(".")[-1] == "motion":
            return _StandIn(int)
        try:
            return _StandIn(_STAND_INS[(module, name)])
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Never: a clip refers to nothing outside itself."""
        raise _Refused(f"an outside object {pid!r}")


class _StandIn:
    """A global as a pickle sees it: to be called, and not to be changed."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change to a function")


class _Dtype:
    """A kind of number. Numpy's own would take flags from the pickle that break memory safety."""

    __slots__ = ("dtype",)

    def __init__(self, spec: str, *_: Any) -> None:
        if not isinstance(spec, str) or np.dtype(spec).kind not in "biuf":
            raise _Refused(f"an array of {spec!r}")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">"):  # of the rest, numbers need nothing
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array of numbers, filled the way numpy pickles fill theirs."""

    __slots__ = ("values",)

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        self.values = _numbers(data, kind).reshape(shape, order="F" if fortran else "C")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype)


def _from_buffer(data: Any, kind: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.values = _numbers(data, kind).reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(kind: _Dtype, data: bytes) -> Any:
    return _numbers(data, kind)[0].item()


def _numbers(data: Any, kind: Any) -> np.ndarray:
    if not isinstance(kind, _Dtype):
        raise _Refused(f"an array of {kind!r}")
    return np.frombuffer(data, dtype=kind.dtype)


def _array_type(*_: Any) -> None:
    raise _Refused("numpy.ndarray to be called")  # pickles of arrays only name it


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"the codec {encoding!r}")
    return text.encode("latin1")


# Pickles of numpy 1 name numpy.core, of numpy 2 numpy._core; old protocols encode bytes as text.
_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _array_type,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[(f"{_core}.multiarray", "_reconstruct")] = _Array
    _STAND_INS[(f"{_core}.multiarray", "scalar")] = _scalar
    _STAND_INS[(f"{_core}.numeric", "_frombuffer")] = _from_buffer
