"""How far MuJoCo Warp's worlds are from MuJoCo's own in C after equal commands, clip by clip.

Beside it, what a start 1e-7 m away does to MuJoCo in C alone: falls are chaotic.
Usage: python scripts/compare_engines.py [character=humanoid] [motions=[walk,spinkick,backflip]]
           [worlds=64] [substeps=100] [seeds=3] [engine.KEY=VALUE ... of mujoco_warp]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mimickit import launch
from mimickit.launch.arguments import read_arguments, whole_number
from mimickit.launch.loading import split_engine_settings

NUDGE = 1e-7  # [m]
BOUND = 2e-4  # [m, rad] how far apart worlds are still counted as equal


@launch.friendly_errors()
def main() -> None:
    """Print a row per clip and seed."""
    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    defaults = {"character": "humanoid", "motions": ["walk", "spinkick", "backflip"]}
    values = read_arguments(
        arguments, {**defaults, "worlds": 64, "substeps": 100, "seeds": 3}, str(__doc__)
    )
    import torch

    from mimickit.evaluation.conformance import open_loop_distances

    worlds = whole_number(values, "worlds")
    print(f"{'':24} {'MuJoCo Warp':^36}   {'MuJoCo in C, 1e-7 m away':^36}")
    columns = f"{'median':>8} {'90 %':>8} {'worst':>8} {f'> {BOUND:g}':>9}"
    print(f"{'clip':<16} {'seed':>4} {'':>2} {columns}   {columns}")
    for motion in values["motions"]:
        for seed in range(whole_number(values, "seeds")):
            words = [f"character={values['character']}", f"motion={motion}", f"seed={seed}"]
            plain, nudged = (build(worlds, ["engine=mujoco", *words]) for _ in range(2))
            warp = build(worlds, ["engine=mujoco_warp", *engine_settings, *words])
            steps = round(whole_number(values, "substeps") * plain.engine.sim_dt / plain.dt)
            found = open_loop_distances(
                plain, [(warp, 0.0), (nudged, NUDGE)], steps, torch.Generator().manual_seed(seed)
            )
            print(f"{motion:<16} {seed:>4}    " + "   ".join(map(described, found)), flush=True)


def described(distances: Any) -> str:
    """Quantiles of distances [N], and how many are beyond the bound."""
    median, most, worst = (distances.quantile(q).item() for q in (0.5, 0.9, 1.0))
    beyond = int((distances > BOUND).sum())
    return f"{median:8.1e} {most:8.1e} {worst:8.1e} {beyond:>3} of {len(distances):<3}"


def build(num_envs: int, overrides: list[str]) -> Any:
    """An environment of a run that writes nothing."""
    config = launch.compose(["logger=[]", f"num_envs={num_envs}", *overrides])
    return launch.make(launch.check_config(config), folder=Path("unused")).env


if __name__ == "__main__":
    main()
