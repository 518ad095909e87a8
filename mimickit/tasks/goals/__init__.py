"""Goals: what a task asks for besides imitation."""

from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.location import Location
from mimickit.tasks.goals.steering import Steering

__all__ = ["Goal", "Location", "Steering"]
