"""MuJoCo Warp: N worlds on a GPU as captured graphs; on the CPU too, slowly, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.engines.engine import check_control_mode, default_state, limits_effort, substeps
from mimickit.errors import ConfigError, EngineError
from mimickit.objects import ObjectSpec
from mimickit.state import CharacterState, Drawn, ObjectState

# What a write sets; all else of a state follows.
WRITTEN = ("root_pos", "root_rot", "root_vel", "root_ang_vel", "joint_rot", "dof_vel")
OBJECT_WRITTEN = ("pos", "rot", "vel", "ang_vel")


class MujocoWarpEngine:
    """See `mimickit.engines.engine.Engine`.

    `command`, `step` and the writes never wait for the device. Outside of a capture each replays a
    graph of its own, on torch's current stream; while torch captures that stream, they launch into
    its capture, after which torch's graph does the same work.

    On the CPU equal runs give equal bits. On CUDA they agree only to rounding, which contacts
    magnify: MuJoCo Warp finds contacts, and sums what they contribute, in no fixed order.

    Args:
        character: what to simulate.
        num_envs: N.
        control_hz, sim_hz: control and simulation rates [Hz]; the second a multiple of the first.
        control_mode: what a command means.
        solver_iterations: most contact solver iterations per substep.
        line_search_iterations: most iterations of the line search within each of these.
        device: "auto" (CUDA where there is some), "cuda", "cuda:1", "cpu".
        nconmax: room for contacts, per world on average; None judges by the character's geoms.
        njmax: room for constraint rows in each world; None judges by the character's geoms.
        objects: what else there is in each world.

    Attributes:
        overflows: [2] int64, how often a world lost constraint rows, and contacts, within a step
            for want of room. Such a world counts as diverged. `check` makes an error of it.

    Raises:
        ConfigError, IncompatibleParts: a rate, mode, size or device cannot work. EngineError: a
            package is missing or too old.
    """

    provides = frozenset({"contact_force", "objects"})

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_hz: float = 30.0,
        sim_hz: float = 120.0,
        control_mode: str = "pos",
        solver_iterations: int = 10,
        line_search_iterations: int = 20,
        device: str = "auto",
        nconmax: Optional[int] = None,
        njmax: Optional[int] = None,
        objects: Sequence[ObjectSpec] = (),
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        for key, value in (
            ("solver_iterations", solver_iterations),
            ("line_search_iterations", line_search_iterations),
            ("nconmax", nconmax),
            ("njmax", njmax),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"engine.{key} must be at least 1, got {value}")
        count = substeps(control_hz, sim_hz)
        check_control_mode(control_mode, character)
        self.device = _torch_device(device)
        wp = _import_warp()
        from mimickit.engines.mujoco_model import build_model
        from mimickit.engines.mujoco_warp_graphs import WarpGraph
        from mimickit.engines.mujoco_warp_worlds import Worlds, capacities

        self.character = character
        self.num_envs = num_envs
        self.control_mode = control_mode
        self.control_dt = 1.0 / control_hz
        self.sim_dt = 1.0 / sim_hz
        self.model = build_model(
            character,
            self.sim_dt,
            control_mode,
            solver_iterations,
            line_search_iterations,
            native_drives=False,
            force_sensors=False,
            objects=objects,
        )
        self.object_specs = tuple(objects)
        contacts, rows = capacities(self.model, len(self.object_specs))
        self.nconmax, self.njmax = nconmax or contacts, njmax or rows
        self.worlds = Worlds(
            character,
            self.model,
            num_envs,
            device=wp.device_from_torch(self.device),
            substeps=count,
            drives=control_mode in ("pos", "pd_1d"),
            limited=limits_effort(character, control_mode),
            nconmax=self.nconmax,
            njmax=self.njmax,
            start=default_state(character, Kinematics(character), 1),
            object_specs=self.object_specs,
        )
        self.state = self.worlds.state
        self.objects = ObjectState.zeros(num_envs, 0, character.num_bodies, self.device)
        self.diverged = self.worlds.diverged
        self.overflows = self.worlds.overflows
        if self.worlds.objects is not None:
            self.objects = self.worlds.objects.state
        self._warm_up()
        self._graphs = tuple(
            WarpGraph(launch, wp.device_from_torch(self.device))
            for launch in (
                self.worlds.step,
                self.worlds.write,
                self.worlds.read,
                self.worlds.write_objects,
            )
        )
        self._step, self._write, self._read, self._write_objects = self._graphs

    def command(self, command: Tensor) -> None:
        self.worlds.command.copy_(command)

    def step(self) -> None:
        self._step()

    def write(self, mask: Tensor, state: CharacterState, drawn: Optional[Drawn] = None) -> None:
        self.worlds.mask.copy_(mask)
        for name in WRITTEN:
            getattr(self.worlds.source, name).copy_(getattr(state, name))
        self._write()

    def write_objects(self, mask: Tensor, state: ObjectState) -> None:
        objects = self.worlds.objects
        if objects is None:
            return
        objects.mask.copy_(mask)
        for name in OBJECT_WRITTEN:
            getattr(objects.source, name).copy_(getattr(state, name))
        self._write_objects()

    def state_dict(self) -> dict[str, Any]:
        worlds = {name: view.clone() for name, view in self.worlds.saved.items()}
        state = {"worlds": worlds, "contact_force": self.state.contact_force.clone()}
        if self.worlds.objects is not None:
            state["touch_force"] = self.objects.contact_force.clone()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, view in self.worlds.saved.items():
            view.copy_(state["worlds"][name])
        self._read()
        self.state.contact_force.copy_(state["contact_force"])
        if self.worlds.objects is not None:
            self.objects.contact_force.copy_(state["touch_force"])
        self.diverged.zero_()

    def check(self) -> None:
        """Refuse to go on where worlds ran out of room; waits for the device.

        Raises:
            EngineError: naming what to enlarge.
        """
        rows, contacts = self.overflows.tolist()
        lost = []
        if rows:
            lost.append(
                f"constraint rows in {rows} world steps: raise engine.njmax above {self.njmax}"
            )
        if contacts:
            lost.append(
                f"contacts in {contacts} world steps: raise engine.nconmax above {self.nconmax}"
            )
        if lost:
            raise EngineError(f"MuJoCo Warp dropped {', and '.join(lost)}")

    def recapture(self) -> None:
        """Forget all graphs, e.g. after an option of `worlds.model` has changed."""
        for graph in self._graphs:
            graph.recapture()

    def _warm_up(self) -> None:
        """Compile every kernel by running it once, and start in the default pose.

        This runs on a stream of Warp's own, so that Warp may free what it used meanwhile; torch
        waits for it, and it for torch.
        """
        _synchronize(self.device)
        self.worlds.step()
        self.worlds.write()
        if self.worlds.objects is not None:
            self.worlds.write_objects()
        self.overflows.zero_()
        _synchronize(self.device)


def compile_notice() -> str:
    """What to tell a user before an engine is built: why that takes so long."""
    wp = _import_warp()
    return (
        "MuJoCo Warp compiles its kernels: about a minute the first time, at most seconds later; "
        f"they are kept in {wp.config.kernel_cache_dir}"
    )


def _import_warp() -> Any:
    """The module warp, ready and told not to chat.

    Raises:
        EngineError: it, MuJoCo or MuJoCo Warp is missing or too old.
    """
    try:
        import warp

        if warp.config.log_level == warp.LOG_INFO:  # the default: greetings and each module loaded
            warp.config.log_level = warp.LOG_WARNING
        import mujoco.batch  # noqa: F401 (absent before MuJoCo 3.17)
        import mujoco_warp  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"engine=mujoco_warp needs MuJoCo Warp 4.0 on Python 3.11 or later ({error}): "
            "pip install mujoco-warp==4.0.0 warp-lang==1.19.0"
        ) from None
    warp.init()
    return warp


def _torch_device(name: str) -> torch.device:
    """The device of that name, "auto" included.

    Raises:
        ConfigError: there is no such device here.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if count else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"engine.device={name}: choose auto, cpu, cuda or cuda:0") from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        raise ConfigError(f"engine.device={name}: MuJoCo Warp runs on cuda and cpu only")
    if count == 0:
        raise ConfigError(
            f"engine.device={name}: torch {torch.__version__} finds no CUDA device here; use "
            "engine=mujoco"
        )
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise ConfigError(f"engine.device={name}: there are only cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", index)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
