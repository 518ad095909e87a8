"""How far engines part when their worlds begin alike and get equal commands.

Falls are chaotic: where a contact is made a micrometre sooner, worlds that agreed to the last digit
part ways. So the distance belongs beside what a start 1e-7 m away does to one engine alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from mimickit.envs.env import Env


@torch.inference_mode()
def open_loop_distances(
    first: Env, others: Sequence[tuple[Env, float]], steps: int, noise: torch.Generator
) -> list[Tensor]:
    """Greatest difference of any coordinate from `first`, per world, after some control steps.

    Worlds begin in random frames of the clips. Commands come from `first`'s action space and
    reference, under noise of 0.1 half ranges; none depends on what is simulated.

    Args:
        first: an environment on the CPU. others: environments of as many worlds of the same
            character, each with how far from `first`'s its roots begin [m].
        noise: draws the actions.

    Returns:
        Per environment of `others` [N], of MuJoCo's qpos: metres, quaternion components and rad.
    """
    first.reset_all()
    assert first.task.reference is not None, "worlds begin in the task's reference"
    for env, nudge in others:
        device = env.device
        state = first.task.reference.clone()
        state.root_pos.add_(nudge)
        everyone = torch.ones(env.num_envs, dtype=torch.bool, device=device)
        env.engine.write(everyone, state.map(partial(Tensor.to, device=device)))
    for _ in range(steps):
        actions = 0.1 * torch.randn(first.num_envs, first.action_size, generator=noise)
        command = first.actions.decode(actions, first.state, first.task.next_reference)
        for env in (first, *(env for env, _ in others)):
            env.engine.command(command.to(env.device))
            env.engine.step()
        first.task.advance(first.state)
    return [(_qpos(env) - _qpos(first)).abs().amax(-1) for env, _ in others]


def _qpos(env: Env) -> Tensor:
    """MuJoCo's generalised positions [N, nq], on the CPU."""
    return env.engine.state_dict()["worlds"]["qpos"].double().cpu()
