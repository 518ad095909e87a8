"""The record that Weights & Biases shows: kept in the run folder, sent where that is wished."""

from __future__ import annotations

import importlib.util
import netrc
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from mimickit.errors import ConfigError, RunError
from mimickit.loggers.logger import (
    Logger,
    clip_table,
    final_figures,
    numbers,
    prepare_folder,
    replace_file,
)

RUN_ID = "wandb_run_id.txt"
MODES = ("online", "offline", "disabled")
PATIENCE_S = 30.0  # for a server to answer


class WandbLogger(Logger):
    """Writes runs for W&B under `<run folder>/wandb`; the horizontal axis counts samples.

    The run's id lies in the run folder, so that a run that goes on, after a preemption or days
    later, is the same one in W&B. What was logged after the checkpoint that it goes on from is
    logged again, with the same values; W&B keeps the first. The files of videos that lie in the run
    folder at the end go along.

    Args:
        folder: the run's.
        project, entity, name, group, tags: how W&B files the run; an entity of None is the user's
            own.
        mode: `offline` keeps everything on disk, for `wandb sync <run folder>/wandb/offline-run-*`;
            `online` sends it, or keeps it if the server does not answer; `disabled` does neither.
            None: what WANDB_MODE says; without it online if W&B knows the user, else offline.

    Raises:
        RunError: wandb is not installed.
        ConfigError: there is no such mode.
    """

    def __init__(
        self,
        folder: Path,
        project: str = "mimickit",
        entity: Optional[str] = None,
        name: Optional[str] = None,
        group: Optional[str] = None,
        tags: Sequence[str] = (),
        mode: Optional[str] = None,
    ) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise RunError(
                "logger 'wandb' needs the package wandb: pip install -e '.[wandb]', or leave it "
                "out with logger=[text,csv,tensorboard]"
            )
        self.mode = mode or _usual_mode()
        if self.mode not in MODES:
            where = "logger.wandb.mode" if mode else "WANDB_MODE"
            raise ConfigError(f"{where}={self.mode}: there is no such mode; use {', '.join(MODES)}")
        self.folder = prepare_folder(folder)
        self._filed = {
            "project": project,
            "entity": entity,
            "name": name,
            "group": group,
            "tags": list(tags),
        }
        self._config: dict[str, Any] = {}
        self._run: Any = None
        self._concluded = False

    def describe(self, config: Mapping[str, Any]) -> None:
        """Keep the settings for the run's config; see `Logger.describe`."""
        self._config = dict(config)

    def log(self, metrics: Mapping[str, float], samples: int) -> None:
        """Add a row; see `Logger.log`."""
        values = numbers(metrics)
        if self._run is None:
            self._run = self._begin()
        self._run.log(values, step=samples)

    def conclude(self, results: Mapping[str, Mapping], samples: int) -> None:
        """Add the evaluation, its clips as a table, and films; see `Logger.conclude`."""
        import wandb

        if self._run is None:  # all samples had been collected before this session
            self._run = self._begin()
        columns: Any  # wandb's own types are narrower than what it takes
        rows: Any
        columns, rows = clip_table(results)
        films = {
            f"video/{path.stem}": wandb.Video(str(path), format="mp4")
            for path in sorted(self.folder.glob("*.mp4"))
        }
        table = wandb.Table(columns=columns, data=rows)
        self._run.log({**final_figures(results), "final/clips": table, **films}, step=samples)
        self._concluded = True

    def close(self) -> None:
        """Write everything out; a run without an end counts as not finished in W&B."""
        if self._run is not None:
            self._run.finish(exit_code=0 if self._concluded else 1)
            self._run = None

    def _begin(self) -> Any:
        import wandb
        from wandb.errors import CommError, UsageError

        path = self.folder / RUN_ID
        if not path.exists():
            replace_file(path, secrets.token_hex(4) + "\n")
        quiet = wandb.Settings(console="off", silent=True, init_timeout=PATIENCE_S)
        settings: dict[str, Any] = {
            "dir": str(self.folder),
            "id": path.read_text(encoding="utf-8").strip(),
            "resume": "allow",
            "config": self._config,
            "settings": quiet,
            **self._filed,
        }
        mode: Any = self.mode
        try:
            run = wandb.init(**settings, mode=mode)
        except UsageError as error:
            raise RunError(
                f"W&B refuses logger.wandb: {error} Or keep everything here, with "
                "logger.wandb.mode=offline"
            ) from None
        except CommError as error:
            wandb.teardown()  # its process still has the run's id in use
            warnings.warn(
                f"W&B does not answer ({str(error).splitlines()[0]}): the run is kept in "
                f"{self.folder / 'wandb'}, to be sent with `wandb sync`",
                stacklevel=2,
            )
            run = wandb.init(**settings, mode="offline")
        run.define_metric("eval/*", step_metric="eval/samples")  # which may be before the row's
        return run


def _usual_mode() -> str:
    """What to do where neither a setting nor the command line says."""
    if os.environ.get("WANDB_MODE"):
        return os.environ["WANDB_MODE"]
    return "online" if os.environ.get("WANDB_API_KEY") or _logged_in() else "offline"


def _logged_in() -> bool:
    """Whether `wandb login` left a key where W&B looks for it."""
    import wandb

    server = os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url
    host = urlsplit(server).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
