"""The script prints findings and a draft, or writes it; its exit code says whether there is one."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from mimickit.characters import load_character
from tests.conftest import ROOT

pytest.importorskip("mujoco")

from mimickit.engines.mujoco_draft import read_config

HUMANOID = ROOT / "assets" / "humanoid" / "humanoid.xml"


@pytest.fixture
def check_character(monkeypatch):
    """Calls the script with arguments; returns what its main does."""
    path = ROOT / "scripts" / "check_character.py"
    specification = importlib.util.spec_from_file_location("check_character", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["check_character.py", *map(str, arguments)])
        return module.main()

    return call


def test_draft_is_printed_below_the_findings(check_character, capsys):
    assert check_character(HUMANOID, "--name", "puppet") == 0
    findings, _, draft = capsys.readouterr().out.partition("\n\n")
    assert "ok       geoms" in findings
    assert load_character(**read_config(draft)).name == "puppet"


def test_draft_is_written_but_never_over_a_file(check_character, capsys, tmp_path):
    draft = tmp_path / "conf" / "character" / "puppet.yaml"
    assert check_character(HUMANOID, "--write", draft) == 0
    assert f"wrote {draft}: train with character=puppet" in capsys.readouterr().out
    assert load_character(**read_config(draft.read_text())).name == "puppet"
    with pytest.raises(SystemExit) as stop:
        check_character(HUMANOID, "--write", draft)
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"error: --write {draft}: the file is already there\n"


def test_problem_ends_with_1_and_without_a_draft(check_character, capsys, tmp_path):
    path = tmp_path / "fixed.xml"
    path.write_text(HUMANOID.read_text().replace('<freejoint name="root"/>', ""))
    assert check_character(path) == 1
    output = capsys.readouterr().out
    assert output.startswith("problem  root")
    assert "defaults:" not in output
