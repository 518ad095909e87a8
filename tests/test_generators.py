"""Random states go on exactly where they can, and start anew where they cannot."""

from __future__ import annotations

import logging

import pytest
import torch

from mimickit.generators import restore

CUDA_STATE = torch.arange(16, dtype=torch.uint8)  # seed and offset: what a CUDA generator gives


def draws(generator):
    return torch.rand(5, generator=generator).tolist()


def test_goes_on_where_the_state_was_taken(caplog):
    generator = torch.Generator().manual_seed(3)
    draws(generator)
    state, expected = generator.get_state(), draws(generator)
    restore(generator, state, "the noise")
    assert draws(generator) == expected
    assert caplog.records == []


def test_a_state_of_another_device_gives_a_new_stream_and_one_warning(caplog):
    generator = torch.Generator().manual_seed(3)
    start = draws(generator)
    with caplog.at_level(logging.WARNING):
        restore(generator, CUDA_STATE, "the exploration noise")
    (record,) = caplog.records
    message = record.getMessage()
    assert message.startswith("the random state of the exploration noise is of another kind")
    assert "than cpu: it starts from a new seed" in message
    assert "\n" not in message
    assert draws(generator) != start


def test_the_new_stream_follows_from_the_state():
    def first_draws(state):
        generator = torch.Generator()
        restore(generator, state, "the noise")
        return draws(generator)

    assert first_draws(CUDA_STATE) == first_draws(CUDA_STATE)
    assert first_draws(CUDA_STATE) != first_draws(CUDA_STATE.flip(0))


@pytest.mark.gpu
@pytest.mark.parametrize(("saved_on", "here"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_states_do_not_travel_between_devices_and_say_so(caplog, saved_on, here):
    state = torch.Generator(saved_on).manual_seed(1).get_state()
    with caplog.at_level(logging.WARNING):
        restore(torch.Generator(here), state, "the noise")
    assert f"than {here}: it starts from a new seed" in caplog.text


@pytest.mark.gpu
def test_a_cuda_state_goes_on_on_cuda():
    generator = torch.Generator("cuda").manual_seed(3)
    torch.rand(5, generator=generator, device="cuda")
    state = generator.get_state()
    expected = torch.rand(5, generator=generator, device="cuda")
    restore(generator, state, "the noise")
    assert torch.equal(torch.rand(5, generator=generator, device="cuda"), expected)
