"""What the CUDA driver says of this machine, asked without importing torch."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

LIBRARY = "libcuda.so.1"
# CUdevice_attribute of the CUDA driver API (cuda.h).
CAPABILITY_MAJOR, CAPABILITY_MINOR, MEMORY_POOLS = 75, 76, 115

# What warp-lang 1.19 asks for. Its wheels on PyPI are built with CUDA 13.4 and take any CUDA 13
# driver and Turing or newer; those named +cu12 take CUDA 12 drivers, of which MuJoCo Warp's solver
# loops (conditional graph nodes) need 12.4. Source: warp 1.19.0, README and context.py.
WARP_DRIVER, WARP_CAPABILITY = (13, 0), (7, 5)
WARP_CU12_DRIVER = (12, 4)


@dataclass(frozen=True)
class CudaDevice:
    """One GPU.

    Attributes:
        name: as the driver calls it.
        memory: all of it [bytes].
        capability: compute capability, e.g. (9, 0).
        memory_pools: whether graphs may allocate memory.
    """

    name: str
    memory: int
    capability: tuple[int, int]
    memory_pools: bool


@dataclass(frozen=True)
class CudaDriver:
    """What this process may use.

    Attributes:
        version: the newest CUDA that the driver supports; None where there is no driver.
        devices: in the order of their numbers.
        failure: why there are no devices; empty if there are.
    """

    version: Optional[tuple[int, int]]
    devices: tuple[CudaDevice, ...]
    failure: str = ""


def cuda_driver() -> CudaDriver:
    """Ask the driver.

    Source: CUDA driver API; its functions return 0 on success.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return CudaDriver(None, (), "no CUDA driver is installed")
    number, count = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(number))
    version = (number.value // 1000, number.value % 1000 // 10)
    failed = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if failed:
        return CudaDriver(version, (), _error_name(library, failed))
    devices = tuple(_device(library, index) for index in range(count.value))
    return CudaDriver(version, devices, "" if devices else "it shows no device")


def torch_build() -> Optional[str]:
    """The CUDA version that the installed torch was built for, read without importing it.

    Returns:
        E.g. "13.0"; "" for a CPU build; None if torch is not installed or does not say.
    """
    # Neither a package that is not installed nor a bare folder has an origin.
    origin = getattr(importlib.util.find_spec("torch"), "origin", None)
    if origin is None:
        return None
    try:
        text = Path(origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b.*=\s*(?:None|'([\d.]+)')", text, re.MULTILINE)
    return (found.group(1) or "") if found else None


def cuda_obstacle(driver: CudaDriver, torch_cuda: Optional[str], warp: Optional[str]) -> str:
    """Why torch and warp cannot use the GPU of a machine that has one; '' if they can.

    Args:
        torch_cuda: see `torch_build`.
        warp: the installed version of warp-lang; None if it is not installed.
    """
    if torch_cuda == "":
        return "the installed torch is a CPU build"
    if driver.version is None:
        return ""
    has = shown(driver.version)
    if torch_cuda and driver.version[0] < int(torch_cuda.split(".")[0]):
        return f"torch is built for CUDA {torch_cuda}, the driver supports {has}"
    if warp is None:
        return ""
    needed = WARP_CU12_DRIVER if "+cu12" in warp else WARP_DRIVER
    if driver.version < needed:
        return f"warp-lang {warp} needs a driver of CUDA {shown(needed)}, this one supports {has}"
    if "+cu12" not in warp and driver.devices and driver.devices[0].capability < WARP_CAPABILITY:
        return (
            f"warp-lang {warp} needs compute capability {shown(WARP_CAPABILITY)}, "
            f"{driver.devices[0].name} has {shown(driver.devices[0].capability)}"
        )
    return ""


def shown(version: tuple[int, int]) -> str:
    """(12, 4) as 12.4."""
    return f"{version[0]}.{version[1]}"


def _device(library: Any, index: int) -> CudaDevice:
    handle, memory = ctypes.c_int(0), ctypes.c_size_t(0)
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)

    def attribute(which: int) -> int:
        value = ctypes.c_int(0)
        library.cuDeviceGetAttribute(ctypes.byref(value), which, handle)
        return value.value

    return CudaDevice(
        name=name.value.decode(errors="replace"),
        memory=memory.value,
        capability=(attribute(CAPABILITY_MAJOR), attribute(CAPABILITY_MINOR)),
        memory_pools=bool(attribute(MEMORY_POOLS)),
    )


def _error_name(library: Any, code: int) -> str:
    name = ctypes.c_char_p()
    library.cuGetErrorName(code, ctypes.byref(name))
    return (name.value or b"").decode() or f"CUDA error {code}"
