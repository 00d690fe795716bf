"""Fixtures for all tests, and the rule that a skip is never a silent pass: with TICKGATE_CI=1 a skip is a failure."""

import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no finding: no deadline for one example. The blob of a failure replays it anywhere.
hypothesis.settings.register_profile("tickgate", deadline=None, print_blob=True)
hypothesis.settings.load_profile("tickgate")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real market data named by TICKGATE_DATA; skips where that is not set."""
    if not os.environ.get("TICKGATE_DATA"):
        pytest.skip("TICKGATE_DATA is not set")
    return Path(os.environ["TICKGATE_DATA"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long tests first; all others keep their order."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def _may_skip(reason: str) -> bool:
    """Whether a skip stands in CI too: only real data that this machine does not have."""
    if not os.environ.get("TICKGATE_CI"):
        return True
    return "TICKGATE_DATA" in reason and not os.environ.get("TICKGATE_DATA")


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome != "skipped":
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not _may_skip(reason):
        report.outcome = "failed"
        vars(report).pop("wasxfail", None)  # with it, pytest would not count the failure
        report.longrepr = f"a skip is a failure in CI: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: it also sees what pytest makes of an xfail mark
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
