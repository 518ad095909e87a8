"""Skills: a trained low level, read from its run to be driven by others, and never changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.actions import Actions
from mimickit.envs.conditions import LATENT, Condition
from mimickit.envs.env import Env
from mimickit.envs.observations import character_spec
from mimickit.envs.signals import Signal
from mimickit.envs.skill_actions import SkillActions
from mimickit.errors import (
    CheckpointError,
    ConfigError,
    IncompatibleParts,
    RunError,
    closest_beside,
)
from mimickit.launch.building import make
from mimickit.methods.method import part_nodes
from mimickit.methods.skill_style import SKILL_STYLE, StyleSignal
from mimickit.models.mlp import mlp
from mimickit.models.normalizer import Normalizer
from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec
from mimickit.training import checkpoint as checkpoints
from mimickit.training.checkpoint import Checkpoints

Node = Mapping[str, Any]
COPY = "skills.pt"  # in the folder of a run that uses skills: all that it needs of them
CHARACTER = "policy"  # the group in which a low level sees the character
# What a run must share with the low level, in the order in which a difference is told.
SHARED = (
    "character.name",
    "character.model",
    "character.joints",
    "character.zero_center_action",
    "character.effort_limited",
    "character.bodies.key_bodies",
    "engine.control_hz",
    "engine.control_mode",
    "action",
)


@dataclass(frozen=True)
class Skills:
    """A low level: what a checkpoint of its run says of it.

    Attributes:
        path: where it was read. state: a checkpoint without what only its training needs.
    """

    path: Path
    state: dict[str, Any]

    @property
    def config(self) -> Node:
        """The resolved config of the low level's run."""
        return self.state["config"]

    @property
    def sizes(self) -> Mapping[str, int]:
        """Widths of the low level's observation groups."""
        return self.state["facts"]["observation sizes"]

    @property
    def fingerprint(self) -> str:
        """Equal for equal weights and statistics only."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state["policy"].items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def origin(self) -> str:
        """What they were trained on and how long, in words."""
        facts = self.state["facts"]
        return f"after {self.state['samples']:,} samples of {facts['method']} on {facts['engine']}"

    def save(self, folder: Path) -> None:
        """Keep a copy in the folder of a run that uses these skills, unless it is that.

        Raises:
            CheckpointError: it cannot be written.
        """
        if self.path != folder / COPY:
            checkpoints.write(folder / COPY, self.state)

    def policy(self, device: torch.device) -> Policy:
        """The low level's networks and statistics as they were trained, frozen.

        Raises:
            CheckpointError: they are not those that the config describes.
        """
        groups = {
            CHARACTER: GroupSpec(self.sizes[CHARACTER]),
            LATENT: self._latents(1, device, 1.0, torch.Generator(device)).spec,
        }
        size = self.state["facts"]["action size"]
        policy: Policy = self._make("model", groups=groups, action_size=size)
        try:
            policy.load_state_dict(self.state["policy"])
        except RuntimeError as error:
            raise CheckpointError(
                f"skills {self.path}: the networks do not fit the model of their own config: "
                f"{str(error).splitlines()[-1].strip()}"
            ) from error
        return policy.to(device).eval().requires_grad_(False)

    def actions(self, character: Character, actions: Actions, device: torch.device) -> SkillActions:
        """The action space of a run that chooses among these skills.

        Args:
            actions: of the run's joints.

        Raises:
            IncompatibleParts: the low level acts otherwise, or sees more than the character.
        """
        task = self.config["task"]
        world, height = bool(task.get("global_frame")), bool(task.get("root_height"))
        keys = len(character.key_bodies)
        seen = character_spec(character.num_joints, character.num_dofs, keys, height).size
        if self.sizes[CHARACTER] != seen:
            raise IncompatibleParts(
                f"skills {self.path} see {self.sizes[CHARACTER]} numbers, and the character alone "
                f"has {seen} (character.bodies.key_bodies, task.root_height): a low level must see "
                "nothing but the character and its latent; train one with task=style"
            )
        if actions.size != self.state["facts"]["action size"]:
            raise IncompatibleParts(
                f"skills {self.path} act with {self.state['facts']['action size']} numbers, this "
                f"run's joints take {actions.size}"
            )
        return SkillActions(
            character,
            self.policy(device),
            actions,
            latent_size=self.sizes[LATENT],
            global_frame=world,
            root_height=height,
        )

    @property
    def signals(self) -> dict[str, Callable[..., Signal]]:
        """What the low level's discriminator, if it had one, sees in each control step."""
        nodes = part_nodes(self.config["method"]).items()
        found = [pair for pair in nodes if pair[1]["_target_"].endswith(".StyleDiscriminator")]
        if not found:
            return {}
        name, node = found[0]
        learned = self.state["run"]["method"][name]
        facts = self.state["facts"]["method's parts"][name]
        width, labels = facts["signal size"], facts["labels"]
        network = mlp(width + labels, node["hidden"], 1, node["activation"], node["logit_init"])
        normalizer = Normalizer(width, node["normalizer_samples"])
        for module, part in ((network, "network"), (normalizer, "normalizer")):
            module.load_state_dict(learned[part])
            module.eval().requires_grad_(False)
        options = ("frames", "global_frame", "reward_scale", "precision")
        return {
            SKILL_STYLE: partial(
                StyleSignal,
                network=network,
                normalizer=normalizer,
                labels=labels,
                **{key: node[key] for key in options},
            )
        }

    def random_policy(self, env: Env) -> RandomSkills:
        """Who drives the low level by latents as it was trained with, whatever the task."""
        return RandomSkills(self._latents(env.num_envs, env.device, env.dt, env.generator))

    def _make(self, key: str, **live: Any) -> Any:
        """Build what the low level's config has at a dotted key.

        Raises:
            CheckpointError: it does not know the settings that there are now.
        """
        try:
            return make(_value(self.config, key), **live)
        except TypeError as error:
            raise CheckpointError(
                f"skills {self.path}: their config is of another version of this package: {key}: "
                f"{error}"
            ) from error

    def _latents(
        self, num_envs: int, device: torch.device, control_dt: float, generator: torch.Generator
    ) -> Condition:
        """The latents of the low level's training, for other envs."""
        parts = [self._make(f"method.parts.{name}") for name in part_nodes(self.config["method"])]
        factory = next(part.conditions[LATENT] for part in parts if LATENT in part.conditions)
        return factory(num_envs=num_envs, device=device, control_dt=control_dt, generator=generator)


