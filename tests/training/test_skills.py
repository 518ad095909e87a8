"""High levels over frozen low levels: the chain, what stays as it is, and what is refused."""

from __future__ import annotations

import itertools
import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from mimickit import launch
from mimickit.errors import (
    CheckpointError,
    ConfigError,
    IncompatibleParts,
    MimicKitError,
    RunError,
)
from mimickit.loaded_run import LoadedRun
from mimickit.methods.discriminator import clip_label
from mimickit.skills import COPY, Skills, read_skills
from mimickit.training import speed
from mimickit.training.checkpoint import read
from tests.training.runs import TINY, build, last_policy, metrics
from tests.training.skills import SMALL, build_high, train_low

pytestmark = pytest.mark.engine("mujoco")
TASKS = {
    "location": {"goal_position", "goal_velocity", "goal_facing"},
    "steering": {"goal_velocity", "goal_facing"},
    "strike": {"goal_tilt", "goal_velocity"},
    "dodgeball": {"goal_distance", "goal_stillness"},
    "reach": {"goal_position"},
}


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    """A run folder of a low level; not to be changed."""
    return train_low(tmp_path_factory.mktemp("skills") / "low")


def newest(folder):
    return sorted((folder / "checkpoints").glob("checkpoint_*.pt"))[-1]


def same(ours, theirs):
    return set(ours) == set(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


# ------------------------------------------------------------------------------------ the chain


@pytest.mark.parametrize("task", TASKS)
def test_a_high_level_pursues_every_goal(tmp_path, low, task):
    run = build_high(tmp_path, low, f"task={task}", iterations=1)
    assert (run.env.action_size, run.env.control_steps) == (20, 5)
    assert run.env.dt == pytest.approx(5 / 30)
    assert set(run.env.groups) == {"policy"}  # the latent is its action
    run.start()
    logged = metrics(tmp_path)
    terms = {name.split("/", 1)[1] for name in logged if name.startswith("reward/")}
    assert terms - {"style"} == set(TASKS[task])
    assert ("style" in terms) == (task != "steering")  # its preset does without
    judged = json.loads((tmp_path / "evaluation.json").read_text())["overall"]
    assert judged["return"] > 0.0
    assert judged["episode_length_s"] <= 1.0


def test_samples_are_control_steps_whoever_acts(tmp_path, low):
    build_high(tmp_path, low, iterations=2).start()
    # 8 envs, 8 steps of 5 control steps each.
    assert [path.name for path in sorted((tmp_path / "checkpoints").glob("c*.pt"))][-1] == (
        "checkpoint_000000000640.pt"
    )
    assert metrics(tmp_path)["eval/samples"] == ["320.0", "640.0"]


def test_the_benchmark_is_per_control_step_whoever_acts(tmp_path, low, monkeypatch):
    run = build_high(tmp_path, low, iterations=1)
    seconds = itertools.count()
    monkeypatch.setattr(speed, "ROUNDS", 1)
    monkeypatch.setattr(speed, "time", SimpleNamespace(process_time=lambda: float(next(seconds))))
    stages = speed.cpu_stages(run.env, run.policy, torch.Generator())
    # Of 8 envs, 64 steps of 5 control steps, in what a clock says is a second.
    assert stages["env"][0] == stages["env + policy"][0] == pytest.approx(1.0 / (64 * 5 * 8))


@pytest.mark.parametrize("algo", ["ppo", "awr"])
def test_the_low_level_stays_as_it_is_and_the_high_level_learns(tmp_path, low, algo):
    run = build_high(tmp_path, low, f"algo={algo}", iterations=2)
    assert run.skills is not None
    frozen = run.env.actions._policy
    trained = read(newest(low))["policy"]
    assert same(frozen.state_dict(), trained)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    style = run.env.signals["skill_style"]
    judge = {name: value.clone() for name, value in style._network.state_dict().items()}
    scale = {name: value.clone() for name, value in style._normalizer.state_dict().items()}
    before = {name: value.clone() for name, value in run.policy.state_dict().items()}
    run.start()
    assert same(frozen.state_dict(), trained)
    assert same(style._network.state_dict(), judge)
    assert same(style._normalizer.state_dict(), scale)
    after = run.policy.state_dict()
    assert not torch.equal(after["actor.0.weight"], before["actor.0.weight"])
    assert same(read(tmp_path / COPY)["policy"], trained)


def test_a_high_level_goes_on_bit_for_bit_though_its_skills_are_gone(tmp_path, low):
    skills = shutil.copytree(low, tmp_path / "low")
    build_high(tmp_path / "straight", skills, iterations=4).start()
    build_high(tmp_path / "cut", skills, iterations=4).start()
    for path in (tmp_path / "cut" / "checkpoints").glob("*.pt"):
        if f"{640:012d}" not in path.name:
            path.unlink()
    (tmp_path / "cut" / "evaluation.json").unlink()
    folder = shutil.move(tmp_path / "cut", tmp_path / "moved")
    shutil.rmtree(skills)
    launch.build(launch.compose([f"resume={folder}"], folder), folder).start()
    assert same(last_policy(folder), last_policy(tmp_path / "straight"))
    assert metrics(folder) == metrics(tmp_path / "straight")


def test_a_high_level_branches_off_from_a_checkpoint_with_its_skills(tmp_path, low):
    skills = shutil.copytree(low, tmp_path / "low")
    build_high(tmp_path / "first", skills, iterations=1).start()
    shutil.rmtree(skills)
    overrides = [f"resume={newest(tmp_path / 'first')}", "max_samples=640"]
    cfg = launch.compose(overrides, tmp_path / "first")
    launch.build(cfg, tmp_path / "second").start()
    assert newest(tmp_path / "second").name == "checkpoint_000000000640.pt"
    assert (tmp_path / "second" / COPY).is_file()


def test_a_high_level_is_evaluated_without_its_skills_folder(tmp_path, low):
    skills = shutil.copytree(low, tmp_path / "low")
    build_high(tmp_path / "high", skills, iterations=1).start()
    shutil.rmtree(skills)
    run = LoadedRun(tmp_path / "high", num_envs=2)
    assert (run.env.hold, run.env.dt) == (5, pytest.approx(1 / 30))  # each control step is seen
    obs = run.env.observe()
    run.env.step(run.policy.act_deterministic(obs))
    assert run.skills is not None
    assert run.skills.path == tmp_path / "high" / COPY


def test_random_latents_are_the_floor(tmp_path, low):
    build_high(tmp_path, low, iterations=1).start()
    run = LoadedRun(tmp_path, num_envs=4)
    floor = run.random_skills()
    first = floor.act_deterministic(run.env.observe())
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(4))
    later = first
    for _ in range(150):  # 5 s: in any case a new one by then
        later = floor.act_deterministic({})
    assert ((first - later).norm(dim=-1) > 0.1).all()
    judged = [run.evaluator.run(floor)["overall"] for _ in range(2)]
    assert judged[0]["episodes"] == judged[1]["episodes"] == 4


