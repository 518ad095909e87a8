"""The loop: what a step returns, when it ends, and that nothing is reset behind anyone's back."""

from __future__ import annotations

import pytest
import torch

from mimickit.envs.actions import AbsoluteActions, ReferenceActions
from mimickit.envs.env import Env
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.state import Done
from tests.envs.parts import DT, make_env, same_bits

pytestmark = pytest.mark.engine("mujoco")
LENIENT = {"pose_termination": False, "contact_termination": False}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs what blew up where it runs


def noise(num, steps, seed=0):
    return 0.3 * torch.randn(steps, num, 28, generator=torch.Generator().manual_seed(seed))


def play(env, actions, reset=True):
    """The steps, each with its reward terms stacked; finished envs are reset as a learner would."""
    steps = []
    for action in actions:
        step = env.step(action)
        seen = env.observe()["policy"]
        steps.append((seen, torch.stack(list(step.reward.values())), step.done))
        if reset:
            env.reset(step.done != Done.NULL)
    return steps


def equal_steps(a, b):
    return len(a) == len(b) and all(
        torch.equal(x, y) for one, other in zip(a, b) for x, y in zip(one, other)
    )


def test_it_describes_itself(humanoid):
    env = make_env(humanoid, num=3)
    assert (env.num_envs, env.action_size, env.max_steps) == (3, 28, 300)
    assert env.dt == pytest.approx(DT)
    assert env.groups["policy"].size == 464
    assert env.observe()["policy"].shape == (3, 464)
    assert env.episode_steps.tolist() == [0, 0, 0]
    assert env.state is env.engine.state


def test_episodes_start_on_the_reference(humanoid):
    env = make_env(humanoid, num=16)
    assert len(set(env.task.times.tolist())) > 8  # at random times
    for name in ("root_pos", "root_vel", "root_ang_vel", "dof_vel", "body_pos"):
        torch.testing.assert_close(
            getattr(env.state, name), getattr(env.task.reference, name), atol=1e-4, rtol=1e-4
        )


def test_a_step_returns_the_state_it_reached(humanoid):
    env = make_env(humanoid, num=5)
    before = env.state.clone()
    step = env.step(noise(5, 1)[0])
    assert not torch.equal(env.state.root_pos, before.root_pos)
    assert torch.equal(env.observe()["policy"], env.task.observe(env.state)["policy"])
    for name, term in env.task.rewards(env.state).items():
        assert torch.equal(step.reward[name], term), name
    assert step.info["episode_steps"].tolist() == [1] * 5


def test_the_reference_moves_with_the_step(humanoid):
    """Rewards compare the state reached with the reference of the same instant."""
    env = make_env(humanoid, num=4)
    start = env.task.times.clone()
    ahead = env.task.next_reference.clone()
    env.step(noise(4, 1)[0])
    torch.testing.assert_close(env.task.times, start + DT)
    assert same_bits(env.task.reference, ahead)
    found = env.task.library.lookup(env.task.clips, start + DT)
    torch.testing.assert_close(env.task.reference.body_pos, found.body_pos, atol=1e-5, rtol=0)


def test_reference_actions_get_the_reference_of_the_state_to_come(humanoid):
    asked = []

    class Recorder(ReferenceActions):
        def decode(self, action, state, next_reference):
            asked.append(next_reference.clone())
            return super().decode(action, state, next_reference)

    env = make_env(humanoid, num=3, actions=Recorder(humanoid, "pos"))
    env.step(torch.zeros(3, 28))
    assert same_bits(asked[0], env.task.reference)


def test_a_step_never_resets(humanoid):
    """Three steps of time, and two more that nobody should have taken."""
    env = make_env(humanoid, num=3, episode_length_s=0.1, **LENIENT)
    actions = noise(3, 5)
    same = make_env(humanoid, num=3, **LENIENT)
    for number, action in enumerate(actions, start=1):
        step = env.step(action)
        same.step(action)
        assert step.done.tolist() == [Done.TIME if number >= 3 else Done.NULL] * 3
        assert torch.equal(env.observe()["policy"], same.observe()["policy"])
        assert env.episode_steps.tolist() == [number] * 3
    assert same_bits(env.state, same.state)


