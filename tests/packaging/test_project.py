"""pyproject.toml, the lock files and the Makefile agree with each other and with the launcher."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tickgate.sw.cli.main import BUILTIN, EXTRA_OF_PACKAGE, GROUP

LOCKS = ("build", "run", "dev", "docs", "timing")
PYTHONS = ("3.11.2", "3.12.0", "3.13.0", "3.14.0")


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())


def locked(repository: Path, name: str) -> list[tuple[Requirement, int]]:
    """Each requirement of a lock file with the number of its hashes."""
    text = (repository / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(Requirement(row.split("--hash")[0].strip()), row.count("--hash=sha256:")) for row in rows]


def pins(repository: Path, name: str, python: str) -> dict[str, Version]:
    """The version of each package that ``python`` on Linux gets from a lock file."""
    environment = {
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
    }
    found: dict[str, Version] = {}
    for requirement, _ in locked(repository, name):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            key = canonicalize_name(requirement.name)
            assert key not in found, f"{name}.txt locks {key} twice for Python {python}"
            (specifier,) = requirement.specifier
            assert specifier.operator == "=="
            found[key] = Version(specifier.version)
    return found


def test_entry_points_are_the_launchers_own_table(project):
    declared = project["project"]["entry-points"][GROUP]
    assert declared == {name: entry.target for name, entry in BUILTIN.items()}


def test_extras_named_by_the_launcher_exist(project):
    extras = set(project["project"]["optional-dependencies"])
    assert {entry.extra for entry in BUILTIN.values() if entry.extra} <= extras
    for package, extra in EXTRA_OF_PACKAGE.items():
        brought = {canonicalize_name(Requirement(r).name) for r in project["project"]["optional-dependencies"][extra]}
        distributions = packages_distributions().get(package, [package])
        assert brought & {canonicalize_name(distribution) for distribution in distributions}, package


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_an_exact_version(repository, name):
    for requirement, hashes in locked(repository, name):
        assert hashes >= 1, requirement
        assert [s.operator for s in requirement.specifier] == ["=="], requirement


@pytest.mark.parametrize("python", PYTHONS)
def test_locks_satisfy_the_project_and_each_other(repository, project, python):
    extras = project["project"]["optional-dependencies"]
    asked = {
        "build": project["build-system"]["requires"],
        "run": project["project"]["dependencies"] + extras["sim"] + extras["files"],
        "dev": extras["dev"],
        "docs": extras["docs"],
        "timing": extras["boards"],
    }
    together: dict[str, Version] = {}
    for name, requirements in asked.items():
        found = pins(repository, name, python)
        for text in requirements:
            requirement = Requirement(text)
            assert found[canonicalize_name(requirement.name)] in requirement.specifier, f"{name}: {text}"
        for package, version in found.items():
            assert together.setdefault(package, version) == version, f"{package} differs between locks"


def test_a_demo_installs_no_place_and_route_tool(repository):
    for name in ("build", "run"):
        assert not [p for p in pins(repository, name, "3.11.2") if p.startswith("yowasp")]


def make(repository: Path, *words: str) -> subprocess.CompletedProcess:
    """Run make as from a shell: what an outer make and its user passed on is not ours."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "TICKGATE_"))}
    return subprocess.run(["make", *words], cwd=repository, capture_output=True, text=True, env=env, check=False)


def test_make_help_has_one_line_for_each_public_target(repository):
    text = (repository / "Makefile").read_text()
    public = re.findall(r"^\.PHONY: ([a-z-]+)", text, re.MULTILINE)
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", make(repository, "help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(set(public) - {"links"})


def test_compare_without_a_file_says_how(repository):
    # -o: take the installation as done, whatever its stamps say.
    done = make(repository, "-o", "setup", "compare", "ITCH=")
    assert done.returncode == 2
    assert "make compare ITCH=file" in done.stderr


def test_missing_python_is_named_with_its_package(repository, tmp_path):
    done = make(repository, f"S={tmp_path}", "PYTHON=no-such-python", "setup")
    assert done.returncode == 2
    assert "missing: no-such-python" in done.stderr and "Debian package: python3" in done.stderr


def plan(repository: Path, stamps: Path, *options: str) -> str:
    """What `make setup` would do, given the stamps."""
    done = make(repository, "-n", f"S={stamps}", *options, "setup")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    for name in ("venv", "build", "run", "package"):
        (tmp_path / name).touch()
    return tmp_path


def test_setup_does_nothing_when_nothing_changed(repository, stamps):
    assert "pip" not in plan(repository, stamps)


@pytest.mark.parametrize(
    ("changed", "done_again"),
    [
        ("requirements/run.txt", "run.txt"),
        ("requirements/build.txt", "build.txt"),
        ("pyproject.toml", "--editable"),
        ("CMakeLists.txt", "--editable"),
        ("drivers/CMakeLists.txt", "--editable"),
        ("drivers/_clock.pyx", "--editable"),
        ("drivers/_histogram.pxd", "--editable"),
        ("drivers/c/histogram.h", "--editable"),
        ("hw/c/anneal.c", "--editable"),
    ],
)
def test_setup_does_again_what_a_change_asks_for(repository, stamps, changed, done_again):
    assert done_again in plan(repository, stamps, "-W", changed)


def test_setup_without_and_with_compiled_drivers_are_two_installations(repository, stamps):
    assert "--editable" in plan(repository, stamps, "TICKGATE_PURE=1")
