"""A camera that follows a character smoothly, the same in films, windows and pages."""

from __future__ import annotations

from typing import Optional

import numpy as np

# From the point looked at to the camera, in heights of the root (0.88 m for a humanoid). MimicKit
# f8d0d70 looks from behind at (-3.5, -3.5, 1) m; this is from the front, lower and a bit nearer.
OFFSET = (2.7, -3.6, 0.8)
LOOK_HEIGHT = 0.95  # height of the point looked at, in the same unit
FIELD_OF_VIEW = 32.0  # degrees, up and down
STIFFNESS = (4.0, 4.0, 0.5)  # rad/s per axis: how fast it follows; up and down only slowly


class FollowCamera:
    """The point to look at: a target, followed by a critically damped spring.

    A target that moves at constant speed is followed without lag; steps and hops are smoothed. One
    that is farther away from one call to the next than the root is high begins elsewhere, as a new
    episode does: there the camera jumps.

    Attributes:
        look_at: [3] m, where the camera looks.
        offset: [3] m, from there to the camera.
    """

    def __init__(self, root_height: float, spread: float = 0.0) -> None:
        """Set up for one kind of character.

        Args:
            root_height: height of the root [m] in the default pose; the unit of all distances.
            spread: width [m] of a row of characters; 0 for a single one.
        """
        self._height = root_height
        distance = float(np.linalg.norm(OFFSET)) * root_height
        self.offset = np.array(OFFSET) * root_height * (1.0 + 0.6 * spread / distance)
        self.look_at = np.array([0.0, 0.0, LOOK_HEIGHT * root_height])
        self._velocity = np.zeros(3)
        self._target: Optional[np.ndarray] = None

    @property
    def distance(self) -> float:
        """From the camera to the point it looks at [m]."""
        return float(np.linalg.norm(self.offset))

    def follow(self, root_pos: np.ndarray, dt: Optional[float] = None) -> np.ndarray:
        """Move on by one step and return where to look, [3] m.

        Args:
            root_pos: [N, 3] m; their middle is followed.
            dt: seconds since the last call; None jumps there at once, as the first call does.
        """
        target = root_pos.mean(axis=0)
        target[2] += (LOOK_HEIGHT - 1.0) * self._height
        before, self._target = self._target, target
        if dt is None or before is None or np.linalg.norm(target - before) > self._height:
            self.look_at, self._velocity = target, np.zeros(3)
            return self.look_at
        omega = np.array(STIFFNESS)
        predicted = self.look_at + dt * self._velocity
        # Critically damped observer of a target at constant velocity: both poles at exp(-w dt).
        decay = np.exp(-omega * dt)
        error = target - predicted
        self.look_at = predicted + (1.0 - decay**2) * error
        self._velocity = self._velocity + (1.0 - decay) ** 2 / dt * error
        return self.look_at
