"""Show what a trained policy does, with its reference as a ghost: film, page, window.

Further arguments, with their defaults: checkpoint=null (the newest), motion=null (the run's),
episodes=1, seed=0, random_start=false, beside=0 (from the character to its ghost [m]),
out=FOLDER/play.mp4, html=false (true, or a file), window=auto (where there is a display),
size=854x480, engine=null (the run's; another runs at the run's rates), engine.KEY=VALUE.
Usage: python scripts/play.py run=FOLDER [motion=CLIP] [episodes=3] [html=true]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mimickit import launch
from mimickit.launch.arguments import REQUIRED, read_arguments, true_or_false, whole_number
from mimickit.launch.loading import split_engine_settings

if TYPE_CHECKING:
    from mimickit.loaded_run import LoadedRun
    from mimickit.viewers import Frame

OWN = {
    "run": REQUIRED,
    "checkpoint": None,
    "motion": None,
    "episodes": 1,
    "seed": 0,
    "random_start": False,
    "beside": 0.0,
    "engine": None,
}


@launch.friendly_errors()
def main() -> None:
    """Play episodes of one run with its best actions, without noise."""
    from mimickit.viewers.arguments import DRAWING, draw, number

    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    values = read_arguments(arguments, {**OWN, **DRAWING}, str(__doc__))
    episodes, beside = whole_number(values, "episodes"), number(values, "beside")
    from mimickit.loaded_run import LoadedRun

    run = LoadedRun(
        Path(str(values["run"])),
        num_envs=1,
        checkpoint=Path(str(values["checkpoint"])) if values["checkpoint"] else None,
        motion=values["motion"],
        seed=whole_number(values, "seed", least=0),
        random_start=true_or_false(values, "random_start"),
        engine=str(values["engine"]) if values["engine"] else None,
        engine_settings=engine_settings,
    )
    print("{engine} on {device}; trained on {trained_on}".format(**run.engine_facts), flush=True)
    character, fps = run.env.engine.character, 1.0 / run.env.dt
    most = episodes * run.env.max_steps
    frames = recording(run, episodes, beside)
    for path in draw(character, frames, fps, values, run.folder / "play.mp4", most):
        print(path)


def recording(run: LoadedRun, episodes: int, beside: float) -> Iterator[Frame]:
    """Episodes, one after the other, each to its end or its time limit.

    Args:
        beside: from the character to its ghost, sideways [m].
    """
    import torch

    from mimickit.evaluation.report import heading
    from mimickit.evaluation.tracking import position_error
    from mimickit.objects import solids
    from mimickit.state import Done
    from mimickit.viewers import Frame, moved

    env, task = run.env, run.env.task
    for _ in range(episodes):
        env.reset_all()
        ended = False
        steps = 0
        while not ended:
            with torch.no_grad():
                step = env.step(run.policy.act_deterministic(env.observe()))
            steps += 1
            done = int(step.done[0])
            ended = done != Done.NULL
            text = f"{task.clip_names[int(task.clips[0])]}\n{steps * env.dt:.2f} s"
            reference = task.reference if task.tracked else None
            if reference is not None:
                reference = reference.clone()
                text += f", position error {float(position_error(env.state, reference)):.3f} m"
                reference = moved(reference, (0.0, beside, 0.0))
            for name, figure in task.figures(env.state).items():
                text += f"\n{heading(name)} {float(figure[0]):.2f}"
            text += "\nfailed" if done == Done.FAIL else ""
            drawn = [*solids(env.objects), *task.markers(env.state)]
            yield Frame(env.state.clone(), reference, text, drawn)


if __name__ == "__main__":
    main()
