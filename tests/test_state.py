"""States are batches that are indexed, mixed and copied as one."""

from __future__ import annotations

from dataclasses import fields

import torch

from mimickit.geometry.quaternion import IDENTITY
from mimickit.state import CharacterState, Done


def random_state(num=4, num_bodies=3, num_dofs=5):
    return CharacterState.zeros(num, num_bodies, num_dofs).map(torch.rand_like)


def tensors(state):
    return {field.name: getattr(state, field.name) for field in fields(state)}


def test_zeros_have_identity_rotations():
    state = CharacterState.zeros(2, 3, 5)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors(state).items()}
    assert shapes == {
        "root_pos": (2, 3),
        "root_rot": (2, 4),
        "root_vel": (2, 3),
        "root_ang_vel": (2, 3),
        "joint_rot": (2, 2, 4),
        "dof_vel": (2, 5),
        "body_pos": (2, 3, 3),
        "body_rot": (2, 3, 4),
        "contact_force": (2, 3, 3),
    }
    for name, tensor in tensors(state).items():
        expected = torch.tensor(IDENTITY) if name.endswith("_rot") else torch.zeros(())
        assert torch.equal(tensor, expected.expand_as(tensor)), name


def test_where_takes_this_state_where_the_mask_is_true():
    a, b = random_state(), random_state()
    mask = torch.tensor([True, False, False, True])
    for name, mixed in tensors(a.where(mask, b)).items():
        assert torch.equal(mixed[mask], getattr(a, name)[mask]), name
        assert torch.equal(mixed[~mask], getattr(b, name)[~mask]), name


def test_indexing_is_the_same_for_every_tensor():
    state = random_state()
    for index in (2, slice(1, 3), torch.tensor([3, 3, 0]), torch.tensor([True, False, True, True])):
        for name, tensor in tensors(state[index]).items():
            assert torch.equal(tensor, getattr(state, name)[index]), name


def test_clone_shares_no_memory():
    state = random_state()
    before = state.map(lambda tensor: tensor + 0)
    copy = state.clone()
    for tensor in tensors(copy).values():
        tensor.zero_()
    for name, tensor in tensors(state).items():
        assert torch.equal(tensor, getattr(before, name)), name


def test_done_flags_have_the_published_numbers():
    # Source: MimicKit (Peng 2025), section 3.3.
    assert [(flag.name, int(flag)) for flag in Done] == [
        ("NULL", 0), ("FAIL", 1), ("SUCC", 2), ("TIME", 3),
    ]  # fmt: skip
    assert (torch.tensor([0, 3]) == Done.TIME).tolist() == [False, True]
