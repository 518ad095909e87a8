"""Characters: frozen facts about a body, read once and given to every engine."""

from mimickit.characters.character import Character, Joint, JointKind, load_character
from mimickit.characters.kinematics import Kinematics

__all__ = ["Character", "Joint", "JointKind", "Kinematics", "load_character"]
