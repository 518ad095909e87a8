"""The command line: one decorator that composes, runs, and reports errors in a line."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mimickit.errors import (
    ConfigError,
    MimicKitError,
    RunError,
    closest,
    closest_beside,
)
from mimickit.launch import folders
from mimickit.launch.checks import check_choices
from mimickit.launch.composing import SAVED_CONFIG, register, store_saved_config
from mimickit.launch.local import LocalLauncher
from mimickit.launch.messages import explain
from mimickit.launch.ranks import is_first_rank, quiet_torch
from mimickit.launch.resolvers import CONF, choose_engine
from mimickit.launch.slurm import SlurmLauncher
from mimickit.launch.status import one_line, supervise
from mimickit.ranks import find_ranks

FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's own variable: 1 shows every traceback


class Stopped(BaseException):
    """Carries a user's error past Hydra, which would print its own lines around it."""

    def __init__(self, error: MimicKitError) -> None:
        """Carry `error`."""
        super().__init__(str(error))
        self.error = error


def main(config_name: str = "run") -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Make a function of a config into a program: `hydra.main` with errors people can read.

    With `resume=<run folder>` typed, that run's own saved config is the base of everything else
    that was typed, and the run goes on in its folder; with `resume=<checkpoint>` a new run starts
    with the config of the checkpoint's run.

    Args:
        config_name: the primary config in conf/.
    """

    def decorate(function: Callable[[DictConfig], Any]) -> Callable[[], None]:
        job = Job(function)

        @functools.wraps(function)
        def program() -> None:
            with friendly_errors():
                run_program(job, config_name)

        return program

    return decorate


class Job:
    """What Hydra calls once per run: checks the config, runs the function, tidies up.

    Attributes:
        raised: what the jobs so far raised, to tell it from what Hydra raises.
    """

    def __init__(self, function: Callable[[DictConfig], Any]) -> None:
        """Wrap `function`."""
        self.raised: list[BaseException] = []
        self.function = function
        functools.update_wrapper(self, function)

    def __call__(self, cfg: DictConfig) -> Any:
        """Run one job in the folder that Hydra made for it."""
        hydra_cfg = HydraConfig.get()
        choices = hydra_cfg.runtime.choices
        try:
            checked = check_choices(cfg, choices)
            if choices.get("engine") == "auto" and is_first_rank():
                name, why = choose_engine()
                print(f"engine: {name} ({why})", flush=True)
            folder = Path(hydra_cfg.runtime.output_dir)
            return supervise(folder, lambda: self.function(checked))
        except Exception as error:
            if hydra_cfg.mode is RunMode.MULTIRUN:  # of several, Hydra shows the first alone
                name = Path(hydra_cfg.runtime.output_dir).name
                print(f"{name} failed: {one_line(error)}", file=sys.stderr, flush=True)
            elif isinstance(error, MimicKitError):
                raise Stopped(error) from error
            if not isinstance(error, MimicKitError):
                self.raised.append(error)
            raise
        finally:
            if hydra_cfg.mode is RunMode.MULTIRUN:
                with contextlib.suppress(OSError):  # something was written there
                    Path(hydra_cfg.runtime.output_dir).rmdir()


def run_program(job: Job, config_name: str) -> None:
    """Let Hydra read the command line and run the job; errors come out as they are."""
    register()
    register_launchers()
    quiet_torch()
    prog, overrides, flags, multirun = read_command_line(sys.argv)
    name, overrides = base_config(overrides, config_name, multirun)
    old_argv, old_full = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv = [prog, *overrides, *flags]
    os.environ[FULL_ERROR] = "1"  # for Hydra: raise, rather than print and exit
    try:
        with _ends_at_once():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
    except BrokenPipeError:  # the reader of our output, e.g. `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Stopped as stopped:
        raise stopped.error from stopped.error.__cause__
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, OSError) as error:
        if any(error is raised for raised in job.raised):
            raise
        raise explain(error, overrides, name) from error
    finally:
        folders.remove_unused()
        sys.argv = old_argv
        os.environ.pop(FULL_ERROR)
        if old_full is not None:
            os.environ[FULL_ERROR] = old_full


def register_launchers() -> None:
    """Tell Hydra the classes that conf/hydra/launcher/ names; again changes nothing."""
    # It takes a plugin's class only from the module hydra_plugins, or by a name that says so.
    known = Plugins.instance().class_name_to_class
    for launcher in (LocalLauncher, SlurmLauncher):
        known[f"hydra_plugins.mimickit.{launcher.__name__}"] = launcher


@contextlib.contextmanager
def _ends_at_once() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does and say so, where nobody else looks after it.

    That is while a run is built, which may compile for a minute, and after it has trained.
    """

    def handler(number: int, _: object) -> None:
        name = signal.Signals(number).name
        line = f"{name}: ended at once, as nothing is being trained; what is saved stays\n"
        os.write(2, line.encode())  # not by print: the signal may have come within one
        raise KeyboardInterrupt(name)

    try:
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread: whoever runs us there stops us by other means
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def friendly_errors(code: int = 1) -> Iterator[None]:
    """Print a user's error as one line on stderr and exit with `code`; a context or a decorator.

    With HYDRA_FULL_ERROR=1 the traceback comes instead. Ctrl-C exits with 130, silently. All other
    exceptions are bugs of ours and keep their traceback.
    """
    full = os.environ.get(FULL_ERROR) == "1"
    try:
        yield
    except MimicKitError as error:
        if full:
            raise
        print(f"{_rank_prefix()}error: {error}", file=sys.stderr)
        raise SystemExit(code) from None
    except KeyboardInterrupt:
        if full:
            raise
        raise SystemExit(130) from None


