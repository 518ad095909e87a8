"""Compose a run's config from conf/, from users' own folders, or from a run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union, cast

import hydra
import yaml
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mimickit.errors import ConfigError, RunError
from mimickit.launch.checks import make_whole
from mimickit.launch.messages import explain
from mimickit.launch.resolvers import CONF, register_resolvers

CONF_VARIABLE = "MIMICKIT_CONF"  # further config folders, separated as in PATH
SAVED_CONFIG = "config.yaml"  # in a run folder: the composed config, interpolations kept


@dataclass
class Training:
    """How a run is looked after while it learns."""

    checkpoint_every_s: float = 60.0  # wall time between checkpoints [s]
    keep_checkpoints: int = 3  # how many of the newest stay
    threads: int = 0  # of torch, for each of actor and critic; 0: half of the cores
    compile: Optional[bool] = None  # fuse observations and rewards; None: on CUDA, if it can be
    spread_episodes: bool = True  # the first ones end one after the other
    progress: bool = True  # show a progress bar


@dataclass
class Evaluation:
    """How a policy is judged, on environments of its own."""

    num_envs: int = 64
    episodes: int = 256  # at the end of the run
    every: Optional[Union[int, float]] = None  # samples; None: 2,000 steps per env
    seed: int = 1000  # of start times; the same at every evaluation


@dataclass
class RunSchema:
    """Names and types of what conf/run.yaml may hold at its top; a new key needs a line here."""

    _target_: str = "mimickit.run.Train"
    _recursive_: bool = False
    engine: Any = None
    character: Any = None
    task: Any = None
    action: Any = None
    method: Any = None
    algo: Any = None
    model: Any = None
    logger: Any = None
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    seed: int = 0
    num_envs: Union[int, float] = 1  # float: 1e3 is welcome, `check_config` asks for whole numbers
    max_samples: Union[int, float] = 1
    device: str = "auto"
    motion: Any = None
    skills: Optional[str] = None
    resume: Optional[str] = None


class UserFolders(SearchPathPlugin):
    """Adds the folders of MIMICKIT_CONF to where Hydra looks for config files."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append them behind conf/, so that they add options rather than hide ours."""
        for folder in filter(None, os.environ.get(CONF_VARIABLE, "").split(os.pathsep)):
            path = Path(folder).expanduser().resolve()
            if not path.is_dir():
                raise ConfigError(f"{CONF_VARIABLE} names '{folder}', which is not a folder")
            search_path.append(CONF_VARIABLE, f"file://{path}")


def register() -> None:
    """Tell Hydra our resolvers, the run schema and users' folders; again changes nothing."""
    register_resolvers()
    ConfigStore.instance().store("run_schema", RunSchema)
    Plugins.instance().register(UserFolders)


def compose(overrides: Sequence[str] = (), folder: Optional[Union[str, Path]] = None) -> DictConfig:
    """The config of a run, as the command line would make it.

    Args:
        overrides: as on the command line, e.g. `["method=amp", "seed=3"]`.
        folder: a run folder; its saved config is then the base instead of conf/run.yaml.

    Raises:
        MimicKitError: an override or a file names something that does not exist.
    """
    register()
    name = "run" if folder is None else store_saved_config(Path(folder))
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            cfg = hydra.compose(config_name=name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        ours = explain(error, list(overrides), name)
        if folder is not None and not overrides:  # so it is what was saved
            ours = type(ours)(f"{Path(folder) / SAVED_CONFIG}: {ours}")
        raise ours from error
    make_whole(cfg)
    return cfg


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A config as plain dicts, lists and scalars, interpolations resolved unless told not to."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=resolve))


def saved_config(folder: Union[str, Path]) -> DictConfig:
    """The config that a run folder was made with, interpolations kept."""
    return compose((), folder)


def store_saved_config(folder: Path) -> str:
    """Offer a run folder's config to Hydra as a primary config; returns the name it goes by.

    Raises:
        RunError: the folder has no readable config.
    """
    path = folder / SAVED_CONFIG
    try:
        saved = OmegaConf.load(path)
    except OSError as error:
        raise RunError(f"'{folder}' is not a run folder: it has no {SAVED_CONFIG}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(saved, DictConfig):
        raise RunError(f"{path} cannot be read: it holds no mapping")
    defaults = [
        "run_schema",
        "_self_",
        {"override hydra/output": "run_folder"},
        {"override hydra/hydra_logging": "none"},
        {"override hydra/job_logging": "none"},
    ]
    node = {
        "defaults": defaults,
        "hydra": {"output_subdir": None},
        **plain(saved, resolve=False),
    }
    ConfigStore.instance().store("saved_run", node)
    return "saved_run"
