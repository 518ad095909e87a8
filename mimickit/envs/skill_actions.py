"""Actions that are skills: a frozen policy turns the latent that is chosen into joint targets."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.actions import Actions
from mimickit.envs.conditions import on_sphere
from mimickit.envs.observations import character_obs
from mimickit.models.policy import Policy
from mimickit.state import CharacterState


class SkillActions:
    """See `mimickit.envs.actions.Actions`. Legend: N envs, Z components of a latent.

    An action [N, Z] of any length is brought onto the unit sphere, where the low level's latents
    lie. At every control step the low level sees the character as it is then, as it did when it was
    trained, and does what it thinks best: its exploration noise is left out.

    Args:
        character: whose.
        policy: the low level, never changed: over the groups "policy", which is the character
            alone, and "latent".
        actions: the low level's own.
        latent_size: Z.
        global_frame, root_height: what the low level sees; see `observations.character_obs`.

    Source: ASE (Peng et al. 2022), section 6.
    """

    def __init__(
        self,
        character: Character,
        policy: Policy,
        actions: Actions,
        *,
        latent_size: int,
        global_frame: bool,
        root_height: bool,
    ) -> None:
        self.size = latent_size
        self.needs = actions.needs
        self._policy = policy
        self._actions = actions
        self._global, self._height = global_frame, root_height
        keys = character.body_ids(character.key_bodies, "character.bodies.key_bodies")
        self._keys = torch.tensor(keys, device=policy.log_std.device)

    def decode(
        self, action: Tensor, state: CharacterState, next_reference: Optional[CharacterState]
    ) -> Tensor:
        policy = self._policy
        inputs = policy.normalize({"policy": self.observe(state), "latent": on_sphere(action)})
        # Not act_deterministic: what it sets about precision would cut a compiled step in pieces.
        mean = policy.distribution(policy.actor_input(inputs)).mean
        return self._actions.decode(mean, state, next_reference)

    def observe(self, state: CharacterState) -> Tensor:
        """What the low level sees of the character, [N, ...]."""
        return character_obs(state, self._keys, self._global, self._height)
