"""What recorded motion says of skills, pure: coverage, transitions, diversity, retrieval.

Legend: T steps, N episodes, M of them that count, L latents, Z components of a latent, C labels
(clips), P directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import Tensor

from mimickit.methods.sliced import sliced_distance

NO_MATCH = -1
NEIGHBOURS = 8  # other latents that each episode's motion is compared with


def votes(labels: Tensor, counted: Tensor, count: int) -> Tensor:
    """How many steps of each episode have each label, [N, C].

    Args:
        labels: [T, N] in 0 ... C - 1. counted: [T, N] bool, the steps that count. count: C.
    """
    found = torch.zeros(labels.shape[1], count, device=labels.device)
    return found.scatter_add_(1, labels.T, counted.T.float())


def best_match(counts: Tensor) -> Tensor:
    """The label with the most votes [N, C], [N]; `NO_MATCH` without any.

    Source: ASE (Peng et al. 2022), which gives a trajectory the clip that matches most of its
    transitions.
    """
    most, label = counts.max(-1)
    return torch.where(most > 0, label, NO_MATCH)


def coverage(matches: Tensor, names: Sequence[str], weights: Sequence[float]) -> dict[str, Any]:
    """How matches [M] spread over C labels; those without a match do not count.

    Args:
        weights: what the data gives each label, [C], summing to 1.

    Returns:
        `matches`, how many there are; `min_share` and the `least` label that has it; `matched`, how
        many labels have any; `entropy` in nats, and `even_entropy`, that of the even spread; of the
        `labels` their `share` and the `weight` of their data.
    """
    found = matches[matches != NO_MATCH].cpu()
    counts = torch.bincount(found, minlength=len(names)).double()
    shares = (counts / counts.sum().clamp_min(1.0)).tolist()
    least = min(range(len(names)), key=lambda label: shares[label])
    return {
        "matches": len(found),
        "min_share": shares[least],
        "least": names[least],
        "matched": sum(share > 0 for share in shares),
        "entropy": -sum(share * math.log(share) for share in shares if share > 0) + 0.0,
        "even_entropy": math.log(len(names)),
        "labels": {
            name: {"share": share, "weight": weight}
            for name, share, weight in zip(names, shares, weights)
        },
    }


def transitions(
    before: Tensor, after: Tensor, succeeded: Tensor, names: Sequence[str]
) -> dict[str, Any]:
    """What becomes of a change of skill.

    Args:
        before, after: [M] the matches on either side. succeeded: [M] bool, whether it stayed up.

    Returns:
        `episodes`, how many; `success_rate`; `pairs`, the share of the C x C pairs that occur;
        `matrix`: by label before, how many `episodes` there are, their `success_rate`, and `to`,
        the share of each label that came after, of those with a match.
    """
    before, after, succeeded = before.cpu(), after.cpu(), succeeded.cpu()
    size = len(names)
    matched = (before != NO_MATCH) & (after != NO_MATCH)
    places = before[matched] * size + after[matched]
    counts = torch.bincount(places, minlength=size * size).view(size, size)
    matrix = {}
    for label, name in enumerate(names):
        own = before == label
        row = counts[label]
        if bool(own.any()):
            total = max(1, int(row.sum()))
            to = {names[i]: int(row[i]) / total for i in range(size) if row[i] > 0}
            matrix[name] = {
                "episodes": int(own.sum()),
                "success_rate": mean(succeeded[own]),
                "to": to,
            }
    return {
        "episodes": len(before),
        "success_rate": mean(succeeded),
        "pairs": int((counts > 0).sum()) / size**2,
        "matrix": matrix,
    }


def diversity(paths: Tensor, skills: Tensor) -> dict[str, Optional[float]]:
    """How different the motions of different latents are, against those of one latent.

    A motion is the cloud of its windows' shadows, whatever their order; two are as far apart as
    `sliced_distance` says, in standard deviations of the data.

    Args:
        paths: [M, T, P], those of episodes from the beginning to the end. skills: [M] which latent.

    Returns:
        `different`, the mean over pairs of episodes of other latents, each with those that come up
        to `NEIGHBOURS` after it; `same`, over pairs of one latent; `ratio` of the two. None without
        such a pair.
    """
    everything = torch.arange(len(paths), device=paths.device)
    different = [paths.new_zeros(0)]
    for shift in range(1, min(NEIGHBOURS, len(paths) - 1) + 1):
        others = everything.roll(-shift)
        apart = sliced_distance(paths, paths[others])
        different.append(apart[skills != skills[others]])
    by_skill = skills.argsort(stable=True)
    paths, skills = paths[by_skill], skills[by_skill]
    same = sliced_distance(paths[:-1], paths[1:])[skills[:-1] == skills[1:]]
    others, own = mean(torch.cat(different)), mean(same)
    ratio = others / own if others is not None and own else None
    return {"different": others, "same": own, "ratio": ratio}


def retrieval(encoded: Tensor, skills: Tensor, latents: Tensor, candidates: int) -> dict[str, Any]:
    """Whether the encoder tells from a motion which latent led to it.

    Args:
        encoded: [M, Z] unit vectors. skills: [M] which of the latents [L, Z] was theirs.
        candidates: to choose among: the right one and those that follow it; at most L count.

    Returns:
        `accuracy`, the share of motions for which the right one has the greatest dot product;
        `chance`, that of guessing; `dot_product` with the right one, and `shuffled_dot_product`
        with the others. None without a motion.
    """
    count = min(candidates, len(latents))
    others = (skills.unsqueeze(-1) + torch.arange(count, device=skills.device)) % len(latents)
    dots = (encoded @ latents.T).gather(1, others)  # [M, candidates], the right one first
    return {
        "accuracy": mean(dots.argmax(-1) == 0),
        "chance": 1.0 / count,
        "candidates": count,
        "dot_product": mean(dots[:, 0]),
        "shuffled_dot_product": mean(dots[:, 1:]),
    }


def mean(values: Tensor) -> Optional[float]:
    """The mean of all; None of nothing."""
    return float(values.double().mean()) if values.numel() else None
