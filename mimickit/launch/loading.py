"""The config of a trained run, on the engine it was trained on or on another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from omegaconf import DictConfig

from mimickit.errors import EngineError, MimicKitError
from mimickit.launch.checks import check_config
from mimickit.launch.composing import compose, plain, saved_config
from mimickit.launch.locating import locate

# What an engine shares with the one that replaces it: the policy knows no other rates and commands.
KEPT = ("control_hz", "sim_hz", "control_mode")


def run_config(
    folder: Path, engine: Optional[str] = None, settings: Sequence[str] = ()
) -> DictConfig:
    """The checked config of a run folder.

    On another engine, rates and control mode stay the run's, all else is as conf/engine says, and
    the device is that engine's choice.

    Args:
        engine: an option of conf/engine; None, or the run's own, keeps the run's settings.
        settings: of the engine, e.g. `["engine.threads=4"]`; these win.

    Raises:
        EngineError: the run's own engine cannot be imported here.
        MimicKitError: there is no such run, engine or setting.
    """
    saved = saved_config(folder)
    own = str(saved.engine._target_)
    if engine is not None:
        kept = [f"engine.{key}={saved.engine[key]}" for key in KEPT if key in saved.engine]
        other = plain(compose([f"engine={engine}", *kept, *settings]))["engine"]
        if other["_target_"] != own:
            saved.engine, saved.device = other, "auto"
            return check_config(saved)
    try:
        locate(own, "engine")
    except MimicKitError as error:
        raise engine_is_missing(folder, own, error) from error
    return check_config(compose(settings, folder) if settings else saved)


def engine_is_missing(folder: Path, target: str, error: Exception) -> EngineError:
    """What to say where a run's own engine cannot run."""
    return EngineError(
        f"run {folder} was trained on {target.rpartition('.')[2]}, which cannot run here: {error}. "
        "Name another that can: engine=mujoco"
    )


def split_engine_settings(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """A script's own arguments, and those of the form `engine.KEY=VALUE`."""
    settings = [word for word in arguments if word.startswith("engine.")]
    return [word for word in arguments if word not in settings], settings
