"""Running statistics: exact merging, freezing, clipping, floors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.models.normalizer import Normalizer


def test_two_batches_by_hand():
    # 1, 3 and then 8: mean 4, squares about it 9 + 1 + 16 = 26, variance 26 / 3.
    normalizer = Normalizer(1)
    normalizer.update(torch.tensor([[1.0], [3.0]]))
    normalizer.update(torch.tensor([[8.0]]))
    std = (26.0 / 3.0) ** 0.5
    assert normalizer.mean.item() == pytest.approx(4.0)
    assert normalizer.std.item() == pytest.approx(std, rel=1e-6)
    assert normalizer(torch.tensor([[8.0]])).item() == pytest.approx(4.0 / std, rel=1e-6)


def test_is_the_identity_before_the_first_update():
    values = torch.tensor([[-3.0, 0.5]])
    assert torch.equal(Normalizer(2)(values), values)
    assert torch.equal(Normalizer(2).std, torch.ones(2))


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6), mean=st.sampled_from([0, 1e6]))
def test_merged_batches_equal_statistics_of_all_at_once(sizes, mean):
    # Naive float32 sums of squares lose a spread of 1 beside a mean of 1e6 altogether.
    rng = np.random.default_rng(sum(sizes))
    batches = [(mean + rng.normal(size=(size, 3))).astype(np.float32) for size in sizes]
    normalizer = Normalizer(3)
    for batch in batches:
        normalizer.update(torch.from_numpy(batch))
    everything = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, everything.mean(0), rtol=1e-12, atol=1e-9)
    std = np.maximum(everything.std(0), normalizer.min_std)
    np.testing.assert_allclose(normalizer.std, std, rtol=1e-5)
    assert normalizer.count.item() == len(everything)


def test_chunks_merge_as_batches_do(monkeypatch):
    whole, cut, values = Normalizer(3), Normalizer(3), 1e6 + torch.randn(50, 3)
    whole.update(values)
    monkeypatch.setattr("mimickit.models.normalizer.CHUNK", 16)
    cut.update(values)
    torch.testing.assert_close(cut.mean, whole.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(cut.std, whole.std, rtol=1e-6, atol=0)
    assert cut.count.item() == 50


def test_leading_axes_do_not_matter():
    flat, stacked = Normalizer(2), Normalizer(2)
    values = torch.randn(4, 5, 2)
    flat.update(values.view(20, 2))
    stacked.update(values)
    assert torch.equal(flat.mean, stacked.mean)
    assert torch.equal(flat(values), stacked(values))


def test_freezes_once_the_budget_is_spent():
    normalizer = Normalizer(1, max_samples=3)
    normalizer.update(torch.tensor([[0.0], [2.0]]))  # 2 of 3: the next batch still counts, whole
    normalizer.update(torch.tensor([[4.0], [6.0]]))
    assert normalizer.count.item() == 4
    frozen = {name: value.clone() for name, value in normalizer.state_dict().items()}
    normalizer.update(torch.full((10, 1), 1e6))
    for name, value in normalizer.state_dict().items():
        assert torch.equal(value, frozen[name])


def test_stays_frozen_in_the_policy_that_loads_it():
    first, second = Normalizer(1, max_samples=2), Normalizer(1, max_samples=2)
    first.update(torch.tensor([[0.0], [2.0]]))
    second.load_state_dict(first.state_dict())
    second.update(torch.tensor([[100.0]]))
    assert second.mean.item() == 1.0
    assert torch.equal(second(torch.tensor([[3.0]])), first(torch.tensor([[3.0]])))


def test_clips_either_way_and_floors_the_spread_of_constant_features():
    normalizer = Normalizer(2, clip=5.0, min_std=0.1)
    normalizer.update(torch.tensor([[7.0, -1.0], [7.0, 1.0]]))
    # Feature 0 is constant: spread 0.1. (7.2 - 7) / 0.1 = 2; 8 would be 10 and is clipped to 5.
    out = normalizer(torch.tensor([[7.2, 1.0], [8.0, -40.0]]))
    torch.testing.assert_close(out, torch.tensor([[2.0, 1.0], [5.0, -5.0]]), atol=1e-4, rtol=0)


def test_normalising_leaves_its_input_alone():
    normalizer, values = Normalizer(1), torch.tensor([[100.0]])
    normalizer(values)
    assert values.item() == 100.0
