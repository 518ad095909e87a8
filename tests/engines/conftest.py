"""Engines to test, and characters so small that their physics can be worked out by hand."""

from __future__ import annotations

import functools
import importlib

import pytest
import torch

from mimickit.characters import load_character
from tests.engines.states import agree, same_bits

# What runs the contract: engine name -> (module, class, settings on the CPU).
ENGINES = {
    "mujoco": ("mimickit.engines.mujoco", "MujocoEngine", {}),
    "mujoco_warp": ("mimickit.engines.mujoco_warp", "MujocoWarpEngine", {"device": "cpu"}),
}
CASES = [pytest.param((name, "cpu"), marks=pytest.mark.engine(name), id=name) for name in ENGINES]
CASES.append(
    pytest.param(
        ("mujoco_warp", "cuda"),
        marks=[pytest.mark.engine("mujoco_warp"), pytest.mark.gpu],
        id="mujoco_warp_cuda",
    )
)

# A base of 1e4 kg that hardly feels what its parts do: a ball joint and a hinge, each at the centre
# of a sphere of 1 kg and 0.1 m, which weighs on neither: 2/5 m r^2 = 0.004 kg m^2, and 0.01 of
# armature.
TOY = """
<mujoco model="toy">
  <compiler angle="radian"/>
  <worldbody>
    <body name="base">
      <freejoint/>
      <geom type="sphere" size="0.5" mass="10000"/>
      <body name="head" pos="0 0 0.8">
        <joint name="neck" type="ball" armature="0.01"/>
        <geom type="sphere" size="0.1" mass="1"/>
      </body>
      <body name="wheel" pos="1 0 0">
        <joint name="axle" axis="0 1 0" range="-3 3" armature="0.01"/>
        <geom type="sphere" size="0.1" mass="1"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
# Two hinged arms whose hands overlap by 5 cm; `wheels` has the same joints well apart.
HANDS = """
<mujoco model="hands">
  <compiler angle="radian"/>
  <worldbody>
    <body name="base">
      <freejoint/>
      <geom type="sphere" size="0.2" mass="10000"/>
      <body name="left" pos="0 {side} 0">
        <joint name="left" axis="0 0 1" range="-3 3" armature="0.01"/>
        <geom type="sphere" size="0.1" mass="1" pos="{reach} 0 0"/>
      </body>
      <body name="right" pos="0 -{side} 0">
        <joint name="right" axis="0 0 1" range="-3 3" armature="0.01"/>
        <geom type="sphere" size="0.1" mass="1" pos="{reach} 0 0"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
INERTIA = 0.004 + 0.01  # [kg m^2] of the parts of TOY and of `wheels`, about their joints


@pytest.fixture(params=CASES)
def engine_case(request):
    """Name and device of an engine."""
    return request.param


@pytest.fixture
def same(engine_case):
    """Whether two runs are the same: (state, state, rows = all) -> bool.

    To the last bit, but for engines that do not promise as much; see `agree`.
    """
    _, device = engine_case
    return agree if device == "cuda" else same_bits


@pytest.fixture
def engine_factory(engine_case, tmp_path, monkeypatch):
    """Builds engines: (character, num_envs, **settings); tests' tensors lie beside them."""
    monkeypatch.chdir(tmp_path)  # simulators leave logs of what blew up where they run
    name, device = engine_case
    module, cls, settings = ENGINES[name]
    if device == "cuda":
        settings = {"device": "cuda"}
        torch.set_default_device("cuda")
    yield functools.partial(getattr(importlib.import_module(module), cls), **settings)
    torch.set_default_device(None)


def small_character(folder, mjcf, joints):
    path = folder / "model.xml"
    path.write_text(mjcf)
    return load_character(
        name="small",
        model=str(path),
        joints=joints,
        default_pose={"height": 3.0},
        bodies={},
        tracking_weights=None,
        termination_distance=1.0,
        zero_center_action=False,
        exploration_std=0.05,
        motion=None,
        contact_height=0.3,
    )


@pytest.fixture(params=["humanoid", "g1"])
def character(request):
    """Ball joints with drives of any strength, and hinges of motors on bodies turned at rest."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def toy(tmp_path):
    """A heavy base with one ball joint, `neck`, and one hinge, `axle`."""
    joints = {
        "neck": {"kp": 2.0, "kd": 0.2, "torque_limit": 0.5, "limits": [[-3, 3]] * 3},
        "axle": {"kp": 3.0, "kd": 0.1, "torque_limit": 0.25},
    }
    return small_character(tmp_path, TOY, joints)


@pytest.fixture
def wheels(tmp_path):
    """A heavy base with two hinges about z, each at the centre of what it turns."""
    facts = {"kp": 3.0, "kd": 0.1, "torque_limit": 0.25}
    return small_character(
        tmp_path, HANDS.format(side=1.0, reach=0.0), {"left": facts, "right": facts}
    )


@pytest.fixture
def hands(tmp_path):
    """A heavy base whose two hands push each other apart."""
    facts = {"kp": 3.0, "kd": 0.1, "torque_limit": 0.25}
    return small_character(
        tmp_path, HANDS.format(side=0.075, reach=0.5), {"left": facts, "right": facts}
    )


@pytest.fixture
def inertia():
    """Of each moving part of `toy` and `wheels` about its joint [kg m^2]."""
    return INERTIA
