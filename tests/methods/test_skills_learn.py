"""Encoder, diversity and algorithm together make skills, in a world without physics."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mimickit.algos.awr import AWR
from mimickit.algos.ppo import PPO
from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import Latents
from mimickit.methods import Diversity, Method, SkillEncoder, Sources
from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec
from mimickit.state import Step

T, N, Z = 16, 64, 2
CPU = torch.device("cpu")
COMMON = {
    "steps": T, "discount": 0.95, "trace": 0.9, "actor_epochs": 4, "critic_epochs": 4,
    "actor_minibatches": 4, "critic_minibatches": 4, "bound_weight": 10.0, "entropy_weight": 0.0,
    "max_grad_norm": 1.0, "schedule": "constant",
    "actor_optimizer": partial(torch.optim.Adam, lr=1e-3),
    "critic_optimizer": partial(torch.optim.Adam, lr=1e-3),
}  # fmt: skip
ALGOS = {
    "ppo": partial(PPO, clip=0.2, advantage_clip=4.0, **COMMON),
    "awr": partial(AWR, rollouts=2, temperature=1.0, max_weight=20.0, **COMMON),
}


class Points:
    """Points in the plane that drift home and are pushed by actions; all of them always go on."""

    def __init__(self, algo):
        draws = torch.Generator().manual_seed(0)
        self.latents = Latents(N, CPU, 0.1, draws, size=Z, period_s=(0.5, 2.0), scale=Z**0.5)
        self.latents.reset(torch.ones(N, dtype=torch.bool))
        groups = {"policy": GroupSpec(2), "latent": self.latents.spec}
        torch.manual_seed(0)
        self.policy = Policy(
            groups, 2, actor_groups=None, critic_groups=None, actor_hidden=[64],
            critic_hidden=[64], activation="silu", action_scale=0.01, sigma="fixed",
            sigma_init=0.1, normalizer_samples=1e8,
        )  # fmt: skip
        self.algo = ALGOS[algo](self.policy, torch.Generator().manual_seed(1))
        self.method = Method(
            "skills",
            {"skill": 1.0},
            {
                "skill": SkillEncoder(
                    latent_size=Z, latent_scale=1.0, period_s=[0.0, 1.0], by_clip=False,
                    return_share=0.0, frames=2,
                    global_frame=False, hidden=[64], activation="relu", output_scale=0.1,
                    penalty=0.0, epochs=1, minibatches=4, share=0.5,
                    optimizer=partial(torch.optim.Adam, lr=1e-3), max_grad_norm=None,
                    normalizer_samples=1e8, precision="fp32",
                ),
                "diversity": Diversity(weight=0.01, share=0.25),
            },
        )  # fmt: skip
        self.method.connect(
            {
                name: Sources(
                    signals={"window": SimpleNamespace(size=2)},
                    conditions={"latent": self.latents},
                    policy=self.policy,
                    library=None,
                    device=CPU,
                    generator=torch.Generator().manual_seed(seed),
                )
                for seed, name in enumerate(self.method.parts)
            }
        )
        self.rollout = Rollout(T, N, groups, 2, CPU)
        self.points, self.noise = torch.zeros(N, 2), torch.Generator().manual_seed(2)

    def iterate(self):
        """Collect and learn once; what is logged."""
        rollout = self.rollout
        for t in range(T):
            obs = self.observe()
            action, log_prob = self.policy.act(obs, self.noise)
            self.points = 0.8 * self.points + 0.5 * action
            self.latents.advance()
            rollout.record(t, obs, action, log_prob, step_to(self.points), None)
        rollout.finish(self.observe())
        logs = self.method.reward(rollout)
        logs.update(self.algo.update(rollout, self.method.actor_terms()))
        logs.update(self.method.update(rollout))
        self.policy.update_normalizers({name: obs[:T] for name, obs in rollout.obs.items()})
        return {name: value.item() for name, value in logs.items()}

    def observe(self):
        return {"policy": self.points, "latent": self.latents.observe()}


def step_to(points):
    nobody = torch.zeros(N, dtype=torch.long)
    return Step(reward={}, done=nobody, info={}, signals={"window": points})


@pytest.mark.parametrize("algo", list(ALGOS))
def test_latents_become_skills_that_an_encoder_can_tell(algo):
    points = Points(algo)
    logs = [points.iterate() for _ in range(25)]
    assert logs[0]["skill/dot_product"] < 0.3
    last = logs[-5:]
    told, chance = (
        sum(log[f"skill/{name}dot_product"] for log in last) / len(last)
        for name in ("", "shuffled_")
    )
    assert told > 0.6
    assert abs(chance) < 0.2
    assert last[-1]["reward/skill"] > 2 * logs[0]["reward/skill"]
    assert last[-1]["diversity/ratio"] > 10 * logs[0]["diversity/ratio"]
