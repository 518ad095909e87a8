"""The mode that finds what a CUDA graph could not capture finds it on a CPU."""

from __future__ import annotations

import pytest
import torch

from tests.no_sync import SyncError, no_sync

VALUES, MASK = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, False, True])


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: VALUES[0].item(), "item reads a number"),
        (lambda: float(VALUES.sum()), "reads a number"),
        (lambda: bool(MASK.any()), "reads a number"),
        (lambda: 1 if MASK.any() else 0, "reads a number"),
        (lambda: int(MASK.sum()), "reads a number"),
        (lambda: range(MASK.sum()), "reads a number"),
        (lambda: VALUES.tolist(), "tolist reads a number"),
        (lambda: VALUES.numpy(), "numpy reads a number"),
        (lambda: VALUES.cpu(), "cpu reads a number"),
        (lambda: torch.equal(VALUES, VALUES), "equal reads a number"),
        (lambda: torch.allclose(VALUES, VALUES), "reads a number"),
        (lambda: MASK.nonzero(), "nonzero has a result whose shape depends on data"),
        (lambda: torch.where(MASK), "nonzero has a result"),
        (lambda: VALUES[MASK], "indexing with a mask"),
        (lambda: VALUES.clone().__setitem__(MASK, VALUES[:2]), "indexing with a mask"),
        (lambda: VALUES.masked_select(MASK), "masked_select has a result"),
        (lambda: VALUES.unique(), "unique2 has a result"),
        (lambda: VALUES.repeat_interleave(MASK.long()), "or output_size"),
        (lambda: torch.tensor([1.0, 2.0]), "copies from the host"),
        (lambda: torch.zeros(3)[VALUES.long() > 1], "indexing with a mask"),
    ],
)
def test_finds(work, message):
    with pytest.raises(SyncError, match=message), no_sync():
        work()


def test_finds_it_in_a_backward_pass_as_well():
    x = torch.ones(3, requires_grad=True)
    x.register_hook(lambda gradient: gradient * float(gradient.sum()))
    with pytest.raises(SyncError, match="reads a number"), no_sync():
        x.sum().backward()


def test_lets_work_of_fixed_shapes_pass():
    index, buffer = torch.tensor([1]), torch.zeros(3)
    with no_sync():
        buffer.copy_(torch.where(MASK, VALUES, 0.0).masked_fill(MASK, 5.0))
        buffer[1] = 2.0
        buffer.index_copy_(0, index, buffer[index] + VALUES[torch.arange(3)][:1])
        torch.full((), 3.0).add_(VALUES.sum())
    assert buffer.tolist() == [5.0, 3.0, 5.0]
