"""Methods: what to imitate and how, laid over an algorithm that does not know it."""

from mimickit.methods.discriminator import PairDiscriminator, StyleDiscriminator
from mimickit.methods.diversity import Diversity
from mimickit.methods.encoder import SkillEncoder
from mimickit.methods.lipschitz import Lipschitz
from mimickit.methods.method import Method
from mimickit.methods.part import Part, Sources
from mimickit.methods.skill_style import SkillStyle

__all__ = [
    "Diversity",
    "Lipschitz",
    "Method",
    "PairDiscriminator",
    "Part",
    "SkillEncoder",
    "SkillStyle",
    "Sources",
    "StyleDiscriminator",
]
