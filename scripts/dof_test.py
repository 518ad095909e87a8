"""Move every degree of freedom of a character between its limits in turn, the root held still.

Joints are set, not simulated; the ghost keeps the default pose. Arguments, with their defaults:
character=humanoid, joints=null (all), seconds=1 (per degree of freedom), fps=30, out=FILE.mp4 (in
outputs/view/), html=false (true, or a file), window=auto, size=854x480.
Usage: python scripts/dof_test.py [character=humanoid] [joints=[right_knee,neck]]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimickit import launch
from mimickit.launch.arguments import read_arguments

if TYPE_CHECKING:
    from mimickit.characters import Character, Joint
    from mimickit.viewers import Frame

OWN = {"joints": None, "seconds": 1.0, "fps": 30.0}
AIR = 0.4  # under the default pose, in heights of the root, so that legs have room to swing


@launch.friendly_errors()
def main() -> None:
    """Show the joints of one character."""
    from mimickit.viewers.arguments import DRAWING, draw, positive, split_arguments

    own, overrides = split_arguments(sys.argv[1:], {*OWN, *DRAWING})
    values = read_arguments(own, {**OWN, **DRAWING}, str(__doc__))
    seconds, fps = positive(values, "seconds"), positive(values, "fps")

    config = launch.check_config(launch.compose(overrides))
    character = launch.make(config.character)
    joints = chosen_joints(character, values["joints"])
    steps = max(2, round(seconds * fps))
    count = steps * sum(joint.kind.value for joint in joints)
    frames = recording(character, joints, steps)
    film = Path("outputs", "view", character.name, "dof_test.mp4")
    for path in draw(character, frames, fps, values, film, count):
        print(path)


def chosen_joints(character: Character, names: Any) -> list[Joint]:
    """The joints of these names, or all that move.

    Raises:
        UnknownJoint: the character has no movable joint of that name.
    """
    from mimickit.errors import UnknownJoint, unknown_name_message

    known = {joint.name: joint for joint in character.movable_joints}
    if names is None:
        return list(known.values())
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in known:
            kind = f"character '{character.name}' has no movable joint"
            raise UnknownJoint(unknown_name_message(kind, str(name), known, "joints"))
    return [known[name] for name in names]


def recording(character: Character, joints: Sequence[Joint], steps: int) -> Iterator[Frame]:
    """One swing of each degree of freedom: default, highest, lowest, default."""
    import torch

    from mimickit.characters import Kinematics
    from mimickit.state import CharacterState
    from mimickit.viewers import Frame

    kinematics = Kinematics(character)
    default = torch.tensor(character.default_dofs, dtype=torch.float32).unsqueeze(0)

    def posed(dof_pos: torch.Tensor) -> CharacterState:
        zeros = CharacterState.zeros(1, character.num_bodies, character.num_dofs)
        zeros.root_pos[:, 2] = (1.0 + AIR) * character.default_height
        rot = kinematics.dof_to_rot(dof_pos)
        zeros.joint_rot.copy_(rot)
        pos, body_rot = kinematics.forward(zeros.root_pos, zeros.root_rot, rot)
        zeros.body_pos.copy_(pos)
        zeros.body_rot.copy_(body_rot)
        return zeros

    ghost = posed(default)
    for joint in joints:
        for axis in range(joint.kind.value):
            dof, (low, high) = joint.dofs.start + axis, joint.limits[axis]
            label = f"{joint.name} {'xyz'[axis]}" if joint.kind.value > 1 else joint.name
            for step in range(steps):
                angle = swing(step / steps, float(default[0, dof]), low, high)
                dof_pos = default.clone()
                dof_pos[0, dof] = angle
                text = f"{label}\n{angle:+.2f} rad in [{low:.2f}, {high:.2f}]"
                yield Frame(posed(dof_pos), ghost, text)


def swing(phase: float, rest: float, low: float, high: float) -> float:
    """A sine that leaves `rest` for `high`, then `low`, and is back at phase 1."""
    sine = math.sin(2.0 * math.pi * phase)
    return rest + sine * (high - rest if sine > 0.0 else rest - low)


if __name__ == "__main__":
    main()
