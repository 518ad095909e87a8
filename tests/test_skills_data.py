"""docs/skills-data.md does what it says."""

from __future__ import annotations

import json
import re

import pytest

from mimickit.characters import load_character
from mimickit.motions.catalog import list_motions
from tests.conftest import character_facts
from tests.guides import ROOT, run

TEXT = (ROOT / "docs" / "skills-data.md").read_text(encoding="utf-8")


def test_the_table_counts_clips_and_variants_as_they_are(humanoid):
    rows = re.findall(r"^\| `(\w+)` \| humanoid \| .+? \| (\d+) \|", TEXT, re.MULTILINE)
    assert [name for name, _ in rows] == [
        "locomotion",
        "actions",
        "agility",
        "recovery",
        "tumbling",
    ]
    for name, count in rows:
        assert len(list_motions(name, humanoid)) == int(count)


def test_sword_and_shield_have_as_many():
    sword_shield = load_character(**character_facts("humanoid_sword_shield"))
    assert [len(list_motions(name, sword_shield)) for name in ("locomotion", "actions")] == [24, 10]


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_data_of_ones_own_becomes_skills(tmp_path):
    pytest.importorskip("viser")
    scripts = re.findall(r"^ *```bash\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE)
    lines = [re.sub(r"^   ", "", script, flags=re.MULTILINE) for script in scripts]
    printed = run(lines, tmp_path)
    assert "7 clips: 0 with errors" in printed
    figures = json.loads((tmp_path / "lab" / "runs" / "skills" / "skills.json").read_text())
    assert list(figures["coverage"]["originals"]["labels"]) == ["kick", "walk", "run"]
    assert len(figures["coverage"]["clips"]["labels"]) == 7
    assert (tmp_path / "lab" / "runs" / "skills" / "skills.html").stat().st_size > 10_000
