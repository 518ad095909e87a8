"""Every method, algorithm, task and character: together they compose, and run or say why not."""

from __future__ import annotations

import itertools
import math

import pytest

from mimickit import launch
from mimickit.errors import IncompatibleParts
from mimickit.motions.catalog import MOTIONS, motion_names
from tests.conf.test_compose import GROUPS, all_pairs
from tests.training.runs import build, metrics

CHOICES = {group: GROUPS[group] for group in ("method", "algo", "task", "character")}
# Of the networks and of the rollout as little as there can be; a goal is asked for with weight.
SMALL = (
    "num_envs=2",
    "algo.steps=4",
    "algo.actor_minibatches=1",
    "algo.critic_minibatches=1",
    "evaluation.num_envs=1",
    "evaluation.episodes=1",
    "task.episode_length_s=0.5",
    "method.reward.task=0.5",
    "evaluation.every=1e9",
)
NETWORK = ("hidden=[8]", "minibatches=1")
REPLAY = ("replay_capacity=8", "replay_push=4")
PARTS = {"amp": ("style",), "add": ("tracking",), "ase": ("style", "skill")}


def overrides(row):
    """What a user would type for a combination, and what makes it small."""
    words = [f"{group}={choice}" for group, choice in row.items()]
    clips = motion_names(MOTIONS / row["character"])
    words.append(f"motion={'jump' if row['task'] == 'obstacles' and 'jump' in clips else 'walk'}")
    for part in PARTS.get(row["method"], ()):
        settings = NETWORK if part == "skill" else (*NETWORK, *REPLAY)
        words += [f"method.parts.{part}.{word}" for word in settings]
    return [*words, *SMALL]


def runs(folder, row):
    """Whether a combination runs an iteration; no other failure than a refusal is let through."""
    words = overrides(row)
    if row["method"] == "ase_hlc":
        low = overrides({**row, "method": "ase", "task": "style"})
        build(folder / "low", *low, iterations=1).start()
        words.append(f"skills={folder / 'low'}")
    try:
        build(folder, *words, iterations=1).start()
    except IncompatibleParts as refusal:
        assert len(str(refusal)) > 20
        return False
    assert math.isfinite(float(metrics(folder)["algo/critic_loss"][0]))
    return True


@pytest.mark.slow
def test_all_combinations_compose():
    for choices in itertools.product(*CHOICES.values()):
        row = dict(zip(CHOICES, choices))
        launch.check_config(launch.compose(["engine=mujoco", *overrides(row)]))


@pytest.mark.slow
@pytest.mark.engine("mujoco")
@pytest.mark.parametrize("row", all_pairs(CHOICES), ids=lambda row: "-".join(row.values()))
def test_every_pair_runs_or_is_refused(tmp_path, row):
    runs(tmp_path, row)


@pytest.mark.engine("mujoco")
@pytest.mark.parametrize(
    ("method", "task", "legal"),
    [
        ("add", "imitate", True),
        ("amp", "imitate", True),
        ("add", "style", False),  # nothing tells the policy where in its clip it should be
        ("deepmimic", "style", True),
        ("ase", "style", True),
        ("ase_hlc", "imitate", True),
        ("ase_hlc", "reach", False),  # a go2 has no hands
        ("ase", "imitate", True),
    ],
)
def test_what_can_go_together_does(tmp_path, method, task, legal):
    row = {"method": method, "algo": "awr", "task": task, "character": "go2"}
    assert runs(tmp_path, row) == legal