def test_what_a_step_gave_outlives_the_reset(humanoid):
    """What a learner bootstraps from must not change under its hands."""
    env = make_env(humanoid, num=3, episode_length_s=2 * DT, **LENIENT)
    env.step(noise(3, 1)[0])
    step = env.step(noise(3, 1)[0])
    obs = env.observe()["policy"]
    kept = obs.clone(), step.done.clone(), step.info["episode_steps"].clone()
    rewards = {name: term.clone() for name, term in step.reward.items()}
    env.reset(step.done != Done.NULL)
    assert not torch.equal(env.observe()["policy"], obs)
    env.step(noise(3, 1)[0])
    assert torch.equal(obs, kept[0])
    assert torch.equal(step.done, kept[1])
    assert torch.equal(step.info["episode_steps"], kept[2])
    assert all(torch.equal(step.reward[name], term) for name, term in rewards.items())


def test_a_reset_leaves_the_others_alone(humanoid):
    env = make_env(humanoid, ["walk", "run"], num=6)
    play(env, noise(6, 4), reset=False)
    mask = torch.tensor([True, False, False, True, False, False])
    state, obs, times = env.state.clone(), env.observe()["policy"], env.task.times.clone()
    clips, reference = env.task.clips.clone(), env.task.reference.clone()
    env.reset(mask)
    new = env.observe()["policy"]
    assert torch.equal(new[~mask], obs[~mask])
    assert not torch.equal(new[mask], obs[mask])
    assert same_bits(env.state, state, ~mask)
    assert same_bits(env.task.reference, reference, ~mask)
    assert torch.equal(env.task.times[~mask], times[~mask])
    assert torch.equal(env.task.clips[~mask], clips[~mask])
    assert env.episode_steps.tolist() == [0, 4, 4, 0, 4, 4]


def test_a_reset_of_nobody_changes_nothing(humanoid):
    env = make_env(humanoid, num=3)
    play(env, noise(3, 2), reset=False)
    obs, state = env.observe()["policy"], env.state.clone()
    env.reset(torch.zeros(3, dtype=torch.bool))
    assert torch.equal(env.observe()["policy"], obs)
    assert same_bits(env.state, state)


def test_the_clock_ends_an_episode(humanoid):
    """10 s at 30 Hz: done with the 300th step, here 0.2 s with the 6th."""
    env = make_env(humanoid, num=2, episode_length_s=0.2, **LENIENT)
    done = [step[2].tolist() for step in play(env, noise(2, 12))]
    expected = [[Done.NULL] * 2] * 5 + [[Done.TIME] * 2]
    assert done == 2 * expected


@pytest.mark.parametrize("hold", [1, 3])
def test_episodes_that_are_spread_end_one_after_the_other(humanoid, hold):
    """Four envs as two ranks of two: 0, 1, 2, 3 quarters of their 12 steps are over.

    So they end after 12, 9, 6 and 3 steps; from then on each episode lasts its 12.
    """
    ends = []
    for first in (0, 2):
        env = make_env(humanoid, num=2, episode_length_s=0.4, hold=hold, **LENIENT)
        env.spread_episodes(first, 4)
        done = torch.stack([step[2] for step in play(env, noise(2, 24))])
        assert set(done.flatten().tolist()) == {int(Done.NULL), int(Done.TIME)}
        ends += [(row.nonzero().flatten() + 1).tolist() for row in done.T]
    assert ends == [[12, 24], [9, 21], [6, 18], [3, 15]]


def test_the_end_of_a_clip_that_does_not_loop_is_a_success(humanoid):
    """Even when the clock runs out in the same step."""
    env = make_env(humanoid, "kick", num=2, random_start=False, **LENIENT)
    duration = float(env.task.library.durations[0])
    last = next(n for n in range(1, 300) if n * DT >= duration)
    env.max_steps = last
    done = [step[2].tolist() for step in play(env, noise(2, last), reset=False)]
    assert done == [[Done.NULL] * 2] * (last - 1) + [[Done.SUCC] * 2]


def test_a_loop_never_succeeds(humanoid):
    env = make_env(humanoid, "walk", num=2, **LENIENT)
    assert float(env.task.library.durations[0]) < 2.0
    assert all((step[2] == Done.NULL).all() for step in play(env, noise(2, 75), reset=False))


def test_a_fall_is_a_failure(humanoid):
    """Limp joints: the pelvis or a shin reaches the ground before the 10 s are over."""
    env = make_env(humanoid, num=4, mode="none", pose_termination=False)
    for _ in range(60):
        step = env.step(torch.zeros(4, 28))
        if (step.done == Done.FAIL).all():
            break
    assert (step.done == Done.FAIL).all()
    feet = humanoid.body_ids(humanoid.feet, "")
    others = [b for b in range(15) if b not in feet]
    assert (env.state.contact_force[:, others].abs() > 0.1).any(-1).any(-1).all()