class RandomSkills:
    """A policy that knows no task: latents uniform on the sphere, redrawn on timers.

    The floor for whoever chooses skills: what the low level does by itself.
    """

    def __init__(self, latents: Condition) -> None:
        self._latents = latents

    def act_deterministic(self, obs: Mapping[str, Tensor]) -> Tensor:
        """Latents [N, Z] for the next control step, whatever is seen."""
        self._latents.advance()
        return self._latents.observe()


def find_skills(config: Node, folders: Sequence[Path]) -> Optional[Skills]:
    """The skills of a run; None for a method that uses none.

    Args:
        config: of the run. folders: where the run may have a copy already, which wins.

    Raises:
        ConfigError: the method and `skills` do not agree.
        MimicKitError: see `read_skills` and `check_shared`.
    """
    given, method = config["skills"], config["method"]
    if method.get("hold") is None:
        if given is not None:
            raise ConfigError(
                f"skills={given}: method '{method['name']}' moves the joints itself; choose "
                "method=ase_hlc, or leave skills away"
            )
        return None
    known = [folder / COPY for folder in folders if (folder / COPY).is_file()]
    if given is not None:
        known.append(Path(given).expanduser())
    if not known:
        raise ConfigError(
            f"method '{method['name']}' chooses among skills and is given none: "
            "skills=<run folder or checkpoint of method=ase>"
        )
    skills = read_skills(known[0])
    check_shared(skills, config)
    return skills


def read_skills(path: Path) -> Skills:
    """The low level of a run folder's newest checkpoint, or of a checkpoint.

    Raises:
        RunError: there is no such folder or file, or no checkpoint in it.
        CheckpointError: it is none, or damaged.
        IncompatibleParts: its policy acts on no latents.
    """
    file: Optional[Path] = path
    if path.is_dir():
        file = Checkpoints(path / "checkpoints").newest()
        if file is None:
            raise RunError(f"skills={path}: that folder has no checkpoint in checkpoints/")
    elif not path.exists():
        raise RunError(
            f"skills={path}: there is no such run folder or checkpoint.{closest_beside(path)}"
        )
    assert file is not None
    state = checkpoints.read(file)
    sizes = state["facts"]["observation sizes"]
    if LATENT not in sizes or CHARACTER not in sizes:
        seen = ", ".join(f"{name} [{size}]" for name, size in sizes.items())
        raise IncompatibleParts(
            f"skills={path}: a run of method '{state['facts']['method']}', whose policy sees "
            f"{seen} and no '{LATENT}' to choose: train one with method=ase"
        )
    return Skills(file, _needed(state))


def check_shared(skills: Skills, config: Node) -> None:
    """Refuse skills that were trained for another body, at another rate, or to act otherwise.

    Args:
        config: of the run that would use them.

    Raises:
        IncompatibleParts: naming the key that differs.
    """
    for shared in SHARED:
        theirs, ours = _value(skills.config, shared), _value(config, shared)
        if theirs != ours:
            key, theirs, ours = _difference(shared, theirs, ours)
            raise IncompatibleParts(
                f"skills {skills.path} were trained with {key}={theirs}, and this run has {ours}: "
                f"set {key.replace('character.name', 'character')}={theirs}, or choose other skills"
            )


def _needed(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of a checkpoint a low level consists of: no optimiser, no memory, no worlds."""
    learned = {
        name: {key: part[key] for key in ("network", "normalizer")}
        for name, part in state["run"]["method"].items()
        if "network" in part and "normalizer" in part
    }
    kept = {key: state[key] for key in ("samples", "config", "facts", "policy")}
    return {**kept, "run": {"method": learned}}


def _value(config: Node, key: str) -> Any:
    """What a config has at a dotted key; None where there is nothing."""
    value: Any = config
    for name in key.split("."):
        value = (value or {}).get(name)
    return value


def _difference(key: str, theirs: Any, ours: Any) -> tuple[str, Any, Any]:
    """The first difference within two values at a key: where, and both."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for name in {**theirs, **ours}:
            if theirs.get(name) != ours.get(name):
                return _difference(f"{key}.{name}", theirs.get(name), ours.get(name))
    return key, theirs, ours
