"""Reads AMASS-style .npz clips (SMPL, SMPL-H, SMPL-X parameters) as clips of the character smpl.

Layout: `trans` (T, 3) m, `poses` (T, 66 | 72 | 156 | 165) rad, three per joint, or `root_orient`
and `pose_body`; `mocap_framerate` or `mocap_frame_rate`; `betas`, which scale the body and are
not used. SMPL's axes at rest: x left, y up, z forward; ours: x forward, y left, z up. `trans`
moves the model's origin, and the pelvis lies a constant offset from it, which does not turn with
the body. Sources: Loper et al. 2015, SMPL; nghorbani/amass; ZhengyiLuo/PHC for the offset's use.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_conjugate, quat_from_exp_map, quat_multiply
from mimickit.motions.clip import Clip
from mimickit.motions.importers.agreement import standing
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import ImportOptions, Pose, make_clip, numbers

WIDTHS = (66, 72, 156, 165)
RATES = ("mocap_framerate", "mocap_frame_rate")
# SMPL's first 24 joints in its order, by our names.
BODIES = (
    "Pelvis", "L_Hip", "R_Hip", "Torso", "L_Knee", "R_Knee", "Spine", "L_Ankle", "R_Ankle", "Chest",
    "L_Toe", "R_Toe", "Neck", "L_Thorax", "R_Thorax", "Head", "L_Shoulder", "R_Shoulder", "L_Elbow",
    "R_Elbow", "L_Wrist", "R_Wrist", "L_Hand", "R_Hand",
)  # fmt: skip
# The pelvis joint of the mean neutral shape, in the model's coordinates [m]; SMPL-H's is SMPL's.
PELVIS_OFFSETS = {
    "smpl": np.array([-0.0018, -0.2233, 0.0282]),
    "smplx": np.array([0.0031, -0.3514, 0.0120]),
}
# Turns our rest frame into SMPL's: our x is its z, our y its x, our z its y.
_OURS_IN_SMPL = torch.tensor([-0.5, -0.5, -0.5, 0.5], dtype=torch.float64)
_Y_UP = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5], dtype=torch.float64)  # turns y to z


def recognise_amass(content: Content) -> Optional[str]:
    """Why the content is such a clip; None if it is not."""
    if content.has("trans", "poses"):
        return f"an .npz with trans and poses {np.shape(content.value['poses'])}"
    if content.has("trans", "root_orient", "pose_body"):
        return "an .npz with trans, root_orient and pose_body"
    return None


def read_amass(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one clip of SMPL parameters.

    Raises:
        MotionError: it is damaged, or the character is not SMPL's skeleton.
    """
    path, value = content.path, content.value
    if tuple(sorted(character.body_names)) != tuple(sorted(BODIES)):
        raise MotionError(
            f"{path} holds SMPL parameters, and character '{character.name}' has another skeleton; "
            "import it for the character smpl, and retarget that clip"
        )
    trans = numbers(path, "trans", value["trans"], (None, 3))
    frames = len(trans)
    if "poses" in value:
        vectors = numbers(path, "poses", value["poses"], (frames, None))
    else:
        parts = (("root_orient", 3), ("pose_body", 63))
        vectors = np.hstack([numbers(path, k, value[k], (frames, n)) for k, n in parts])
    if vectors.shape[1] not in WIDTHS:
        raise MotionError(
            f"{path}: 'poses' has {vectors.shape[1]} numbers a frame; SMPL has 66 or 72, SMPL-H "
            "156, SMPL-X 165"
        )
    joints = 24 if vectors.shape[1] == 72 else 22  # after 22 come other models' fingers
    theirs = quat_from_exp_map(
        torch.from_numpy(vectors[:, : 3 * joints].reshape(frames, joints, 3))
    )
    basis = _OURS_IN_SMPL
    ours = quat_multiply(quat_multiply(quat_conjugate(basis), theirs), basis)
    joint_rot = np.zeros((frames, character.num_joints, 4))
    joint_rot[..., 3] = 1.0
    for column, name in enumerate(BODIES[1:joints], start=1):
        joint_rot[:, character.body_names.index(name) - 1] = ours[:, column].numpy()
    root_rot = quat_multiply(theirs[:, 0], basis)
    model = "smplx" if _is_smplx(content, vectors.shape[1]) else "smpl"
    pelvis = trans + PELVIS_OFFSETS[model]
    readings = {
        "up_axis z": Pose(pelvis, root_rot.numpy(), joint_rot),
        "up_axis y": Pose(
            np.stack([pelvis[:, 0], -pelvis[:, 2], pelvis[:, 1]], axis=1),
            quat_multiply(_Y_UP.expand_as(root_rot), root_rot).numpy(),
            joint_rot,
        ),
    }
    if options.up_axis:
        label, note = f"up_axis {options.up_axis}", f"up_axis {options.up_axis}, as told"
    else:
        label, note = standing(path, character, readings, "up_axis (--up-axis z)")
    notes = [note, f"pelvis offset of {model}"]
    if np.any(value.get("betas", 0)):
        notes.append("mean shape: betas not used")
    fps = next((value[key] for key in RATES if key in value), None)
    return [make_clip(content, character, options, readings[label], fps, notes=notes)]


def _is_smplx(content: Content, width: int) -> bool:
    """Whether the parameters are SMPL-X's: it says so, or it has a jaw."""
    stated = str(content.value.get("surface_model_type", "")).lower()
    return width == 165 or stated == "smplx" or content.has("pose_jaw")
