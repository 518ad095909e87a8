"""Characters whose clips the importers make."""

from __future__ import annotations

import pytest

from mimickit.characters import Character, load_character
from tests.conftest import character_facts


@pytest.fixture(scope="session")
def smpl() -> Character:
    """The character of conf/character/smpl.yaml."""
    return load_character(**character_facts("smpl"))


@pytest.fixture(scope="session")
def sword_shield() -> Character:
    """The character of conf/character/humanoid_sword_shield.yaml."""
    return load_character(**character_facts("humanoid_sword_shield"))
