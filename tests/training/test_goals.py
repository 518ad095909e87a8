"""Every method pursues every goal, and pairs that could not learn say so before they start."""

from __future__ import annotations

import json
import shutil

import pytest

from mimickit import launch
from mimickit.errors import IncompatibleParts
from tests.training.runs import ITERATION, TINY, build, last_policy, metrics

pytestmark = pytest.mark.engine("mujoco")

FIGURES = {
    "location": {"goal_distance_m", "goal_reached_share"},
    "tracked_location": {"goal_distance_m", "goal_reached_share"},
    "reach": {"goal_distance_m", "goal_reached_share"},
    "steering": {"goal_velocity_error_m_s", "goal_facing_error_rad"},
    "strike": {"goal_distance_m", "goal_felled_share"},
    "dodgeball": {"goal_ball_distance_m", "goal_hit_share"},
}
TERMS = {
    "location": {"goal_position", "goal_velocity", "goal_facing"},
    "tracked_location": {
        "goal_position", "goal_velocity", "goal_facing",
        "pose", "velocity", "root_pose", "root_velocity", "key_position",
    },
    "reach": {"goal_position"},
    "steering": {"goal_velocity", "goal_facing"},
    "strike": {"goal_tilt", "goal_velocity"},
    "dodgeball": {"goal_distance", "goal_stillness"},
}  # fmt: skip
GOALS = ("location", "reach", "steering", "strike", "dodgeball")
PAIRS = [(m, t) for m in ("amp", "add", "deepmimic") for t in GOALS]
COMMON = {"return", "episode_length_s", "success_rate", "episodes"}


def small(method):
    """Overrides for a run of a method with a tiny discriminator, if it has one, in brief."""
    part = {"amp": "style", "add": "tracking"}.get(method)
    size = [f"method.parts.{part}.hidden=[16]", f"method.parts.{part}.replay_capacity=256"]
    return (f"method={method}", "task.episode_length_s=1", *(size if part else []))


@pytest.mark.parametrize(("method", "task"), [*PAIRS, ("deepmimic", "tracked_location")])
def test_every_method_pursues_every_goal(tmp_path, method, task):
    build(tmp_path, *small(method), f"task={task}", iterations=1).start()
    logged = metrics(tmp_path)
    parts = {"amp": {"style"}, "add": {"tracking"}, "deepmimic": set()}[method]
    terms = {name.split("/", 1)[1] for name in logged if name.startswith("reward/")}
    assert terms == TERMS[task] | parts
    judged = json.loads((tmp_path / "evaluation.json").read_text())["overall"]
    assert set(judged) == COMMON | FIGURES[task]
    assert judged["return"] > 0.0


@pytest.mark.parametrize("task", ["location", "steering"])
def test_another_algorithm_pursues_goals(tmp_path, task):
    build(tmp_path, *small("amp"), f"task={task}", "algo=awr", iterations=1).start()
    assert float(metrics(tmp_path)["reward/goal_velocity"][0]) > 0.0


@pytest.mark.parametrize("task", ["steering", "dodgeball"])
def test_a_run_with_a_goal_goes_on_bit_for_bit(tmp_path, task):
    options = (*small("amp"), f"task={task}", "task.goal.period_s=[0.1,0.3]")
    build(tmp_path / "straight", *options, iterations=4).start()
    build(tmp_path / "cut", *options, iterations=4).start()
    for path in (tmp_path / "cut" / "checkpoints").glob("*.pt"):
        if f"{2 * ITERATION:012d}" not in path.name:
            path.unlink()
    (tmp_path / "cut" / "evaluation.json").unlink()
    folder = shutil.move(tmp_path / "cut", tmp_path / "moved")
    launch.build(launch.compose([f"resume={folder}"], folder), folder).start()
    ours, theirs = last_policy(folder), last_policy(tmp_path / "straight")
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert metrics(folder) == metrics(tmp_path / "straight")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("method=amp", "task=tracked_location"),
            r"method 'amp' gives the task's reward no weight.*set method\.reward\.task=0\.5",
        ),
        (
            ("method=add", "task=style"),
            r"method 'add' needs visible_reference \(a reference that the policy sees: "
            r"task\.target_steps.*which task Imitate does not provide",
        ),
        (
            ("method=deepmimic", "task=location", "action=reference"),
            r"ReferenceActions needs visible_reference.*or use action=absolute",
        ),
    ],
)
def test_what_could_not_learn_is_refused(tmp_path, overrides, message):
    with pytest.raises(IncompatibleParts, match=message):
        build(tmp_path, *overrides)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "goal"),
    [
        (("character=humanoid",), {"speed": [0.5, 5.0], "separate_facing": False}),
        (("character=humanoid_sword_shield",), {"speed": [1.4, 1.7], "separate_facing": True}),
        (
            ("character=humanoid_sword_shield", "task.goal.speed=[1,2]"),
            {"speed": [1, 2], "velocity_scale": 2.0},
        ),
    ],
)
def test_the_sword_and_shield_steer_at_one_pace(overrides, goal):
    composed = launch.compose(["method=amp", "task=steering", *overrides])
    assert {name: composed.task.goal[name] for name in goal} == goal
    assert composed.method.reward == {"task": 0.5, "style": 0.5}


def test_a_clip_that_is_typed_wins_over_the_locomotion_clips():
    assert list(launch.compose(["task=location"]).motion)[:2] == ["walk", "walk_forward"]
    assert launch.compose(["task=location", "motion=run"]).motion == "run"


@pytest.mark.parametrize("method", ["amp", "deepmimic"])
def test_tasks_without_a_target_choose_actions_that_need_none(method):
    action = launch.compose([f"method={method}", "task=location"]).action
    assert action._target_.endswith("AbsoluteActions")
    typed = launch.compose([f"method={method}", "task=location", "action=reference"]).action
    assert typed._target_.endswith("ReferenceActions")


@pytest.mark.parametrize("method", ["amp", "add", "deepmimic"])
def test_every_method_takes_its_clips_past_obstacles(tmp_path, method):
    run = build(tmp_path, *small(method), "task=obstacles", "motion=jump", iterations=1)
    assert len(run.env.objects.specs) == 7
    run.start()
    terms = {name for name in metrics(tmp_path) if name.startswith("reward/")}
    assert "reward/pose" in terms


@pytest.mark.engine("mujoco_warp")
@pytest.mark.parametrize("task", ["strike", "dodgeball"])
def test_the_engine_for_gpus_moves_objects_too(tmp_path, task):
    tiny = [option for option in TINY if not option.startswith("engine")]
    options = (*small("amp"), f"task={task}", "engine=mujoco_warp", "device=cpu")
    run = launch.build(launch.compose([*tiny, *options, f"max_samples={ITERATION}"]), tmp_path)
    run.start()
    assert run.env.objects.state.pos.shape == (8, 1, 3)
    assert float(metrics(tmp_path)["train/divergences"][0]) == 0


def test_the_sword_is_what_strikes():
    overrides = ("method=amp", "task=strike", "character=humanoid_sword_shield")
    composed = launch.compose(overrides)
    assert list(composed.task.goal.strike_bodies) == ["sword", "right_hand", "right_lower_arm"]
    assert "punch" in composed.motion
    assert launch.compose(["task=strike"]).task.goal.strike_bodies[0] == "right_hand"
    assert launch.compose(["task=dodgeball"]).task.goal.aim_body == "torso"
