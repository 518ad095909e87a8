"""TD(lambda) by done flag, and standardised advantages. Legend: T steps, N envs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.algos.returns import normalized_advantage, td_lambda_returns
from mimickit.state import Done

G, L = 0.9, 0.5  # discount and trace of the cases worked by hand
REWARD = [1.0, 2.0, 3.0]
VALUE = [10.0, 20.0, 30.0]  # of the state that each step reached
# The last step always bootstraps fully: 3 + 0.9 * 30 = 30.
LAST = 3.0 + G * 30.0


def returns(done, reward=REWARD, value=VALUE, discount=G, trace=L):
    columns = [torch.tensor(x).unsqueeze(-1) for x in (reward, value, done)]
    return td_lambda_returns(*columns, discount, trace).squeeze(-1).tolist()


def test_an_episode_that_goes_on_mixes_value_and_next_return():
    second = 2.0 + G * (0.5 * 20.0 + 0.5 * LAST)  # 2 + 0.9 * (10 + 15) = 24.5
    first = 1.0 + G * (0.5 * 10.0 + 0.5 * second)  # 1 + 0.9 * (5 + 12.25) = 16.525
    assert returns([Done.NULL] * 3) == pytest.approx([first, second, LAST])
    assert (first, second) == pytest.approx((16.525, 24.5))


@pytest.mark.parametrize("flag", [Done.FAIL, Done.SUCC])
def test_failure_and_success_have_no_future(flag):
    second = 2.0
    first = 1.0 + G * (0.5 * 10.0 + 0.5 * second)  # 1 + 0.9 * 6 = 6.4
    assert returns([Done.NULL, flag, Done.NULL]) == pytest.approx([first, second, LAST])
    assert returns([Done.NULL, Done.NULL, flag])[-1] == pytest.approx(3.0)


def test_timeout_bootstraps_from_terminal_observation():
    second = 2.0 + G * 20.0  # all of the value reached, nothing of the next episode: 20
    first = 1.0 + G * (0.5 * 10.0 + 0.5 * second)  # 1 + 0.9 * 15 = 14.5
    assert returns([Done.NULL, Done.TIME, Done.NULL]) == pytest.approx([first, second, LAST])
    assert returns([Done.NULL, Done.NULL, Done.TIME])[-1] == pytest.approx(LAST)


def test_trace_zero_is_one_step_bootstrapping():
    expected = [r + G * v for r, v in zip(REWARD, VALUE)]
    assert returns([Done.NULL] * 3, trace=0.0) == pytest.approx(expected)


def test_trace_one_is_the_discounted_sum():
    first = 1.0 + G * 2.0 + G**2 * 3.0 + G**3 * 30.0
    assert returns([Done.NULL] * 3, trace=1.0)[0] == pytest.approx(first)


@given(
    done=st.lists(st.sampled_from([0, 1, 2, 3]), min_size=2, max_size=8),
    trace=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    junk=st.sampled_from([-1e6, 1e6]),
)
def test_nothing_flows_back_over_the_end_of_an_episode(done, trace, junk):
    done[0] = done[0] or 1  # the first step ends an episode
    reward, value = [1.0] * len(done), [2.0] * len(done)
    before = returns(done, reward, value, trace=trace)[0]
    after = returns(done, [1.0] + [junk] * (len(done) - 1), [2.0] + [junk] * (len(done) - 1))[0]
    assert before == after


@given(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=1, max_size=8))
def test_the_values_of_a_perfect_critic_are_their_own_targets(done):
    # One unit of reward for ever is worth 1 / (1 - gamma) = 10 wherever there is a future.
    value = [10.0] * len(done)
    for flag, target in zip(done, returns(done, [1.0] * len(done), value, trace=0.7)):
        if flag in (Done.FAIL, Done.SUCC):
            assert target == pytest.approx(1.0)
        elif not any(f in (Done.FAIL, Done.SUCC) for f in done):
            assert target == pytest.approx(10.0, rel=1e-5)


def test_envs_do_not_touch_each_other():
    reward, value = torch.randn(2, 6, 4).unbind()
    done = torch.randint(0, 4, (6, 4))
    together = td_lambda_returns(reward, value, done, G, L)
    alone = [
        td_lambda_returns(reward[:, i : i + 1], value[:, i : i + 1], done[:, i : i + 1], G, L)
        for i in range(4)
    ]
    assert torch.equal(together, torch.cat(alone, dim=1))


def test_advantages_are_standardised_by_hand():
    # returns - value = 1, 2, 3: mean 2, sample deviation 1.
    advantage = normalized_advantage(
        torch.tensor([5.0, 5.0, 5.0]), torch.tensor([4.0, 3.0, 2.0]), 4
    )
    torch.testing.assert_close(advantage, torch.tensor([-1.0, 0.0, 1.0]))


def test_advantages_are_clipped_after_standardising():
    returns = torch.zeros(1000)
    returns[0] = 1000.0  # 31.6 deviations out
    advantage = normalized_advantage(returns, torch.zeros(1000), clip=4.0)
    assert advantage.max() == 4.0
    assert advantage[1:].abs().max() < 0.1


def test_equal_advantages_are_zero_rather_than_not_a_number():
    assert torch.equal(normalized_advantage(torch.ones(4), torch.zeros(4), 4.0), torch.zeros(4))


def test_advantages_do_not_depend_on_the_scale_of_rewards():
    returns, value = torch.randn(2, 5, 7).unbind()
    torch.testing.assert_close(
        normalized_advantage(returns, value, 4.0),
        normalized_advantage(100.0 * returns, 100.0 * value, 4.0),
        rtol=1e-4,
        atol=1e-5,
    )
