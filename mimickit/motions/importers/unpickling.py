"""Reads pickles of numbers and containers; what else a pickle asks for is refused, and never runs.

Plain pickles, joblib's (arrays as raw bytes between the pickle's frames, the whole possibly
compressed) and the object arrays of .npy files. Sources: Python's pickle protocol; joblib
numpy_pickle.py (NumpyArrayWrapper); numpy's NPY format.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np

from mimickit.errors import MotionError

_MOST_BYTES = 4 << 30  # of a decompressed file: more is an attack or no motion clip
_COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
_JOBLIB_ARRAY = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_LEAVES = {float, int, bool, str, bytes, type(None)}
_BAD_PICKLE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    UnicodeError,
    ValueError,
)


def unpickle(path: Path, data: bytes) -> Any:
    """What a pickle holds, as dicts, lists, tuples, text, numbers and numpy arrays.

    Args:
        path: for messages.
        data: the pickle, by itself, by joblib, compressed or not.

    Raises:
        MotionError: it is damaged, or asks for anything but numbers and containers.
    """
    data = decompressed(path, data)
    reader: Any = _JoblibUnpickler if _JOBLIB_ARRAY[1].encode() in data else _Unpickler
    try:
        return _plain(reader(io.BytesIO(data)).load(), {})
    except _Refused as error:
        raise MotionError(
            f"{path} is refused: its pickle asks for {error}, and a clip needs only numbers and "
            "containers; it may be hostile"
        ) from None
    except _BAD_PICKLE as error:
        raise MotionError(f"{path} is no readable pickle: {error}") from None


def decompressed(path: Path, data: bytes) -> bytes:
    """The bytes behind zlib, gzip, bz2 or xz; those of any other file as they are.

    Raises:
        MotionError: the compression is damaged, or hides more than 4 GiB.
    """
    try:
        if data[:1] == b"x" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
            inflated = zlib.decompressobj().decompress(data, _MOST_BYTES)
        else:
            opener = next((make for magic, make in _COMPRESSIONS if data.startswith(magic)), None)
            if opener is None:
                return data
            with opener(io.BytesIO(data)) as file:
                inflated = file.read(_MOST_BYTES)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise MotionError(f"{path} is damaged: {error}") from None
    if len(inflated) >= _MOST_BYTES:
        raise MotionError(f"{path} is refused: it unpacks to more than {_MOST_BYTES >> 30} GiB")
    return inflated


class _Refused(Exception):
    """A pickle asks for a global that a clip has no use for."""


class _Globals:
    """Resolves nothing but our own stand-ins for numpy's constructors and a few names."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global of the pickle, or `_Refused`."""
        if name == "LoopMode" and module.split(".")[-1] == "motion":
            return _LoopMode()
        if (module, name) == _JOBLIB_ARRAY:
            return _JoblibArray
        try:
            return _StandIn(_STAND_INS[(module, name)])
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        """Never: a clip refers to nothing outside itself."""
        raise _Refused(f"an outside object {pid!r}")


class _Unpickler(_Globals, pickle.Unpickler):
    """For plain pickles."""


# The pickle module's Python class, ten times as slow: joblib puts raw arrays between the opcodes,
# and only there they can be read. Its typing stubs lack it.
_PythonUnpickler: Any = pickle._Unpickler


class _JoblibUnpickler(_Globals, _PythonUnpickler):  # the first has the say in what is found
    """For joblib's pickles."""

    dispatch = dict(_PythonUnpickler.dispatch)  # noqa: RUF012 (the base class has it so)

    def __init__(self, file: io.BytesIO) -> None:
        _PythonUnpickler.__init__(self, file)
        self._file = file

    def load_build(self) -> None:
        """Set an object's state; one of joblib's arrays then follows as raw bytes."""
        _PythonUnpickler.load_build(self)
        if isinstance(self.stack[-1], _JoblibArray):
            self.stack[-1] = self.stack[-1].read(self._file)

    dispatch[pickle.BUILD[0]] = load_build


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """`value` with our arrays made numpy's; `done` keeps what was met already, by identity."""
    if isinstance(value, _Array):
        return _plain(value.values, done)
    if not isinstance(value, (dict, list, tuple)):
        if isinstance(value, (_StandIn, _Dtype, _JoblibArray, type)):
            raise _Refused("a function, a type or an array without data as a value")
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            result: Any = {key: _plain(item, done) for key, item in value.items()}
        elif _LEAVES.issuperset(map(type, value)):  # rows of numbers, of which there are many
            result = value
        else:
            result = type(value)(_plain(item, done) for item in value)
        done[id(value)] = (result, value)  # the second keeps the identity from being used again
    return done[id(value)][0]