def test_a_run_that_uses_no_skills_has_no_floor(low):
    with pytest.raises(RunError, match=r"of method 'ase', which uses no skills.*ase_hlc"):
        LoadedRun(low, num_envs=1).random_skills()


def test_a_checkpoint_or_a_copy_does_as_well_as_a_folder(tmp_path, low):
    one = read_skills(newest(low))
    one.save(tmp_path)
    other = read_skills(tmp_path / COPY)
    assert one.fingerprint == other.fingerprint == read_skills(low).fingerprint
    assert (tmp_path / COPY).stat().st_size < newest(low).stat().st_size
    other.state["policy"]["actor.0.bias"][0] += 1.0
    assert one.fingerprint != other.fingerprint


# --------------------------------------------------------------------------- what is seen and done


def test_the_low_level_sees_and_does_what_it_did_when_it_was_trained(tmp_path, low):
    """Bit for bit what it sees; and under the same latents, of any length, the same commands."""
    run = LoadedRun(low, num_envs=4)
    actions = build_high(tmp_path, low, "num_envs=4").env.actions
    latents = run.env.conditions["latent"]
    for _ in range(5):
        obs, state, following = run.env.observe(), run.env.state, run.env.task.next_reference
        assert torch.equal(actions.observe(state), obs["policy"])
        action = run.policy.act_deterministic(obs)
        expected = run.env.actions.decode(action, state, following)
        asked = actions.decode(7.0 * latents.latent, state, None)
        torch.testing.assert_close(asked, expected, atol=1e-5, rtol=1e-5)
        run.env.step(action)


@pytest.mark.parametrize("motion", ["walk", "[walk,run,kick]"])
def test_the_style_is_what_the_low_levels_discriminator_would_pay(tmp_path, motion):
    """Of the same windows of the same motion, labelled as the clip that it looks most like."""
    low = train_low(tmp_path / "low", f"motion={motion}")
    trained = build(tmp_path / "again", *SMALL, f"motion={motion}", iterations=1)
    part = trained.method.parts["style"]
    part.load_state_dict(read(newest(low))["run"]["method"]["style"])
    (signal,) = read_skills(low).signals.values()
    style = signal(character=trained.env.engine.character, task=trained.env.task, control_dt=1 / 30)
    window = trained.env.signals["window"]
    style.load_state_dict(window.state_dict())
    state = trained.env.state
    windows = part.normalizer(window.observe(state))
    labels = clip_label(torch.arange(len(trained.env.task.library.originals)), part.facts["labels"])
    with torch.no_grad():
        rows = [torch.cat([windows, row.expand(len(windows), -1)], dim=-1) for row in labels]
        logit = torch.stack([part.logit(row) for row in rows]).amax(0)
    expected = 2.0 * torch.nn.functional.softplus(logit)  # reward_scale of -log(1 - p)
    torch.testing.assert_close(style.observe(state).squeeze(-1), expected, atol=1e-5, rtol=1e-5)


