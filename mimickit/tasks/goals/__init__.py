"""Goals: what a task asks for besides imitation."""

from mimickit.tasks.goals.dodgeball import Dodgeball
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.location import Location
from mimickit.tasks.goals.reach import Reach
from mimickit.tasks.goals.steering import Steering
from mimickit.tasks.goals.strike import Strike

__all__ = ["Dodgeball", "Goal", "Location", "Reach", "Steering", "Strike"]
