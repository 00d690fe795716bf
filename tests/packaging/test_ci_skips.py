"""With TICKGATE_CI=1 a skip is a failure, except for real data that the machine does not have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {
    "in the body": "import pytest\ndef test_x():\n    pytest.skip('perl is not installed')\n",
    "by a mark": "import pytest\n@pytest.mark.skipif(True, reason='perl is not installed')\ndef test_x(): pass\n",
    "of a module": "import pytest\npytest.skip('perl is not installed', allow_module_level=True)\n",
    "by a missing import": "import pytest\npytest.importorskip('no_such_module')\ndef test_x(): pass\n",
    "expected to fail": "import pytest\n@pytest.mark.xfail\ndef test_x(): assert False\n",
}
DATA = "def test_x(data_dir): assert data_dir\n"


def run(repository: Path, folder: Path, text: str, *options: str, **env: str) -> subprocess.CompletedProcess:
    (folder / "conftest.py").write_text((repository / "tests/conftest.py").read_text())
    (folder / "test_it.py").write_text(text)
    (folder / "test_other.py").write_text("def test_other(): pass\n")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TICKGATE_", "PYTEST_"))}
    words = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(folder), *options, str(folder)]
    return subprocess.run(words, capture_output=True, text=True, env=clean | env, cwd=folder, check=False)


@pytest.mark.parametrize("kind", TESTS)
def test_skip_fails_the_run_in_ci(repository, tmp_path, kind):
    done = run(repository, tmp_path, TESTS[kind], TICKGATE_CI="1")
    assert done.returncode != 0
    assert "a skip is a failure in CI" in done.stdout


def test_skip_fails_the_run_in_ci_under_xdist(repository, tmp_path):
    done = run(repository, tmp_path, TESTS["in the body"], "-n", "2", TICKGATE_CI="1")
    assert done.returncode == 1
    assert "a skip is a failure in CI: Skipped: perl is not installed" in done.stdout
    assert "1 failed, 1 passed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("kind", TESTS)
def test_skip_passes_elsewhere(repository, tmp_path, kind):
    assert run(repository, tmp_path, TESTS[kind]).returncode == 0


def test_absent_real_data_may_skip_in_ci(repository, tmp_path):
    done = run(repository, tmp_path, DATA, TICKGATE_CI="1")
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_real_data_that_is_there_may_not_skip(repository, tmp_path):
    text = "import pytest\ndef test_x(): pytest.skip('TICKGATE_DATA is not set')\n"
    assert run(repository, tmp_path, text, TICKGATE_CI="1", TICKGATE_DATA=str(tmp_path)).returncode == 1
    assert run(repository, tmp_path, DATA, TICKGATE_CI="1", TICKGATE_DATA=str(tmp_path)).returncode == 0
