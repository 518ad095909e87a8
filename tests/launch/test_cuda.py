"""The CUDA driver as it answers, what keeps a GPU from being used, and the engine taken then."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from mimickit.launch import cuda, resolvers
from mimickit.launch.cuda import CudaDevice, CudaDriver, cuda_driver, cuda_obstacle, torch_build

H200 = CudaDevice("NVIDIA H200", 140 * 2**30, (9, 0), True)
PASCAL = CudaDevice("NVIDIA P100", 16 * 2**30, (6, 0), False)


class FakeLibrary:
    """libcuda as its functions answer: everything is an out parameter."""

    def __init__(self, version, devices=(), status=0):
        self.version, self.devices, self.status = version, devices, status

    def cuDriverGetVersion(self, out):  # noqa: N802 (the name is CUDA's)
        out._obj.value = self.version
        return 0

    def cuInit(self, flags):  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, out):  # noqa: N802
        out._obj.value = len(self.devices)
        return 0

    def cuDeviceGet(self, out, index):  # noqa: N802
        out._obj.value = index
        return 0

    def cuDeviceGetName(self, buffer, size, handle):  # noqa: N802
        buffer.value = self.devices[handle.value].name.encode()
        return 0

    def cuDeviceTotalMem_v2(self, out, handle):  # noqa: N802
        out._obj.value = self.devices[handle.value].memory
        return 0

    def cuDeviceGetAttribute(self, out, which, handle):  # noqa: N802
        device = self.devices[handle.value]
        # CUdevice_attribute: 75, 76 compute capability, 115 memory pools.
        answers = {75: device.capability[0], 76: device.capability[1], 115: device.memory_pools}
        out._obj.value = int(answers[which])
        return 0

    def cuGetErrorName(self, code, out):  # noqa: N802
        out._obj.value = {100: b"CUDA_ERROR_NO_DEVICE"}.get(code)
        return 0


def answering(monkeypatch, library):
    """Put a library, or an error, in the place of libcuda."""

    def load(name):
        if library is None:
            raise OSError("libcuda.so.1: cannot open shared object file")
        return library

    monkeypatch.setattr(cuda, "ctypes", SimpleNamespace(**{**vars(ctypes), "CDLL": load}))


def test_driver_tells_its_version_and_devices(monkeypatch):
    answering(monkeypatch, FakeLibrary(12040, (H200, PASCAL)))
    # CUDA writes 12.4 as 1000 * 12 + 10 * 4.
    assert cuda_driver() == CudaDriver((12, 4), (H200, PASCAL))
    assert resolvers.cuda_devices() == 2


@pytest.mark.parametrize(
    ("library", "driver"),
    [
        (None, CudaDriver(None, (), "no CUDA driver is installed")),
        (FakeLibrary(13000, status=100), CudaDriver((13, 0), (), "CUDA_ERROR_NO_DEVICE")),
        (FakeLibrary(13000, status=803), CudaDriver((13, 0), (), "CUDA error 803")),
        (FakeLibrary(13000), CudaDriver((13, 0), (), "it shows no device")),
    ],
)
def test_no_devices_come_with_the_reason(monkeypatch, library, driver):
    answering(monkeypatch, library)
    assert cuda_driver() == driver
    assert resolvers.cuda_devices() == 0


@pytest.mark.parametrize(
    ("line", "build"),
    [
        ("cuda: Optional[str] = None", ""),
        ("cuda: Optional[str] = '13.0'", "13.0"),
        ("cuda = '11.8'", "11.8"),
        ("hip = None", None),
        (None, None),
    ],
)
def test_torch_build_is_read_from_its_file(monkeypatch, tmp_path, line, build):
    if line is not None:
        (tmp_path / "version.py").write_text(f"__version__ = '2.0'\n{line}\ngit = 'abc'\n")
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: spec)
    assert torch_build() == build


def test_torch_build_is_unknown_without_torch(monkeypatch):
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    assert torch_build() is None


def test_torch_build_is_what_torch_says():
    import torch

    assert torch_build() == (torch.version.cuda or "")


def driver(version, device=H200):
    return CudaDriver(version, (device,))


@pytest.mark.parametrize(
    ("found", "torch_cuda", "warp", "obstacle"),
    [
        (driver((13, 0)), "13.0", "1.19.0", ""),
        (driver((13, 2)), "12.8", "1.19.0", ""),
        (driver((13, 0)), None, None, ""),
        (driver((13, 0)), "", "1.19.0", "the installed torch is a CPU build"),
        (driver((12, 8)), "13.0", None, "torch is built for CUDA 13.0, the driver supports 12.8"),
        (
            driver((12, 8)), "12.9", "1.19.0",
            "warp-lang 1.19.0 needs a driver of CUDA 13.0, this one supports 12.8",
        ),
        (driver((12, 4)), "12.9", "1.19.0+cu12", ""),
        (
            driver((12, 2)), "12.9", "1.19.0+cu12",
            "warp-lang 1.19.0+cu12 needs a driver of CUDA 12.4, this one supports 12.2",
        ),
        (
            driver((13, 0), PASCAL), "13.0", "1.19.0",
            "warp-lang 1.19.0 needs compute capability 7.5, NVIDIA P100 has 6.0",
        ),
    ],
)  # fmt: skip
def test_obstacle_says_what_is_too_old(found, torch_cuda, warp, obstacle):
    assert cuda_obstacle(found, torch_cuda, warp) == obstacle


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend a machine with both engines: driver, torch build."""
    monkeypatch.delenv("MIMICKIT_ENGINE", raising=False)
    (tmp_path / "engine").mkdir()
    for name in ("auto", "mujoco", "mujoco_warp"):
        (tmp_path / "engine" / f"{name}.yaml").touch()
    monkeypatch.setattr(resolvers, "CONF", tmp_path)
    monkeypatch.setattr(resolvers.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(resolvers, "installed", lambda name: "1.19.0")

    def pretend(found, torch_cuda):
        monkeypatch.setattr(resolvers, "cuda_driver", lambda: found)
        monkeypatch.setattr(resolvers, "torch_build", lambda: torch_cuda)

    return pretend


@pytest.mark.parametrize(
    ("found", "torch_cuda", "engine", "why"),
    [
        (driver((13, 0)), "13.0", "mujoco_warp", "a CUDA device and mujoco_warp were found"),
        (CudaDriver(None, ()), "13.0", "mujoco", "no CUDA device was found"),
        (driver((13, 0)), "", "mujoco", "the installed torch is a CPU build"),
        (driver((12, 8)), "12.9", "mujoco", "warp-lang 1.19.0 needs a driver of CUDA 13.0"),
    ],
)
def test_engine_auto_takes_the_gpu_only_if_torch_and_warp_can_use_it(
    machine, found, torch_cuda, engine, why
):
    machine(found, torch_cuda)
    name, reason = resolvers.choose_engine()
    assert name == engine
    assert reason.startswith(why)


@pytest.mark.gpu
def test_the_real_driver_agrees_with_torch():
    import torch

    found = cuda_driver()
    assert len(found.devices) == torch.cuda.device_count()
    assert found.devices[0].name == torch.cuda.get_device_name(0)
    assert found.devices[0].capability == torch.cuda.get_device_capability(0)
    assert found.devices[0].memory == pytest.approx(
        torch.cuda.get_device_properties(0).total_memory, rel=0.05
    )
