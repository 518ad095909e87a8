"""The package keeps to what Python 3.8 can parse and import; closes the gaps that vermin leaves."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = [*sorted((ROOT / "mimickit").rglob("*.py")), *ROOT.glob("train.py")]

# Subscripts that raise TypeError on 3.8 when evaluated, which annotations are not.
GENERICS = {
    "dict", "frozenset", "list", "set", "tuple", "type",
    "Awaitable", "Collection", "Generator", "Iterable", "Iterator", "Mapping", "MutableMapping",
    "Sequence", "deque", "defaultdict", "OrderedDict", "Counter", "PathLike",
}  # fmt: skip
# Methods newer than 3.8, by name alone: what they are called on is not known.
METHODS = {
    "is_relative_to", "readlink", "with_stem", "hardlink_to", "removeprefix", "removesuffix",
    "bit_count",
}  # fmt: skip


class Finder(ast.NodeVisitor):
    """Collects what 3.8 would stumble over at run time."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.from_typing: set[str] = set()

    def note(self, node: ast.AST, what: str) -> None:
        self.found.append(f"line {node.lineno}: {what}")

    def visit_ImportFrom(self, node):
        if node.module == "typing":
            self.from_typing |= {alias.asname or alias.name for alias in node.names}
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        """Annotations are skipped: nothing evaluates them."""
        arguments = node.args
        for child in (*node.decorator_list, *arguments.defaults, *arguments.kw_defaults):
            if child is not None:
                self.visit(child)
        for child in node.body:
            self.visit(child)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 (the name is ast's)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_Subscript(self, node):
        if isinstance(node.value, ast.Name) and node.value.id in GENERICS - self.from_typing:
            self.note(node, f"{node.value.id}[...] is evaluated")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.BitOr) and any(
            isinstance(side, ast.Constant) and side.value is None
            for side in (node.left, node.right)
        ):
            self.note(node, "X | None is evaluated")
        self.generic_visit(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id in ("isinstance", "issubclass"):
            for side in ast.walk(node.args[1]):
                if isinstance(side, ast.BinOp) and isinstance(side.op, ast.BitOr):
                    self.note(node, f"{node.func.id} with X | Y")
        self.generic_visit(node)

    def visit_Attribute(self, node):
        if node.attr in METHODS:
            self.note(node, f".{node.attr} is newer than 3.8")
        self.generic_visit(node)


def problems(source):
    """What keeps a module from running on Python 3.8, one line each."""
    try:
        tree = ast.parse(source, feature_version=(3, 8))
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    finder = Finder()
    finder.visit(tree)
    futures = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )
    annotated = any(
        isinstance(node, (ast.AnnAssign, ast.FunctionDef, ast.ClassDef)) for node in ast.walk(tree)
    )
    missing = ["from __future__ import annotations is missing"] if annotated and not futures else []
    return missing + finder.found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_runs_on_python38(path):
    assert problems(path.read_text(encoding="utf-8")) == []


HEAD = "from __future__ import annotations\n"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("match x:\n    case 1: pass", "line 2"),
        ("def f(x: dict[str, int]): ...", "from __future__ import annotations is missing"),
        (HEAD + "Names = dict[str, int]", "line 2: dict[...] is evaluated"),
        (HEAD + "class Log(Mapping[str, int]): ...", "line 2: Mapping[...] is evaluated"),
        (HEAD + "Maybe = int | None", "line 2: X | None is evaluated"),
        (HEAD + "isinstance(x, int | str)", "line 2: isinstance with X | Y"),
        (HEAD + "name.removeprefix('a')", "line 2: .removeprefix is newer than 3.8"),
    ],
)
def test_planted_problem_is_found(source, problem):
    (found,) = problems(source)
    assert found.startswith(problem)


def test_annotations_may_use_newer_spellings():
    source = (
        HEAD + "from typing import Mapping\nA = Mapping[str, int]\nx: dict[str, int] | None = {}\n"
    )
    source += "def f(y: list[int] | None = None) -> tuple[int, ...]:\n    return (flags | 1,)\n"
    assert problems(source) == []


def real_python38():
    """A Python 3.8 that runs: on the path, or installed by pyenv; None where there is none."""
    candidates = [shutil.which("python3.8"), *Path.home().glob(".pyenv/versions/3.8.*/bin/python")]
    for python in filter(None, candidates):
        check = "import sys; sys.exit(sys.version_info[:2] != (3, 8))"
        if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_real_python38_compiles_every_module():
    python = real_python38()
    if python is None:
        pytest.skip("there is no Python 3.8 here")
    program = (
        "import sys\n"
        "for path in sys.argv[1:]:\n"
        "    compile(open(path, 'rb').read(), path, 'exec')\n"
        "import mimickit.errors, mimickit.specs  # what needs no package runs for real\n"
        "import mimickit.loggers.csv, mimickit.loggers.text, mimickit.loggers.tensorboard\n"
    )
    result = subprocess.run(
        [python, "-B", "-c", program, *map(str, FILES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
