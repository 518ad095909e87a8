"""The project files agree with each other and with the package."""

from __future__ import annotations

import importlib.util
import itertools
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mimickit

ROOT = Path(__file__).resolve().parents[1]
specification = importlib.util.spec_from_file_location("check", ROOT / "scripts" / "check.py")
check = sys.modules["check"] = importlib.util.module_from_spec(specification)
specification.loader.exec_module(check)
tomllib = pytest.importorskip("tomllib")


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(pyproject):
    """All requirements, those of the extras included."""
    project = pyproject["project"]
    return list(
        itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    )


def test_importing_the_package_imports_no_torch():
    # isaacgym must be imported before torch, so the package itself may not import it.
    program = "import sys, mimickit; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_version_is_a_plain_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+", mimickit.__version__)


def test_no_dependency_names_an_index_or_a_build(pyproject):
    assert [
        line for line in requirements(pyproject) if "+" in line or "@" in line or "://" in line
    ] == []


def test_extras_are_those_that_the_readme_may_name(pyproject):
    assert set(pyproject["project"]["optional-dependencies"]) == {
        "gpu", "newton", "wandb", "slurm", "sweep", "retarget", "viewer", "export", "dev",
    }  # fmt: skip


def test_engines_are_pinned_exactly(pyproject):
    for package in ("mujoco", "mujoco-warp", "warp-lang", "newton"):
        (line,) = [
            entry for entry in requirements(pyproject) if re.match(rf"{package}\b(?!-)", entry)
        ]
        assert re.match(rf"{package}==\d", line), line


def test_changelog_has_a_place_for_the_next_change():
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    sections = [line for line in lines if line.startswith("## ")]
    assert sections[0] == "## [Unreleased]"
    kinds = {line[4:] for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_licence_is_the_one_declared(pyproject):
    assert pyproject["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_ci_script_is_executable_and_valid_shell():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_pre_commit_hooks_are_named():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "codespell", "detect-private-key"} <= hooks


def fake_checks(**exit_codes):
    """Steps that do nothing but end with the given exit codes; the last is for --ci alone."""
    last = list(exit_codes)[-1]
    return tuple(
        check.Check(name, "sys", (sys.executable, "-c", f"exit({code})"), ci_only=name == last)
        for name, code in exit_codes.items()
    )


@pytest.mark.parametrize(
    ("arguments", "code", "verdicts"),
    [
        ([], 1, ["good passed", "bad FAILED", "fine passed", "all 1 failed"]),
        (["--ci"], 1, ["good passed", "bad FAILED", "fine passed", "slow FAILED", "all 2 failed"]),
        (["--only", "good", "--only", "fine"], 0, ["good passed", "fine passed", "all passed"]),
        (["--only", "slow"], 1, ["slow FAILED", "all 1 failed"]),
    ],
)
def test_one_failed_check_fails_the_whole(monkeypatch, capsys, arguments, code, verdicts):
    monkeypatch.setattr(check, "checks", lambda: fake_checks(good=0, bad=3, fine=0, slow=1))
    monkeypatch.setattr(sys, "argv", ["check.py", *arguments])
    assert check.main() == code
    table = capsys.readouterr().out.split("seconds\n")[1].splitlines()
    assert [" ".join(line.split()[:-1]) for line in table] == verdicts


def test_missing_tools_are_named_with_what_installs_them(monkeypatch, capsys):
    absent = check.Check("lint", "nosuchpackage", ("false",))
    monkeypatch.setattr(check, "checks", lambda: (absent,))
    monkeypatch.setattr(sys, "argv", ["check.py"])
    assert check.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not installed: nosuchpackage. Install what the checks need")


@pytest.mark.parametrize(
    ("source", "code"), [("import math\nmath.lcm(1, 2)\n", 1), ("import math\nmath.gcd(1, 2)\n", 0)]
)
def test_python38_guard_fails_on_a_newer_function(tmp_path, source, code):
    pytest.importorskip("vermin")
    (tmp_path / "new.py").write_text(source)
    (guard,) = [step for step in check.checks() if step.name == "python-3.8"]
    command = [part for part in guard.command if part not in ("mimickit", "train.py")]
    result = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == code, result.stdout
