"""Judge a trained policy: deterministic episodes, pose termination off, Table 1's errors.

Writes evaluation.json into the run's folder and prints it beside the paper's figures.
Usage: python scripts/evaluate.py run=FOLDER [checkpoint=FILE] [motion=CLIP] [episodes=256]
           [num_envs=256] [seed=1000] [random_start=true] [out=evaluation.json]
           [engine=mujoco] [engine.KEY=VALUE ...]
With engine=... on another engine than the run was trained on, at the run's own rates.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimickit import launch
from mimickit.errors import RunError
from mimickit.launch.arguments import REQUIRED, read_arguments, true_or_false, whole_number
from mimickit.launch.loading import split_engine_settings


@launch.friendly_errors()
def main() -> None:
    """Evaluate one run."""
    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    values = read_arguments(
        arguments,
        {
            "run": REQUIRED,
            "checkpoint": None,
            "motion": None,
            "episodes": 256,
            "num_envs": None,
            "seed": 1000,
            "random_start": True,
            "out": "evaluation.json",
            "engine": None,
        },
        str(__doc__),
    )
    from mimickit.evaluation.evaluator import Evaluator
    from mimickit.evaluation.report import write_report
    from mimickit.run import LoadedRun

    episodes = whole_number(values, "episodes")
    num_envs = episodes if values["num_envs"] is None else whole_number(values, "num_envs")
    seed = whole_number(values, "seed", least=0)
    out = Path(str(values["run"]), str(values["out"]))
    run = LoadedRun(
        Path(str(values["run"])),
        num_envs=num_envs,
        checkpoint=Path(str(values["checkpoint"])) if values["checkpoint"] else None,
        motion=values["motion"],
        seed=seed,
        random_start=true_or_false(values, "random_start"),
        engine=str(values["engine"]) if values["engine"] else None,
        engine_settings=engine_settings,
    )
    if not out.parent.is_dir():  # before the work, not after it
        raise RunError(f"out={values['out']}: there is no folder {out.parent} to write it into")
    print("{engine} on {device}; trained on {trained_on}".format(**run.engine_facts), flush=True)
    results = Evaluator(run.env, run.generator, seed, episodes).run(run.policy)
    facts = {
        "method": run.config["method"]["name"],
        "character": run.config["character"]["name"],
        "checkpoint": run.checkpoint.name,
        "samples": run.samples,
        "seed": seed,
        **run.engine_facts,
    }
    print(write_report(run.folder, results, facts, str(values["out"])))


if __name__ == "__main__":
    main()
