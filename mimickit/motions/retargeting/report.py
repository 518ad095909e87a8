"""How well a retargeted clip does: what it misses, and what a robot or the ground would mind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Union

import torch

from mimickit.motions.clip import Clip
from mimickit.motions.measures import limit_excess, penetration, skating, trace
from mimickit.motions.retargeting.parts import SIDES, Parts
from mimickit.motions.retargeting.targets import Targets

AT_LIMIT = 2e-3  # [rad] a joint that comes this close to a limit is at it


@dataclass(frozen=True)
class Report:
    """Figures of one retargeted clip; nan where a character lacks the part.

    Attributes:
        foot_error, foot_error_max: [m] from where the source's feet were to be, scaled to the
            target's legs; mean and greatest of both feet and all frames.
        hand_error, hand_error_max: the same of the hands, on the target's own arms.
        skating, source_skating: [m/s], of the feet while they stand (`measures.skating`).
        penetration: [m], the deepest.
        beyond_limit: [rad], the farthest that a joint is beyond a limit.
        at_limit: share of all joint angles that are at a limit, in [0, 1].
        joint_speed: [rad/s], of the fastest joint.
        fastest_joint: its name.
        speed_share: the greatest speed over its limit; nan where no limit is known.
    """

    foot_error: float
    foot_error_max: float
    hand_error: float
    hand_error_max: float
    skating: float
    source_skating: float
    penetration: float
    beyond_limit: float
    at_limit: float
    joint_speed: float
    fastest_joint: str
    speed_share: float


def make_report(
    clip: Clip, target: Parts, targets: Targets, original: Clip, source: Parts
) -> Report:
    """Measure a retargeted clip.

    Args:
        clip: the target's. targets: that it was made for. original: the source's.
    """
    shown = trace(clip, target.character)

    def errors(part: str) -> tuple[float, float]:
        missed = [
            (shown.body_pos[:, target.bodies[name]] - targets.parts[name].pos).norm(dim=-1)
            for name in (f"{side}_{part}" for side in SIDES)
            if name in targets.parts
        ]
        if not missed:
            return math.nan, math.nan
        return float(torch.stack(missed).mean()), float(torch.stack(missed).max())

    def slide(what: Clip, parts: Parts) -> float:
        seen = shown if what is clip else trace(what, parts.character)
        return skating(seen, [parts.character.body_names[body] for body in parts.soles])

    speeds = shown.dof_vel.abs().amax(0)
    limits = torch.from_numpy(target.speed_limits)
    share = float((speeds / limits).max()) if bool(limits.isfinite().any()) else math.nan
    owners = [joint.name for joint in target.character.joints for _ in range(joint.kind.value)]
    low, high = torch.from_numpy(target.character.dof_limits).unbind(-1)
    at = (shown.dof_pos < low + AT_LIMIT) | (shown.dof_pos > high - AT_LIMIT)
    foot, hand = errors("foot"), errors("hand")
    return Report(
        foot_error=foot[0],
        foot_error_max=foot[1],
        hand_error=hand[0],
        hand_error_max=hand[1],
        skating=slide(clip, target),
        source_skating=slide(original, source),
        penetration=float(penetration(shown).max()),
        beyond_limit=float(limit_excess(shown.dof_pos, target.character).max()),
        at_limit=float(at.double().mean()),
        joint_speed=float(speeds.max()),
        fastest_joint=owners[int(speeds.argmax())],
        speed_share=share,
    )


_COLUMNS = (
    ("feet cm", lambda r: f"{100 * r.foot_error:.1f} / {100 * r.foot_error_max:.1f}"),
    ("hands cm", lambda r: f"{100 * r.hand_error:.1f} / {100 * r.hand_error_max:.1f}"),
    ("skating cm/s", lambda r: f"{100 * r.skating:.0f} ({100 * r.source_skating:.0f})"),
    ("depth cm", lambda r: f"{100 * r.penetration:.1f}"),
    ("beyond limit", lambda r: f"{math.degrees(r.beyond_limit):.2f} deg"),
    ("at limit", lambda r: f"{100 * r.at_limit:.1f} %"),
    ("fastest joint rad/s", lambda r: f"{r.joint_speed:.1f} {r.fastest_joint}"),
    (
        "of its limit",
        lambda r: "-" if math.isnan(r.speed_share) else f"{100 * r.speed_share:.0f} %",
    ),
)


def table(names: Sequence[str], reports: Sequence[Report]) -> str:
    """The reports as a Markdown table: mean / greatest; skating beside the (source's)."""
    rows = [["clip", *(title for title, _ in _COLUMNS)]]
    rows += [[name, *(show(r) for _, show in _COLUMNS)] for name, r in zip(names, reports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def figures(report: Report) -> dict[str, Union[float, str, None]]:
    """The report's fields, rounded for a file; None for nan."""
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    return {
        key: value if isinstance(value, str) else None if math.isnan(value) else round(value, 5)
        for key, value in values.items()
    }