def test_a_style_that_nobody_asks_for_is_not_computed(tmp_path, low):
    without = "method.parts.style=null"
    assert set(build_high(tmp_path / "a", low, iterations=1).env.signals) == {"skill_style"}
    assert set(build_high(tmp_path / "b", low, without, iterations=1).env.signals) == set()


def test_skills_without_a_discriminator_do_without_its_reward(tmp_path, low):
    kept = read_skills(low)
    parts = {"skill": kept.config["method"]["parts"]["skill"]}
    config = {**kept.config, "method": {**kept.config["method"], "parts": parts}}
    Skills(kept.path, {**kept.state, "config": config}).save(tmp_path)
    with pytest.raises(IncompatibleParts, match=r"no style .*method\.parts\.style=null"):
        build_high(tmp_path / "a", tmp_path / COPY)
    run = build_high(tmp_path / "b", tmp_path / COPY, "method.parts.style=null", iterations=1)
    run.start()
    assert "reward/style" not in metrics(tmp_path / "b")


# -------------------------------------------------------------------------------- what is refused


@pytest.fixture(scope="module")
def others(tmp_path_factory, low):
    """Low levels that a humanoid's high level at 30 Hz cannot use, by name."""
    folder = tmp_path_factory.mktemp("others")
    build(folder / "amp", "method=amp", "method.parts.style.hidden=[16]", iterations=1).start()
    train_low(folder / "go2", "character=go2")
    train_low(folder / "targets", "task.target_steps=[1]")
    shutil.copytree(low, folder / "empty")
    shutil.rmtree(folder / "empty" / "checkpoints")
    return folder


@pytest.mark.parametrize(
    ("skills", "overrides", "kind", "message"),
    [
        ("null", (), ConfigError, r"'ase_hlc' chooses among skills and is given none: skills=<run"),
        ("{low}x", (), RunError, r"skills=.*lowx: there is no such run folder or checkpoint.*low"),
        ("{others}/empty", (), RunError, r"skills=.*empty: that folder has no checkpoint"),
        ("{low}/config.yaml", (), CheckpointError, r"config.yaml is not a checkpoint"),
        (
            "{others}/amp",
            (),
            IncompatibleParts,
            r"a run of method 'amp', whose policy sees policy \[\d+\] and no 'latent'",
        ),
        (
            "{others}/go2",
            (),
            IncompatibleParts,
            r"trained with character\.name=go2, and this run has humanoid: set character=go2",
        ),
        (
            "{others}/targets",
            (),
            IncompatibleParts,
            r"see 248 numbers, and the character alone has 140 .* train one with task=style",
        ),
        (
            "{low}",
            ("engine.control_hz=60",),
            IncompatibleParts,
            r"engine\.control_hz=30, and this run has 60: set engine\.control_hz=30",
        ),
        (
            "{low}",
            ("engine.control_mode=torque",),
            IncompatibleParts,
            r"engine\.control_mode=pos, and this run has torque",
        ),
        (
            "{low}",
            ("character.joints.neck.kp=50",),
            IncompatibleParts,
            r"trained with character\.joints\.neck\.kp=100, and this run has 50: set char",
        ),
        (
            "{low}",
            ("action=reference", "task.target_steps=[1]"),
            IncompatibleParts,
            r"action\._target_=\S*AbsoluteActions, and this run has \S*ReferenceActions",
        ),
        ("{low}", ("method=amp",), ConfigError, r"skills=.*: method 'amp' moves the joints itself"),
        ("{low}", ("method.hold=0",), ConfigError, r"method\.hold must be null or at least 1"),
        (
            "{low}",
            ("max_samples=319",),
            ConfigError,
            r"less than one iteration of num_envs=8 x algo.steps=8 x method.hold=5",
        ),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, low, others, skills, overrides, kind, message):
    with pytest.raises(MimicKitError, match=message) as refusal:
        build_high(tmp_path, skills.format(low=low, others=others), *overrides)
    assert refusal.type is kind
    assert not any(tmp_path.iterdir())


def test_a_run_goes_on_with_no_other_skills(tmp_path, low):
    build_high(tmp_path, low, iterations=1).start()
    with pytest.raises(ConfigError, match=r"goes on with the copy of .*low that it has"):
        launch.build(launch.compose([f"resume={tmp_path}", "skills=x"], tmp_path), tmp_path)


def test_skills_of_another_engine_are_welcome_and_named(tmp_path, low, capsys):
    kept = read_skills(low)
    kept.state["facts"]["engine"] = "OtherEngine"
    kept.save(tmp_path)
    build_high(tmp_path / "run", tmp_path / COPY, iterations=1).start()
    assert "after 64 samples of ase on OtherEngine" in capsys.readouterr().out


@pytest.mark.engine("mujoco_warp")
def test_the_engine_for_gpus_holds_skills_too(tmp_path, low):
    tiny = [option for option in TINY if not option.startswith("engine")]
    options = ("method=ase_hlc", f"skills={low}", "engine=mujoco_warp", "device=cpu")
    run = launch.build(launch.compose([*tiny, *options, "max_samples=320"]), tmp_path)
    run.start()
    assert float(metrics(tmp_path)["train/divergences"][0]) == 0