class _StandIn:
    """A global as a pickle sees it: to be called, and not to be changed."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change to a function")


class _LoopMode(_StandIn):
    """MimicKit's enum of loop modes, whose members are their values: LoopMode(1), LoopMode.WRAP."""

    __slots__ = ()
    members: ClassVar = {"CLAMP": 0, "WRAP": 1}

    def __init__(self) -> None:
        super().__init__(int)


def _member(of: Any = None, name: Any = None, *_: Any) -> int:
    """What Python 3.11.0 to 3.11.3 look up an enum's member with: `getattr`, for one enum."""
    if not isinstance(of, _LoopMode) or name not in of.members:
        raise _Refused("builtins.getattr")
    return of.members[name]


class _Dtype:
    """A kind of number. Numpy's own would take flags from the pickle that break memory safety."""

    __slots__ = ("dtype", "objects")

    def __init__(self, spec: str, *_: Any) -> None:
        if not isinstance(spec, str) or np.dtype(spec).kind not in "biufO":
            raise _Refused(f"an array of {spec!r}")
        self.dtype = np.dtype(spec)
        self.objects = self.dtype.kind == "O"

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">") and not self.objects:  # of the rest, numbers need nothing
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array filled the way numpy pickles fill theirs; one of objects becomes a list."""

    __slots__ = ("values",)

    def __init__(self, *_: Any) -> None:
        self.values: Any = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        if isinstance(kind, _Dtype) and kind.objects:
            if not isinstance(data, list) or shape not in ((), (len(data),)):
                raise _Refused(f"an array of objects of shape {shape!r}")
            self.values = data if shape else data[0]
        else:
            self.values = _numbers(data, kind).reshape(shape, order="F" if fortran else "C")


class _JoblibArray:
    """joblib's note that an array's bytes follow."""

    __slots__ = ("dtype", "order", "padded", "shape")

    def __init__(self) -> None:
        self.dtype: Any = None
        self.shape: tuple = ()
        self.order = "C"
        self.padded = False

    def __setstate__(self, state: dict) -> None:
        self.dtype, self.shape, self.order = state["dtype"], state["shape"], state["order"]
        self.padded = state.get("numpy_array_alignment_bytes") is not None

    def read(self, file: io.BytesIO) -> _Array:
        """The array, from where the file is now; its first byte says how many to skip."""
        if not isinstance(self.dtype, _Dtype) or self.dtype.objects:
            raise _Refused(f"an array of {self.dtype!r}")
        if self.padded:
            file.read(file.read(1)[0])
        count = 1
        for size in self.shape:
            count *= int(size)
        wanted = count * self.dtype.dtype.itemsize
        data = file.read(wanted) if wanted >= 0 else b""
        if len(data) != wanted:
            raise EOFError(f"an array of {wanted} bytes ends after {len(data)}")
        return _from_buffer(data, self.dtype, self.shape, self.order)


def _from_buffer(data: Any, kind: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.values = _numbers(data, kind).reshape(shape, order="F" if order == "F" else "C")
    return array


def _scalar(kind: _Dtype, data: bytes) -> Any:
    return _numbers(data, kind)[0].item()


def _numbers(data: Any, kind: Any) -> np.ndarray:
    if not isinstance(kind, _Dtype) or kind.objects:
        raise _Refused(f"an array of {kind!r}")
    return np.frombuffer(data, dtype=kind.dtype)


def _array_type(*_: Any) -> None:
    raise _Refused("numpy.ndarray to be called")  # pickles of arrays only name it


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"the codec {encoding!r}")
    return text.encode("latin1")


def _ordered_dict(items: Optional[list] = None) -> dict:
    return dict(items or [])


# Pickles of numpy 1 name numpy.core, of numpy 2 numpy._core; old protocols encode bytes as text.
_STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _array_type,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered_dict,
    ("builtins", "getattr"): _member,
    ("__builtin__", "getattr"): _member,
}
for _core in ("numpy.core", "numpy._core"):
    _STAND_INS[(f"{_core}.multiarray", "_reconstruct")] = _Array
    _STAND_INS[(f"{_core}.multiarray", "scalar")] = _scalar
    _STAND_INS[(f"{_core}.numeric", "_frombuffer")] = _from_buffer
