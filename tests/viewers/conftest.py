"""States to draw, and whether anything can be drawn here."""

from __future__ import annotations

import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.errors import EngineError
from mimickit.state import CharacterState

pytest.importorskip("mujoco")


def posed(character, dof_pos, root_pos=None, root_rot=None):
    """States of N characters with the given dofs [N, D]."""
    num = len(dof_pos)
    state = CharacterState.zeros(num, character.num_bodies, character.num_dofs)
    default = torch.tensor([0.0, 0.0, character.default_height]).expand(num, 3)
    state.root_pos.copy_(default if root_pos is None else root_pos)
    if root_rot is not None:
        state.root_rot.copy_(root_rot)
    kinematics = Kinematics(character)
    state.joint_rot.copy_(kinematics.dof_to_rot(dof_pos))
    pos, rot = kinematics.forward(state.root_pos, state.root_rot, state.joint_rot)
    state.body_pos.copy_(pos)
    state.body_rot.copy_(rot)
    return state


@pytest.fixture(scope="session")
def pose():
    """`posed`, for tests that cannot import this file."""
    return posed


@pytest.fixture
def standing(humanoid):
    """One humanoid in its default pose."""
    return posed(humanoid, torch.tensor(humanoid.default_dofs, dtype=torch.float32).unsqueeze(0))


@pytest.fixture(scope="session")
def opengl():
    """Skips a test where OpenGL does not start."""
    from mimickit.viewers.video import _gl_context

    try:
        _gl_context((16, 16)).free()
    except EngineError as error:
        pytest.skip(str(error))
