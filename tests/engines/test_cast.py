"""Every character of conf/character falls, stands and flails on every engine."""

from __future__ import annotations

import pytest
import torch

from mimickit.characters import load_character
from tests.conftest import CHARACTERS, character_facts


@pytest.fixture(scope="module", params=CHARACTERS)
def character(request):
    return load_character(**character_facts(request.param))


@pytest.fixture
def here():
    """Puts drawn numbers where this test's tensors lie."""
    return lambda tensor: tensor.to(torch.empty(0).device)


@pytest.fixture
def engines(engine_factory, character):
    """Builds engines of the character at its own rates: (num_envs)."""
    rates = {"control_hz": character.control_hz, "sim_hz": character.sim_hz}
    return lambda num_envs: engine_factory(character, num_envs, **rates)


def test_it_stands_or_sinks_slowly_in_its_default_pose(engines, character, here):
    """A third of a second after it was let go: no bounce, no blow-up, no joint thrown about.

    Go2's soft drives give way by a sixth of its height.
    """
    engine = engines(2)
    engine.command(here(torch.tensor(character.default_dofs, dtype=torch.float32).repeat(2, 1)))
    start = float(engine.state.root_pos[0, 2])
    for _ in range(round(character.control_hz / 3)):
        engine.step()
    assert not engine.diverged.any()
    assert engine.state.dof_vel.abs().max() < 2.0  # [rad/s]
    assert -0.2 * start < float(engine.state.root_pos[0, 2]) - start < 0.005


def test_flailing_on_the_ground_stays_finite_and_within_the_room_for_contacts(
    engines, character, here
):
    engine = engines(8)
    generator = torch.Generator().manual_seed(0)
    low, high = here(torch.tensor(character.dof_limits, dtype=torch.float32)).unbind(-1)
    for _ in range(10):
        reach = torch.rand(8, character.num_dofs, generator=generator, device="cpu")
        engine.command(low + (high - low) * here(reach))
        for _ in range(round(character.control_hz / 6)):
            engine.step()
            assert not engine.diverged.any()
    assert torch.isfinite(engine.state.body_pos).all()
    assert engine.state.root_pos[:, 2].max() < 2.0 * character.default_height
    if hasattr(engine, "overflows"):
        assert engine.overflows.tolist() == [0, 0]
