"""Each check of `make lint` bites on a planted fault."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

FOLDERS = ("hw", "gateware", "sw", "drivers", "sim")


def tool(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    return str(path) if path.exists() else name


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("tests/sw/test_x.py", "import gateware.book\n", "TID251"),
        ("sim/x.py", '"""X."""\n\nfrom sw.spec import itch\n\nprint(itch)\n', "TID251"),
        ("sw/spec/x.py", '"""X."""\n\n\ndef public():\n    pass\n', "D103"),
        ("gateware/x.py", '"""X."""\n\n\nclass Public:\n    pass\n', "D101"),
        ("drivers/x.py", "X = 1\n", "D100"),
        ("hw/x.py", '"""X."""\n\nX = "' + "x" * 120 + '"\n', "E501"),
    ],
)
def test_style_check_finds_a_planted_fault(repository, name, text, rule):
    words = [tool("ruff"), "check", "--no-cache", "--output-format=concise", "--stdin-filename", name, "-"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 1
    assert f" {rule} " in done.stdout, done.stdout


@pytest.fixture(scope="module")
def copy(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Python sources under their import path."""
    root = tmp_path_factory.mktemp("copy")
    for folder in FOLDERS:
        shutil.copytree(repository / folder, root / "tickgate" / folder, ignore=lambda where, names: {"__pycache__"})
    shutil.copy(repository / "pyproject.toml", root)
    return root


def lint_imports(root: Path) -> subprocess.CompletedProcess:
    # -S: an editable installation would put the source tree in the place of the copy.
    program = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {sysconfig.get_paths()['purelib']!r}]\n"
        "from importlinter.cli import lint_imports_command\n"
        "lint_imports_command(['--no-logo', '--no-cache'])"
    )
    words = [sys.executable, "-I", "-S", "-c", program]
    return subprocess.run(words, capture_output=True, text=True, cwd=root, check=False)


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("sw/spec/planted.py", "tickgate.sim", "import direction BROKEN"),
        ("drivers/planted.py", "tickgate.gateware", "import direction BROKEN"),
        ("sim/planted.py", "tickgate.hw", "import direction BROKEN"),
        ("sw/model/planted.py", "tickgate.sw.files", "import direction within sw BROKEN"),
        ("sw/spec/planted.py", "numpy", "standard library only BROKEN"),
        ("drivers/planted.py", "amaranth", "drivers run without Amaranth BROKEN"),
    ],
)
def test_import_contract_breaks_on_a_planted_import(copy, module, imported, contract):
    path = copy / "tickgate" / module
    path.write_text(f"import {imported}\n")
    try:
        done = lint_imports(copy)
    finally:
        path.unlink()
    assert done.returncode == 1
    assert contract in done.stdout, done.stdout


def test_type_check_finds_a_planted_fault(copy):
    path = copy / "tickgate/sw/spec/planted.py"
    path.write_text("def f(x: int) -> str:\n    return x\n\n\ndef g(x):\n    return x\n")
    words = [sys.executable, "-m", "mypy", "--cache-dir", str(copy / "cache"), "-m", "tickgate.sw.spec.planted"]
    env = os.environ | {"MYPYPATH": str(copy)}
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=copy, env=env, check=False)
    finally:
        path.unlink()
    assert done.returncode == 1
    assert "[return-value]" in done.stdout and "[no-untyped-def]" in done.stdout, done.stdout
