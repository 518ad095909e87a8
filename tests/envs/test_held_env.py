"""Steps of several control steps: what is credited, and how the episode stands."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mimickit.envs.held_env import HeldEnv
from mimickit.errors import IncompatibleParts
from mimickit.specs import GroupSpec
from mimickit.state import Done, Step
from tests.envs.parts import make_env
from tests.no_sync import no_sync

NULL, FAIL, SUCC, TIME = (int(done) for done in Done)


class Scripted:
    """What `HeldEnv` needs of an `Env`: rewards and endings as written, [steps, N] each."""

    dt = 0.1
    max_steps = 6
    action_size = 2
    engine = task = actions = None
    conditions = {}  # noqa: RUF012
    groups = {"policy": GroupSpec(1)}  # noqa: RUF012
    device = torch.device("cpu")
    divergences = torch.zeros(())
    generator = torch.Generator()

    def __init__(self, rewards, dones, hold, signal_size=1):
        self.rewards, self.dones = torch.tensor(rewards), torch.tensor(dones)
        self.num_envs, self.hold = self.rewards.shape[1], hold
        self.signals = {"style": SimpleNamespace(size=signal_size)}
        self.asked, self.resets = [], []

    def step(self, action):
        t = len(self.asked)
        self.asked.append(action)
        reward = self.rewards[t]
        return Step(
            reward={"goal": reward, "twice": 2.0 * reward},
            done=self.dones[t],
            info={},
            signals={"style": 10.0 * reward.unsqueeze(-1)},
        )

    def reset(self, mask):
        self.resets.append(mask)

    def observe(self):
        return {"policy": torch.full((self.num_envs, 1), float(len(self.asked)))}


def test_a_reward_is_the_mean_over_the_control_steps_until_the_episode_ended():
    """The second env fails in its second control step: (1 + 3) / 2, and what follows is nobody's.

    The third succeeds in its first, the fourth is cut by the clock at the end of the hold.
    """
    nan = float("nan")  # of worlds that blew up after their end, say
    env = HeldEnv(
        Scripted(
            [[1.0, 1.0, 5.0, 3.0], [2.0, 3.0, nan, 3.0], [6.0, nan, 9.0, 0.0]],
            [[NULL, NULL, SUCC, NULL], [NULL, FAIL, FAIL, NULL], [NULL, TIME, NULL, TIME]],
            hold=3,
        )
    )
    action = torch.ones(4, 2)
    step = env.step(action)
    mean = [3.0, 2.0, 5.0, 2.0]  # (1 + 2 + 6) / 3, (1 + 3) / 2, 5 / 1, (3 + 3 + 0) / 3
    assert step.reward["goal"].tolist() == mean
    assert step.reward["twice"].tolist() == [2.0 * reward for reward in mean]
    assert step.signals["style"].tolist() == [[10.0 * reward] for reward in mean]
    assert step.done.tolist() == [NULL, FAIL, SUCC, TIME]
    assert step.info["control_steps"].tolist() == [3.0, 2.0, 1.0, 3.0]
    assert all(asked is action for asked in env.env.asked)
    assert env.observe()["policy"].tolist() == [[3.0]] * 4  # of the state at the end of the hold


def test_every_step_begins_anew():
    env = HeldEnv(Scripted([[1.0], [3.0], [5.0], [7.0]], [[NULL], [FAIL], [NULL], [NULL]], hold=2))
    assert env.step(torch.zeros(1, 2)).done.tolist() == [FAIL]
    env.reset(torch.tensor([True]))
    step = env.step(torch.zeros(1, 2))
    assert (step.done.tolist(), step.reward["goal"].tolist()) == ([NULL], [6.0])
    assert [mask.tolist() for mask in env.env.resets] == [[True]]


def test_times_are_those_of_the_longer_steps():
    env = HeldEnv(Scripted([[0.0]], [[NULL]], hold=3))
    assert (env.control_steps, env.max_steps, env.dt) == (3, 2, pytest.approx(0.3))


def test_a_signal_without_a_mean_is_refused():
    with pytest.raises(IncompatibleParts, match=r"'style' has 7 numbers per control step.*SkillSt"):
        HeldEnv(Scripted([[0.0]], [[NULL]], hold=3, signal_size=7))


@pytest.mark.engine("mujoco")
def test_it_is_the_environment_below_asked_several_times(humanoid):
    """Bit for bit, with the rewards' mean; and a hold goes on from its own state."""
    plain, held = (
        make_env(humanoid, num=3, hold=hold, pose_termination=False, contact_termination=False)
        for hold in (1, 4)
    )
    held = HeldEnv(held)
    assert (held.max_steps, held.env.max_steps) == (75, 300)
    actions = 0.3 * torch.randn(2, 3, 28, generator=torch.Generator().manual_seed(0))
    for action in actions:
        rewards = [plain.step(action).reward["pose"] for _ in range(4)]
        torch.testing.assert_close(held.step(action).reward["pose"], sum(rewards) / 4)
        assert torch.equal(held.observe()["policy"], plain.observe()["policy"])
    saved = held.state_dict()
    one = held.step(actions[0])
    held.step(actions[1])
    held.load_state_dict(saved)
    other = held.step(actions[0])
    assert torch.equal(one.reward["pose"], other.reward["pose"])


def test_a_hold_never_waits_for_the_device():
    env = HeldEnv(Scripted([[1.0]] * 3, [[NULL]] * 3, hold=3))
    with no_sync():
        env.step(torch.zeros(1, 2))
