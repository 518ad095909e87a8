"""Makes files that are wrong in one way each: clips, data sets, models, runs and checkpoints."""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml

from mimickit.motions.clip import _content_hash

ROOT = Path(__file__).resolve().parents[1]
WALK = ROOT / "motions" / "humanoid" / "walk.npz"
MODEL = ROOT / "assets" / "humanoid" / "humanoid.xml"
CHECKPOINT = "run/checkpoints/checkpoint_000000000008.pt"
TRAP = "trap_was_sprung"  # the file that a hostile pickle makes when it runs


class Hostile:
    """Runs a shell command when it is unpickled."""

    def __reduce__(self):
        return (os.system, (f"touch {TRAP}",))


def made(function, *arguments, **settings):
    """`function(folder, trained)` with the rest bound: how the tables below name a preparation."""

    def prepare(folder, trained):
        function(folder, trained, *arguments, **settings)

    return prepare


def maker(function):
    """Turn `function(folder, trained, ...)` into one that returns a preparation."""
    return functools.partial(made, function)


def both(*preparations):
    """One preparation after the other."""

    def prepare(folder, trained):
        for each in preparations:
            each(folder, trained)

    return prepare


@maker
def text(folder, _, name, content):
    """A text file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@maker
def data(folder, _, name, content):
    """A file of bytes."""
    (folder / name).write_bytes(content)


@maker
def clip(folder, _, **changes):
    """clip.npz: the walk with some members changed, its stored hash right all the same."""
    with np.load(WALK, allow_pickle=False) as archive:
        members = {key: archive[key] for key in archive.files}
    members.pop("content_hash")
    for key, change in changes.items():
        members[key] = np.asarray(change(members[key]) if callable(change) else change)
    members["content_hash"] = np.array(_content_hash(members))
    np.savez(folder / "clip.npz", **members)


def with_nan(array):
    """One NaN in the middle."""
    array = array.copy()
    array[5, 3] = np.nan
    return array


def with_names(array, **names):
    """Joint names, some of them replaced."""
    return np.array([names.get(str(name), str(name)) for name in array])


@maker
def truncated_clip(folder, _):
    """clip.npz: the first half of a clip."""
    content = WALK.read_bytes()
    (folder / "clip.npz").write_bytes(content[: len(content) // 2])


@maker
def clip_of_objects(folder, _):
    """clip.npz: with an array of Python objects, which numpy would unpickle."""
    np.savez(folder / "clip.npz", format=np.array([Hostile()], dtype=object))


@maker
def pickled_clip(folder, _, frames=None, fps=30, loop_mode=1, hostile=False):
    """clip.pkl in MimicKit's layout."""
    content = {"loop_mode": loop_mode, "fps": fps, "frames": frames}
    (folder / "clip.pkl").write_bytes(pickle.dumps(Hostile() if hostile else content))


@maker
def model(folder, _, old="", new="", whole=None):
    """model.xml: the humanoid's with one text replaced, or other text altogether."""
    content = MODEL.read_text()
    assert old in content
    (folder / "model.xml").write_text(content.replace(old, new, 1) if whole is None else whole)


@maker
def run(folder, trained, old="", new=""):
    """run/: a trained run, one text in its config replaced."""
    shutil.copytree(trained, folder / "run")
    path = folder / "run" / "config.yaml"
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))


@maker
def run_with_checkpoint(folder, trained, change):
    """run/: a trained run whose checkpoint was changed: a dict to a dict, or bytes to bytes."""
    shutil.copytree(trained, folder / "run")
    path = folder / CHECKPOINT
    if change.__annotations__.get("return") == "dict":
        torch.save(change(torch.load(path, weights_only=True)), path)
    else:
        path.write_bytes(change(path.read_bytes()))


@maker
def run_and_checkpoint(folder, trained, **facts):
    """run/ and other.pt: a checkpoint that differs from the run's in some facts."""
    shutil.copytree(trained, folder / "run")
    state = torch.load(folder / CHECKPOINT, weights_only=True)
    state["facts"].update(facts)
    torch.save(state, folder / "other.pt")


def first_half(content: bytes) -> bytes:
    """What a copy leaves that was cut short."""
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def noise(content: bytes) -> bytes:
    """Something else entirely."""
    return np.random.default_rng(0).bytes(1000)


def pickled(content: bytes) -> bytes:
    """A pickle that runs a command."""
    return pickle.dumps(Hostile())


def newer(state: dict) -> dict:
    """Written by a later version."""
    return {**state, "version": 99}


def foreign(state: dict) -> dict:
    """Weights of some other program."""
    return {"model": {"weight": torch.zeros(2)}}


@maker
def hostile_checkpoint(folder, trained):
    """run/: the checkpoint, in torch's own format, holds an object that runs a command."""
    shutil.copytree(trained, folder / "run")
    torch.save({"version": Hostile()}, folder / CHECKPOINT)


@maker
def run_without(folder, trained, name):
    """run/: a trained run that lacks a file or a folder."""
    shutil.copytree(trained, folder / "run")
    path = folder / "run" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@maker
def metrics(folder, _, content):
    """run/metrics.csv."""
    (folder / "run").mkdir()
    (folder / "run" / "metrics.csv").write_text(content)


def dataset(*entries, key="motions"):
    """motions.yaml."""
    return text("motions.yaml", yaml.safe_dump({key: list(entries)}))


def frames(width, count=4):
    """Frames of a MimicKit clip, all zero, as lists."""
    return json.loads(json.dumps(np.zeros((count, width)).tolist()))
