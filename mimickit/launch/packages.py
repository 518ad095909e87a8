"""Which packages pyproject.toml asks for, by the extra that brings them."""

from __future__ import annotations

from pathlib import Path

from packaging.requirements import Requirement

from mimickit.launch.resolvers import CONF

PYPROJECT = CONF.parent / "pyproject.toml"
BASE = ""  # stands for the extra of what is always installed


def requirements(path: Path = PYPROJECT) -> dict[str, list[Requirement]]:
    """The requirements that are for this Python and system, by extra.

    Returns:
        Empty where nothing can be said: Python before 3.11 cannot read the file, and a package
        that was not installed from a checkout lacks it.
    """
    try:
        import tomllib  # novermin: the fallback is below
    except ModuleNotFoundError:
        return {}
    if not path.is_file():
        return {}
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    groups = {BASE: project["dependencies"], **project["optional-dependencies"]}
    return {extra: _for_here(lines) for extra, lines in groups.items()}


def _for_here(lines: list[str]) -> list[Requirement]:
    parsed = [Requirement(line) for line in lines]
    return [one for one in parsed if one.marker is None or one.marker.evaluate()]


def is_pinned(requirement: Requirement) -> bool:
    """Whether it names one version and no other."""
    return any(part.operator == "==" for part in requirement.specifier)