def _rank_prefix() -> str:
    """Who speaks, where a run has several processes."""
    with contextlib.suppress(RunError):  # else it is what the error says
        ranks = find_ranks(os.environ)
        return f"[{ranks.label}] " if ranks.size > 1 else ""
    return ""


def read_command_line(argv: Sequence[str]) -> tuple[str, list[str], list[str], bool]:
    """Program, overrides, other arguments, and whether they ask for a sweep.

    Raises:
        ConfigError: Hydra has no such flag, or would silently ignore an override.
    """
    parser = get_args_parser()

    def refuse(message: str) -> None:
        word = message.rsplit(" ", 1)[-1]
        flags = [flag for action in parser._actions for flag in action.option_strings]
        near = closest(word, flags) if word.startswith("-") else []
        raise ConfigError(message + (f". Closest: {', '.join(near)}" if near else ""))

    parser.error = refuse  # type: ignore[method-assign]
    args: argparse.Namespace = parser.parse_intermixed_args(argv[1:])
    for override in args.overrides:
        key, _, value = override.partition("=")
        if not key.startswith("+") and re.fullmatch(r"\{\s*\}", value):
            raise ConfigError(
                f"{override} takes nothing away, as mappings are merged: take keys away with "
                f"'~{key}.<key>', or set them, e.g. {key}.<key>=0"
            )
    flags = list(argv[1:])
    for override in args.overrides:
        flags.remove(override)
    return argv[0], args.overrides, flags, bool(args.multirun)


def base_config(
    overrides: Sequence[str], config_name: str, multirun: bool = False
) -> tuple[str, list[str]]:
    """The primary config to start from and the overrides to apply, given what `resume` says.

    Raises:
        RunError: `resume` names neither a run folder nor a checkpoint of one.
    """
    typed = [o for o in overrides if o.lstrip("+").startswith("resume=")]
    value = typed[-1].split("=", 1)[1].strip("'\"") if typed else "auto"
    if value in ("auto", "null", ""):
        return config_name, list(overrides)
    if multirun:
        raise ConfigError(f"resume={value} names one run: leave -m away")
    path = Path(value).expanduser()
    run = find_run(path)
    rest = [o for o in overrides if o not in typed]
    rest.append(f"resume={quoted(str(path))}")
    if run == path:
        if any(o.lstrip("+").startswith("hydra.run.dir=") for o in rest):
            raise ConfigError(
                f"resume={value} goes on in that folder: leave hydra.run.dir away, or name one of "
                "its checkpoints to branch off"
            )
        rest.insert(0, f"hydra.run.dir={quoted(str(path))}")
    return store_saved_config(run), rest


def find_run(path: Path) -> Path:
    """The run folder that `path` is or lies in.

    Raises:
        RunError: there is none.
    """
    if not path.exists():
        hint = closest_beside(path)
        raise RunError(f"resume={path}: there is no such file or folder.{hint}")
    for folder in (path, *list(path.parents)[:3]):
        if (folder / SAVED_CONFIG).is_file():
            return folder
    raise RunError(
        f"resume={path} is neither a run folder (it has no {SAVED_CONFIG}) nor inside one"
    )


def quoted(text: str) -> str:
    """`text` as Hydra's override grammar reads any text."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
