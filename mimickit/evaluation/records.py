"""Runs as their folders tell them: found, read, grouped over seeds, and labelled in few words."""

from __future__ import annotations

import glob
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import yaml

from mimickit.errors import MimicKitError, RunError
from mimickit.evaluation.report import NAME as EVALUATION
from mimickit.loggers.csv import NAME as METRICS
from mimickit.loggers.csv import SAMPLES, read_rows

CONFIG = "resolved.yaml"
OVERRIDES = "overrides.yaml"  # what was typed, a list
STATUS = "status.json"  # how the run fares, by the run itself
MARKS = (METRICS, CONFIG, STATUS)  # a folder with one of these is a run's

# What may differ between the runs of one curve: it changes no result, or is the seed.
SAME_CURVE = ("seed", "resume", "device", "logger")
SAME_CURVE_PARTS = ("logger.", "training.", "hydra.", "hydra/")
IDENTITY = ("method.name", "character.name", "motion")  # their values speak for themselves
TYPED_IDENTITY = ("method", "character", "motion", "experiment")  # the same, on a command line
LONGEST_LABEL = 60  # characters
MOST_SETTINGS = 2  # of those that tell two groups apart, in a label

# libyaml's loader is eight times as fast, and not everywhere compiled in.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Run:
    """One run as its folder tells it.

    Attributes:
        folder: where it lies.
        settings: leaves of its resolved config by dotted key; empty if it has none.
        typed: what was typed to start it, by key; empty if that was not recorded.
        columns: metrics by name, [rows], NaN where a row has no value; empty without a row.
        status: its status.json; empty if it has none.
        evaluation: its evaluation.json; None if it has none.
    """

    folder: Path
    settings: Mapping[str, Any]
    typed: Mapping[str, str]
    columns: Mapping[str, np.ndarray]
    status: Mapping[str, Any]
    evaluation: Optional[Mapping[str, Any]] = None

    def curve(self, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
        """The points [P], [P] of the rows that have both columns.

        What an evaluation found stands where the policy that was judged stood, which on CUDA is
        before the row that it was logged in.
        """
        if x not in self.columns or y not in self.columns:
            return np.empty(0), np.empty(0)
        both = np.isfinite(self.columns[x]) & np.isfinite(self.columns[y])
        at = self.columns[x][both]
        if y.startswith(("eval/", "clip/")) and "eval/samples" in self.columns:
            judged = self.columns["eval/samples"][both]
            known = np.isfinite(self.columns[x])
            at = np.interp(judged, self.columns[SAMPLES][known], self.columns[x][known])
        return at, self.columns[y][both]

    @property
    def samples(self) -> int:
        """How far it is, in samples."""
        return int(self.columns[SAMPLES][-1]) if self.columns else 0

    @property
    def wall_s(self) -> float:
        """How long it has trained [s]; NaN if it did not say."""
        wall = self.columns.get("time/wall_s", np.empty(0))
        wall = wall[np.isfinite(wall)]
        return float(wall[-1]) if len(wall) else float("nan")


def find_runs(arguments: Iterable[str]) -> list[Path]:
    """Run folders named by folders, folders of runs, metrics.csv files or patterns, in order.

    Raises:
        RunError: an argument names nothing, or nothing that has a run.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        matches = [Path(argument)] if Path(argument).exists() else _expand(argument)
        if not matches:
            raise RunError(f"there is no run folder {argument}{_neighbours(Path(argument))}")
        runs = [path for match in matches for path in _runs_below(match)]
        if not runs:
            raise RunError(f"there is no {METRICS} in {argument}, nor in any folder below it")
        found.update(dict.fromkeys(runs))
    return list(found)


def read_run(folder: Path, evaluation: str = EVALUATION) -> Run:
    """A run's settings, metrics and evaluation, as far as they are there.

    Args:
        evaluation: the file in the folder that holds the evaluation.

    Raises:
        RunError: one of its files is damaged, or it has neither rows nor a status to tell of.
    """
    path = folder / METRICS
    columns = _read_metrics(path) if path.exists() else {}
    status = _read_json(folder / STATUS)
    if not columns and not status:
        if not path.exists():
            raise RunError(f"{folder} has no {METRICS} yet")
        raise RunError(f"{path} has no rows yet")
    return Run(
        folder,
        _settings(folder / CONFIG),
        _typed(folder / OVERRIDES),
        columns,
        status or {},
        _evaluation(folder / evaluation),
    )


def read_runs(
    folders: Sequence[Path], evaluation: str = EVALUATION
) -> tuple[list[Run], dict[Path, str]]:
    """The runs that can be read, and of each other one why it cannot.

    Raises:
        RunError: none can be read.
    """
    runs, problems = [], {}
    errors: list[MimicKitError] = []
    for folder in folders:
        try:
            runs.append(read_run(folder, evaluation))
        except RunError as error:
            errors.append(error)
            problems[folder] = str(error)
    if not runs:
        raise errors[0]
    return runs, problems


def shortfall(run: Run) -> Optional[str]:
    """Why a run did not come to its end; None if it did, that is, if it was evaluated."""
    if run.evaluation is not None:
        return None
    budget = run.settings.get("max_samples")
    reached = f"{run.samples:,}" + (f" of {int(budget):,}" if budget else "") + " samples"
    state, reason = run.status.get("state", "not finished"), run.status.get("reason")
    return f"{state}, {reached}" + (f": {reason}" if reason else "")


def missing_jobs(planned: Mapping[int, Sequence[str]], present: Iterable[Path]) -> list[str]:
    """The jobs of a sweep that left no folder, as 'job 3 (method=add seed=1)'.

    Args:
        planned: what sets each job apart, by number. present: folders, whose names begin with it.
    """
    numbers = {path.name.split("-")[0] for path in present}
    return [
        f"job {number}" + (f" ({' '.join(overrides)})" if overrides else "")
        for number, overrides in planned.items()
        if str(number) not in numbers
    ]


def group_runs(runs: Sequence[Run], always: Sequence[str] = ()) -> dict[str, list[Run]]:
    """Runs that differ in nothing but the seed, under a label that says how groups differ.

    A run without a resolved config is a group of its own, labelled with its folder.

    Args:
        always: see `label_runs`.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        keys = sorted(distinguishing(run.settings))
        alike = tuple((key, repr(run.settings[key])) for key in keys)
        groups.setdefault(alike if run.settings else run.folder, []).append(run)
    labels = label_runs([group[0] for group in groups.values()], always)
    return dict(zip(labels, groups.values()))


def label_runs(runs: Sequence[Run], always: Sequence[str] = ()) -> list[str]:
    """Distinct labels for one run of each group.

    First come the names in which they differ; for those still alike what was typed differently;
    and for what is alike even then the settings that differ.

    Args:
        always: settings among the names to give even where they do not differ.
    """
    if all(not run.settings for run in runs):
        return [str(run.folder) for run in runs]
    keys = [key for key in IDENTITY if key in always or differ(key, runs, "settings")]
    labels = [
        " ".join(str_of(run.settings[key]) for key in keys if key in run.settings)
        if run.settings
        else str(run.folder)
        for run in runs
    ]
    for where in ("typed", "settings"):
        for text in dict.fromkeys(labels):
            alike = [i for i, other in enumerate(labels) if other == text]
            told = _differences([runs[i] for i in alike], where)
            for i, more in zip(alike, told):
                labels[i] = ", ".join(part for part in (text, more) if part)
    if len(labels) == 1 and not labels[0]:
        names = [runs[0].settings.get(key) for key in IDENTITY]
        labels = [" ".join(str_of(name) for name in names if name is not None) or "runs"]
    cut = [x if len(x) <= LONGEST_LABEL else x[: LONGEST_LABEL - 3] + "..." for x in labels]
    return [
        label if cut.count(label) == 1 else f"{label} #{cut[: i + 1].count(label)}"
        for i, label in enumerate(cut)
    ]


def distinguishing(keys: Iterable[str]) -> list[str]:
    """Those of some settings' keys that a group's runs must share."""
    return [key for key in keys if key not in SAME_CURVE and not key.startswith(SAME_CURVE_PARTS)]


def str_of(value: object) -> str:
    """A setting's value in few characters: of a path the file's name, of a number few digits."""
    if isinstance(value, (list, tuple)):
        words = [str_of(item) for item in value]
        return "+".join(words[:3]) + (f"+{len(words) - 3} more" if len(words) > 3 else "")
    text = str(value)
    if re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", text):
        return f"{float(text):.3g}"
    return Path(text).stem if "/" in text else text


def _differences(runs: Sequence[Run], where: str) -> list[str]:
    """What tells runs apart, of each as 'key=value'; '' where nothing does."""
    keys = {key for run in runs for key in getattr(run, where)}
    named = IDENTITY if where == "settings" else TYPED_IDENTITY
    different = [
        key for key in sorted(distinguishing(keys)) if key not in named and differ(key, runs, where)
    ]
    shown = different if where == "typed" else different[:MOST_SETTINGS]
    more = f", {len(different) - len(shown)} more" if len(different) > len(shown) else ""
    return [
        ", ".join(f"{key}={str_of(getattr(run, where).get(key, 'default'))}" for key in shown)
        + more
        for run in runs
    ]


def differ(key: str, runs: Sequence[Run], where: str) -> bool:
    """Whether runs differ in one of their `settings`, or in what was `typed`."""
    values = [getattr(run, where).get(key) for run in runs]
    return any(value != values[0] for value in values)


def _expand(pattern: str) -> list[Path]:
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]


