"""Fake sweeps: run folders with the files that a real one has, made in milliseconds."""

from __future__ import annotations

import itertools
import json

import numpy as np
import yaml

from mimickit.evaluation.published import published

ROWS = 50
STEP = 1_200_000  # samples between rows


def make_job(folder, method, clip, seed, *, rows=ROWS, finished=True, character="humanoid", **more):
    """A run whose errors fall towards the paper's; its evaluation is there if it has finished."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng([seed, len(clip), len(method)])
    paper = published(method, "humanoid", clip)
    end = paper.position_error_m if paper else 0.05
    lines = ["samples,train/return,time/wall_s,train/iterations,eval/success_rate,"
             "eval/position_error_m,eval/samples"]  # fmt: skip
    for i in range(1, rows + 1):
        share = i / ROWS
        error = end + 0.3 * np.exp(-6 * share) * draw.uniform(0.8, 1.2)
        judged = f"{1 - np.exp(-5 * share)},{error},{(i - 0.5) * STEP}" if i % 5 == 0 else ",,"
        lines.append(f"{i * STEP},{300 * share * draw.uniform(0.9, 1)},{3.0 * i},{i},{judged}")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    settings = {
        "seed": seed,
        "motion": clip,
        "max_samples": ROWS * STEP,
        "method": {"name": method},
        "character": {"name": character, "joints": {f"j{i}": {"kp": i} for i in range(100)}},
        **more,
    }
    (folder / "resolved.yaml").write_text(yaml.safe_dump(settings))
    typed = [f"method={method}", f"motion={clip}", f"seed={seed}"]
    (folder / "overrides.yaml").write_text(
        yaml.safe_dump(typed + [f"{k}={v}" for k, v in more.items()])
    )
    if finished:
        figures = {
            "position_error_m": end * draw.uniform(0.9, 1.1),
            "dof_velocity_error_rad_s": draw.uniform(0.5, 1.0),
            "success_rate": draw.uniform(0.9, 1.0),
            "return": 280.0,
            "episode_length_s": 10.0,
            "episodes": 4096,
        }
        about = {"method": method, "character": character, "seed": seed, "samples": rows * STEP}
        evaluation = {"overall": figures, "clips": {clip: figures}, "about": about}
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def make_sweep(folder, methods, clips, seeds):
    """All jobs of a sweep over a grid, and Hydra's record of it."""
    jobs = itertools.product(methods, clips, range(seeds))
    folders = [
        make_job(folder / f"{number}-{method}-humanoid-{clip}-seed{seed}", method, clip, seed)
        for number, (method, clip, seed) in enumerate(jobs)
    ]
    write_record(
        folder,
        [
            f"method={','.join(methods)}",
            f"motion={','.join(clips)}",
            f"seed={','.join(map(str, range(seeds)))}",
            "num_envs=4096",
        ],
    )
    return folders


def write_record(folder, typed, params=None, sweeper="basic_sweeper.BasicSweeper"):
    """The parts of Hydra's multirun.yaml that say what the jobs are."""
    record = {
        "sweeper": {"_target_": f"hydra._internal.core_plugins.{sweeper}", "params": params},
        "overrides": {"task": typed, "hydra": []},
    }
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": record}))
