"""What went wrong, in words to act on: each error names the value, what exists, and the key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class MimicKitError(Exception):
    """Base of all errors that a user can cause and mend; printed without a traceback."""


class ConfigError(MimicKitError):
    """A setting has a value that cannot work."""


class UnknownName(MimicKitError):
    """A name that does not exist where it was looked up."""


class UnknownBody(UnknownName):
    """A body that the character does not have."""


class UnknownJoint(UnknownName):
    """A joint that the character or the clip does not have."""


class UnknownMotion(UnknownName):
    """A motion clip that the catalog does not have."""


class MotionError(MimicKitError):
    """A motion file that cannot be used: damaged, hostile, or made for another character."""


class CharacterError(MimicKitError):
    """A character file that does not describe a character this package can simulate."""


class EngineError(MimicKitError):
    """An engine that is not installed or cannot do what was asked of it."""


class IncompatibleParts(MimicKitError):
    """Parts of a run that cannot work together, each fine by itself."""


class CheckpointError(MimicKitError):
    """A checkpoint that is damaged, missing or belongs to another run."""


class RunError(MimicKitError):
    """A run that cannot start or go on: its folder, its files or its numbers."""


def closest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that look most like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def closest_beside(path: Path) -> str:
    """' Closest: a, b.' of what lies where `path` should; '' if nothing there looks like it."""
    siblings = [found.name for found in path.parent.iterdir()] if path.parent.is_dir() else []
    near = closest(path.name, siblings)
    return f" Closest: {', '.join(near)}." if near else ""


def unknown_name_message(
    kind: str, name: str, known: Iterable[str], where: str = "", most: int = 12
) -> str:
    """One line that says which name is unknown, what looks like it, and what exists.

    Args:
        kind: what the name should have been, e.g. "character 'g1' has no body".
        where: the key to change, e.g. "character.key_bodies".
        most: how many existing names to list.
    """
    names = sorted(str(k) for k in known)
    message = f"{kind} '{name}'"
    if where:
        message += f" (asked for by {where})"
    near = closest(name, names)
    message += f". Closest: {', '.join(near)}" if near else ""
    shown = ", ".join(names[:most]) or "none"
    return f"{message}. All: {shown}{', ...' if len(names) > most else '.'}"
