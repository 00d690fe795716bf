"""Fixtures for the tests of boards."""

import importlib.util

import pytest


@pytest.fixture(scope="session")
def amaranth_boards() -> None:
    """Skips where the package with the boards' pins is missing, which is of the timing set."""
    if importlib.util.find_spec("amaranth_boards") is None:
        pytest.skip("amaranth-boards is not installed (make test installs it)")
