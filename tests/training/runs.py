"""Real runs, as small as they get: a humanoid in a few MuJoCo worlds."""

from __future__ import annotations

from mimickit import launch
from mimickit.loggers.csv import read_rows
from mimickit.training.checkpoint import read

TINY = (
    "num_envs=8",
    "algo.steps=8",
    "model.actor_hidden=[16]",
    "model.critic_hidden=[16]",
    "motion=walk",
    "logger=[csv]",
    "evaluation.num_envs=4",
    "evaluation.episodes=4",
    "evaluation.every=128",
    "training.checkpoint_every_s=0",
    "training.keep_checkpoints=100",
    "training.progress=false",
    "training.threads=1",
    "engine=mujoco",
    "engine.threads=1",
)
ITERATION = 64  # samples


def build(folder, *overrides, iterations=4):
    """A tiny run over some iterations, built as the command line would."""
    budget = f"max_samples={iterations * ITERATION}"
    return launch.build(launch.compose([*TINY, budget, *overrides]), folder)


def metrics(folder):
    """metrics.csv as {column: cells}, without what depends on the clock."""
    columns, rows = read_rows(folder / "metrics.csv")
    return {
        name: [row[i] for row in rows]
        for i, name in enumerate(columns)
        if not name.startswith("time/")
    }


def last_policy(folder):
    """Tensors of the newest checkpoint's policy by name."""
    return read(sorted((folder / "checkpoints").glob("checkpoint_*.pt"))[-1])["policy"]
