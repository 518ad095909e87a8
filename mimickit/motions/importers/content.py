"""What a foreign motion file is made of, told by its bytes: the first step of every import."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch

from mimickit.errors import MotionError
from mimickit.motions.clip import read_bytes, read_members
from mimickit.motions.importers.unpickling import decompressed, unpickle

_NPY = b"\x93NUMPY"


@dataclass(frozen=True)
class Table:
    """Rows of numbers with commas between them.

    Attributes:
        header: names of the columns; empty where the file has none.
        rows: [T, columns].
    """

    header: tuple[str, ...]
    rows: np.ndarray


@dataclass(frozen=True)
class Content:
    """A file, read as far as its container goes.

    Attributes:
        path: the file.
        data: its bytes, for its sha256.
        kind: `npz`, `npy`, `torch`, `pickle`, `json`, `csv` or `bvh`.
        value: a mapping of arrays (npz), what was pickled (npy, torch, pickle), what JSON holds,
            a `Table` (csv) or the text (bvh).
    """

    path: Path
    data: bytes
    kind: str
    value: Any

    def has(self, *keys: str) -> bool:
        """Whether the value is a mapping with all these keys."""
        return isinstance(self.value, dict) and all(key in self.value for key in keys)


def read_content(path: Union[str, Path]) -> Content:
    """Read a file of any container this package knows; nothing in it is run.

    Raises:
        MotionError: it is missing, damaged, hostile, a Git-LFS pointer, or of no known kind.
    """
    path = Path(path)
    data = read_bytes(path)
    if data.startswith(_NPY):
        return Content(path, data, "npy", _read_npy(path, data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        if any(name.endswith("/data.pkl") for name in zipfile.ZipFile(io.BytesIO(data)).namelist()):
            return Content(path, data, "torch", _read_torch(path, data))
        return Content(path, data, "npz", read_members(path, data, skip_pickled=True))
    if data.startswith(b"PK"):
        raise MotionError(f"{path} is truncated")
    if data.startswith(b"\x80") or decompressed(path, data) is not data:
        return Content(path, data, "pickle", unpickle(path, data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = ""
    start = text.lstrip()
    if start.startswith("HIERARCHY"):
        return Content(path, data, "bvh", text)
    if start.startswith(("{", "[")):
        return Content(path, data, "json", _read_json(path, text))
    table = _read_table(path, text)
    if table is not None:
        return Content(path, data, "csv", table)
    if path.suffix.lower() in (".pkl", ".pickle", ".joblib"):  # protocols 0 and 1 have no magic
        return Content(path, data, "pickle", unpickle(path, data))
    raise MotionError(
        f"{path} is no motion file of a known kind: not .npz, .npy, torch, pickle, JSON, CSV or BVH"
    )


def _read_npy(path: Path, data: bytes) -> Any:
    """A numeric array as it is; what an array of objects holds, through our unpickler."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
        if header is None:
            header = np.lib.format.read_array_header_2_0
        if not header(file)[2].hasobject:
            return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, KeyError) as error:
        raise MotionError(f"{path} is damaged: {error}") from None
    return unpickle(path, data[file.tell() :])


def _read_torch(path: Path, data: bytes) -> Any:
    """What `torch.save` saved, tensors as arrays; enums of ProtoMotions' states as their values."""
    states = _state_enums(data)
    allowed = torch.serialization.safe_globals(states) if states else contextlib.nullcontext()
    try:
        with allowed:
            saved = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        raise MotionError(
            f"{path} is refused: it asks for more than tensors, and may be hostile: {reason}"
        ) from None
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MotionError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(saved, dict):
        return saved
    return {
        key: value.numpy() if isinstance(value, torch.Tensor) else value
        for key, value in saved.items()
    }


def _state_enums(data: bytes) -> list[Any]:
    """Stand-ins for the state enum that some .motion files hold beside their tensors."""
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # before torch 2.6
        return []
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError):
        return []  # damaged: loading it says how
    ours = [n for n in names if n.startswith("protomotions.") and n.endswith(".StateConversion")]
    lookups = [n for n in names if n.split(".")[-1] == "getattr"] if ours else []
    return [(_EnumValue, name) for name in ours] + [(_member, name) for name in lookups]


class _EnumValue(str):
    """The value of an enum whose class is not here."""

    __slots__ = ()


def _member(of: Any, name: Any) -> _EnumValue:
    """What Python 3.11.0 to 3.11.3 look up an enum's member with: `getattr`, for one enum."""
    if of is not _EnumValue or not isinstance(name, str):
        raise pickle.UnpicklingError("getattr of something else than an enum")
    return _EnumValue(name.lower())  # the one that files have is COMMON = "common"


def _read_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MotionError(f"{path} is not readable JSON: {error}") from None


def _read_table(path: Path, text: str) -> Union[Table, None]:
    """A table of numbers, at most its first line a header; None for any other text."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or "," not in lines[0]:
        return None
    header: tuple[str, ...] = ()
    if not all(_is_number(word) for word in lines[0].split(",")):
        header = tuple(word.strip().strip('"') for word in lines.pop(0).split(","))
    rows = []
    for number, line in enumerate(lines):
        words = line.rstrip(",").split(",")
        if not all(_is_number(word) for word in words):
            if not rows:
                return None
            raise MotionError(
                f"{path}: row {number} of the table holds something else than numbers"
            )
        rows.append([float(word) for word in words])
        if len(rows[-1]) != len(rows[0]):
            raise MotionError(
                f"{path}: row {number} of the table has {len(rows[-1])} numbers, row 0 has "
                f"{len(rows[0])}"
            )
    if not rows or (header and len(header) != len(rows[0])):
        return None
    bad = np.argwhere(~np.isfinite(np.array(rows)))
    if len(bad):
        raise MotionError(f"{path}: row {bad[0][0]} holds NaN or infinity in column {bad[0][1]}")
    return Table(header, np.array(rows))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
