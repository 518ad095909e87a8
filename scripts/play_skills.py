"""Show the skills of a trained low level (method=ase): random latents, one after the other.

Further arguments, with their defaults: checkpoint=null (the newest), motion=null (the run's),
latents=8, seconds=4 (of each), interpolate=false (true: the way from each latent to the next, on
the sphere), seed=0, sheet=null (FILE.png: a row of pictures per latent), frames=6 (of a row),
out=FOLDER/skills.mp4, html=false (true, or a file), window=auto (where there is a display),
size=854x480, engine=null (the run's; another runs at the run's rates), engine.KEY=VALUE.
Usage: python scripts/play_skills.py run=FOLDER [interpolate=true] [sheet=skills.png]
"""

from __future__ import annotations

import sys
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
    "latents": 8,
    "seconds": 4.0,
    "interpolate": False,
    "seed": 0,
    "sheet": None,
    "frames": 6,
    "engine": None,
}


@launch.friendly_errors()
def main() -> None:
    """Play random latents of one run with its best actions, without noise."""
    from mimickit.viewers.arguments import DRAWING, draw, positive

    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    values = read_arguments(arguments, {**OWN, **DRAWING}, str(__doc__))
    count, pictures = whole_number(values, "latents", least=2), whole_number(values, "frames")
    seconds, interpolate = positive(values, "seconds"), true_or_false(values, "interpolate")
    seed = whole_number(values, "seed", least=0)
    from mimickit.loaded_run import load_skills

    run = load_skills(
        Path(str(values["run"])),
        count * seconds,
        num_envs=1,
        checkpoint=Path(str(values["checkpoint"])) if values["checkpoint"] else None,
        motion=values["motion"],
        seed=seed,
        engine=str(values["engine"]) if values["engine"] else None,
        engine_settings=engine_settings,
    )
    print("{engine} on {device}; trained on {trained_on}".format(**run.engine_facts), flush=True)
    strips = recording(run, count, round(seconds / run.env.dt), interpolate, seed)
    character, fps = run.env.engine.character, 1.0 / run.env.dt
    frames = [frame for strip in strips for frame in strip]
    film = run.folder / ("skill_ways.mp4" if interpolate else "skills.mp4")
    for path in draw(character, frames, fps, values, film, len(frames)):
        print(path)
    if values["sheet"] is not None:
        from mimickit.viewers.contact_sheet import write_contact_sheet

        path = Path(str(values["sheet"])).expanduser()
        rows = [[strip[len(strip) * k // pictures] for k in range(pictures)] for strip in strips]
        write_contact_sheet(path, character, rows, columns=pictures)
        print(path)


def recording(
    run: LoadedRun, count: int, steps: int, interpolate: bool, seed: int
) -> list[list[Frame]]:
    """What random latents look like, `steps` control steps of each; a fall starts anew.

    Args:
        interpolate: see `mimickit.evaluation.skills.latent_path`.
    """
    import torch

    from mimickit.envs.conditions import random_latents
    from mimickit.evaluation.clip_windows import MOTION, ClipWindows
    from mimickit.evaluation.skills import held_latents, latent_path
    from mimickit.state import Done
    from mimickit.viewers import Frame

    env, clips = run.env, ClipWindows(run.env, seed)
    condition = held_latents(env)
    generator = torch.Generator(env.device).manual_seed(seed)
    latents = random_latents(count, condition.spec.size, generator)
    strips: list[list[Frame]] = [[] for _ in latents]
    env.reset_all()
    for index, latent in latent_path(latents, steps, interpolate):
        condition.hold(latent.unsqueeze(0))
        with torch.no_grad():
            step = env.step(run.policy.act_deterministic(env.observe()))
            nearest, _ = clips.nearest(clips.standardized(step.signals[MOTION]))
        strip = strips[index]
        text = f"latent {index + 1} of {count}\n{(len(strip) + 1) * env.dt:.2f} s, "
        text += f"nearest {clips.names[int(nearest[0])]}"
        done = int(step.done[0])
        text += "\nfailed" if done == Done.FAIL else ""
        strip.append(Frame(env.state.clone(), text=text))
        if done != Done.NULL:
            env.reset_all()
    return strips


if __name__ == "__main__":
    main()