def test_a_world_that_blows_up_fails_and_is_counted(humanoid):
    """Over success and time, in the one env; the others do not notice."""
    length = {"episode_length_s": 2 * DT, **LENIENT}
    harmed, sound = (make_env(humanoid, num=3, **length) for _ in range(2))
    actions = noise(3, 2)
    bad = actions.clone()
    bad[1, 1, 7] = float("nan")
    for action, other in zip(bad, actions):
        step = harmed.step(action)
        sound.step(other)
    assert step.done.tolist() == [Done.TIME, Done.FAIL, Done.TIME]
    assert harmed.divergences.item() == 1
    assert sound.divergences.item() == 0
    seen = harmed.observe()["policy"]
    assert torch.isfinite(seen).all()
    assert all(torch.isfinite(term).all() for term in step.reward.values())
    rows = torch.tensor([0, 2])
    assert torch.equal(seen[rows], sound.observe()["policy"][rows])
    harmed.reset(step.done != Done.NULL)
    assert (harmed.step(actions[0]).done == Done.NULL).all()
    assert harmed.divergences.item() == 1


@pytest.mark.parametrize("motion", ["walk", ["turn_left0", "backflip", "getup_faceup"]])
@pytest.mark.parametrize("relative", [False, True])
def test_a_saved_env_goes_on_bit_for_bit(humanoid, motion, relative, tmp_path):
    """Through resets, clips that turn, and several of them, in an env with another past."""

    def build(seed):
        actions = ReferenceActions(humanoid, "pos") if relative else None
        return make_env(humanoid, motion, num=7, seed=seed, actions=actions, phase=2)

    original, copy = build(0), build(1)
    play(original, noise(7, 20))
    torch.save(original.state_dict(), tmp_path / "env.pt")
    obs = original.observe()["policy"]
    steps = play(original, noise(7, 40, seed=1))
    assert any((step[2] != Done.NULL).any() for step in steps)
    play(copy, noise(7, 9, seed=5))
    copy.load_state_dict(torch.load(tmp_path / "env.pt", weights_only=True))
    assert torch.equal(copy.observe()["policy"], obs)
    assert equal_steps(play(copy, noise(7, 40, seed=1)), steps)
    assert torch.equal(copy.episode_steps, original.episode_steps)
    assert copy.divergences == original.divergences


def test_equal_seeds_give_equal_runs(humanoid):
    runs = [play(make_env(humanoid, num=5, seed=4), noise(5, 15)) for _ in range(2)]
    assert equal_steps(*runs)


def test_an_action_space_that_needs_a_reference_is_refused_without_one(humanoid):
    class Wander:
        provides = frozenset()

    with pytest.raises(IncompatibleParts) as caught:
        Env(None, Wander(), ReferenceActions(humanoid, "pos"))
    message = str(caught.value)
    assert message.startswith("ReferenceActions needs reference (clips that move on beside the ")
    assert "visible_reference (a reference that the policy sees: task.target_steps" in message
    assert message.endswith("which task Wander does not provide; or use action=absolute")


@pytest.mark.parametrize("length", [0.0, -1.0, 0.01, float("inf"), float("nan")])
def test_an_episode_has_a_length(humanoid, length):
    with pytest.raises(ConfigError, match=rf"task.episode_length_s.*{length}"):
        make_env(humanoid, num=1, episode_length_s=length)


def test_an_action_is_held_from_the_first_step_of_each_episode_on(humanoid):
    asked = []

    class Recorder(AbsoluteActions):
        def decode(self, action, state, next_reference):
            asked.append(action[:, 0].tolist())
            return super().decode(action, state, next_reference)

    env = make_env(humanoid, num=2, actions=Recorder(humanoid, "pos"), hold=3, **LENIENT)
    for step in range(6):
        env.step(torch.full((2, 28), 0.1 * step))
        if step == 3:  # the second begins anew, and takes the next action that comes
            env.reset(torch.tensor([False, True]))
    expected = [[0.0, 0.0]] * 3 + [[0.3, 0.3], [0.3, 0.4], [0.3, 0.4]]
    assert torch.tensor(asked) == pytest.approx(torch.tensor(expected))


def test_episodes_last_whole_holds(humanoid):
    assert make_env(humanoid, num=1, hold=7).max_steps == 301  # of 300 steps, 43 * 7
    assert make_env(humanoid, num=1, hold=5).max_steps == 300


def test_it_goes_on_in_the_middle_of_a_hold(humanoid):
    first, second = (make_env(humanoid, num=2, seed=seed, hold=3, **LENIENT) for seed in (1, 2))
    first.step(torch.full((2, 28), 0.5))
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        for env in (first, second):
            env.step(torch.zeros(2, 28))
        assert same_bits(first.state, second.state)
