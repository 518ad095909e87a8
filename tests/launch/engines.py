"""Engines that conf/ does not have: one that runs, and one that cannot run here."""

from __future__ import annotations

from mimickit.engines.mujoco import MujocoEngine
from mimickit.errors import EngineError

NODE = """
_target_: tests.launch.engines.{name}
num_envs: 4
control_hz: 60
sim_hz: 480
control_mode: vel
device: auto
"""


class OtherEngine(MujocoEngine):
    """As MujocoEngine, with a choice of device."""

    def __init__(self, device="auto", **settings):
        super().__init__(threads=1, **settings)
        self.asked_for = device


class MissingEngine:
    """Finds out only when it is built that its simulator is missing."""

    def __init__(self, device="auto", **settings):
        raise EngineError("this needs a simulator that is not installed")


def write_nodes(folder):
    """Give a config folder the group engine with `other` and `missing`."""
    (folder / "engine").mkdir(parents=True)
    for option, name in (("other", "OtherEngine"), ("missing", "MissingEngine")):
        (folder / "engine" / f"{option}.yaml").write_text(NODE.format(name=name))