def _neighbours(missing: Path) -> str:
    """What exists beside a path that does not."""
    parent = missing.parent
    if not parent.is_dir():
        return ""
    folders = (path.name for path in parent.iterdir() if path.is_dir())
    names = sorted(name for name in folders if not name.startswith("."))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"; {parent} holds: {shown or 'no folders'}"


def _runs_below(path: Path) -> list[Path]:
    if path.is_file():
        return [path.parent] if path.name == METRICS else []
    found = []
    for folder, folders, files in os.walk(path):
        if any(mark in files for mark in MARKS):
            found.append(Path(folder))
            folders.clear()  # what lies in a run's folder is the run's
        folders.sort(key=_natural)
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts job 10 behind job 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Columns of a metrics.csv by name; none if it has no rows."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # half a last line was left by a kill
    head, _, body = whole.partition("\n")
    names = head.split(",")
    if body and names[0] == SAMPLES:
        filled = re.sub(r"(?<=,)(?=[,\n])", "nan", body)
        try:
            table = np.loadtxt(io.StringIO(filled), delimiter=",", ndmin=2)
        except ValueError:
            table = np.empty((0, 0))  # damaged: below it is said where
        if table.shape[1] == len(names):
            return dict(zip(names, table.T))
    names, rows = read_rows(path)
    try:
        table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None
    return dict(zip(names, table.T)) if len(rows) else {}


def _evaluation(path: Path) -> Optional[dict[str, Any]]:
    found = _read_json(path)
    if found is not None and not {"overall", "clips"} <= set(found):
        raise RunError(f"{path} is no evaluation: it lacks 'overall' or 'clips'")
    return found


def _read_json(path: Path) -> Optional[dict[str, Any]]:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it holds no mapping")
    return found


def _settings(path: Path) -> dict[str, Any]:
    config = _read_yaml(path)
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise RunError(f"{path} holds no settings")
    return dict(_leaves(config, ""))


def _typed(path: Path) -> dict[str, str]:
    words = _read_yaml(path) or []
    if not isinstance(words, list):
        raise RunError(f"{path} holds no list of what was typed")
    pairs = (str(word).lstrip("+~").partition("=") for word in words)
    return {key.split("@")[0]: value for key, _, value in pairs}


def _read_yaml(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise RunError(f"{path} is not readable YAML: {line}") from None


def _leaves(node: Mapping[Any, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
