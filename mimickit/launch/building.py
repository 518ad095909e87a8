"""Turn config nodes into objects: the one place that follows `_target_`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mimickit.errors import MimicKitError, RunError
from mimickit.launch.checks import check_config
from mimickit.launch.composing import SAVED_CONFIG, compose, plain
from mimickit.launch.ranks import is_first_rank
from mimickit.launch.status import begin


def make(node: Mapping[str, Any], **live: Any) -> Any:
    """Build what a config node names, with live objects beside the node's own settings.

    The target is called from here rather than by Hydra, so live objects arrive as they are and its
    errors as it raised them. A live argument wins over the node's.

    Args:
        node: a mapping with `_target_`.
        live: further keyword arguments.
    """
    try:
        factory = instantiate(node, _convert_="all", _partial_=True)
    except InstantiationException as error:
        if isinstance(error.__cause__, MimicKitError):
            raise error.__cause__ from None
        raise
    return factory(**live)


def make_character(name: str) -> Any:
    """The character of conf/character/`name`.yaml, for scripts that need no more of a run.

    Raises:
        MimicKitError: there is no such character, or its facts cannot be.
    """
    return make(check_config(compose([f"character={name}"])).character)


def build(cfg: DictConfig, folder: Optional[Union[str, Path]] = None) -> Any:
    """Build the run that a composed config describes, and write its records into its folder.

    Args:
        cfg: as `compose` or the command line made it.
        folder: of the run; the one Hydra made if not given.

    Returns:
        What `cfg._target_` names, called with the nodes of the config and with `folder`.

    Raises:
        MimicKitError: a setting is wrong. Nothing has been written then.
    """
    cfg = check_config(cfg)
    path = Path(folder) if folder is not None else run_folder()
    if is_first_rank():
        refuse_overwriting(path, cfg.resume)
    run = make(cfg, folder=path)
    if is_first_rank():
        write_records(cfg, path, device=str(getattr(run, "device", cfg.device)))
        if folder is None:  # else whoever named it looks after the run
            begin(path, int(cfg.max_samples))
    return run


def write_records(cfg: DictConfig, folder: Path, device: str) -> None:
    """Write what a run is made of and from into its folder.

    Args:
        cfg: checked.
        folder: of the run.
        device: where the run's tensors are.

    Raises:
        RunError: the folder cannot be written to.
    """
    from mimickit.training import provenance  # here: its package may import torch

    typed = list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []
    try:
        provenance.write_text(folder / SAVED_CONFIG, OmegaConf.to_yaml(cfg))
        provenance.write_resolved(folder, plain(cfg))
        provenance.write_overrides(folder, typed)
        provenance.record_environment(folder, seed=cfg.seed, device=device)
    except OSError as error:
        raise RunError(
            f"cannot write to the run folder '{folder}': {error.strerror}; choose another with "
            "hydra.run.dir=..."
        ) from error


def run_folder() -> Path:
    """The folder that Hydra made for this run.

    Raises:
        RunError: the config was not composed by a command line.
    """
    if not HydraConfig.initialized():
        raise RunError("build() needs a folder where no command line has made one")
    return Path(HydraConfig.get().runtime.output_dir)


def refuse_overwriting(folder: Path, resume: Optional[str]) -> None:
    """Stop a start from elsewhere in a folder that holds a run.

    Raises:
        RunError: it does.
    """
    goes_on = resume == "auto" or (resume and Path(resume).resolve() == folder.resolve())
    if not goes_on and (folder / SAVED_CONFIG).exists():
        raise RunError(
            f"'{folder}' already holds a run: go on with resume=auto, or choose another folder "
            "(hydra.run.dir=... or MIMICKIT_RUN_ID)"
        )
