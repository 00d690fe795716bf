"""A monotonic clock in nanoseconds: rdtscp or clock_gettime from C, `time.perf_counter_ns` without the compiled part.

The compiled clock is made, and calibrated for 20 ms, on first use; `describe` says which source it is. Its C functions
are there for other Cython modules: ``cimport tickgate.drivers._clock``.
"""

import os
import time
from functools import cache
from typing import Protocol


class AnyClock(Protocol):
    """What both the compiled and the pure clock offer."""

    @property
    def source(self) -> str:
        """``rdtscp``, ``clock_gettime`` or ``perf_counter``."""

    @property
    def ticks_per_second(self) -> float:
        """Rate of the source in hertz."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary moment; never falls."""


class PureClock:
    """The clock of an installation without compiled drivers."""

    source = "perf_counter"
    ticks_per_second = 1e9

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary moment; never falls."""
        return time.perf_counter_ns()


@cache
def clock() -> AnyClock:
    """The process's clock: compiled where it is installed and TICKGATE_PURE is not set."""
    if not os.environ.get("TICKGATE_PURE"):
        try:
            from tickgate.drivers._clock import Clock
        except ModuleNotFoundError:  # a source tree or a pure installation: `describe` says so
            return PureClock()
        return Clock()
    return PureClock()


def now_ns() -> int:
    """Nanoseconds since an arbitrary moment; never falls."""
    return clock().now_ns()


def compiled() -> bool:
    """Whether the clock in use is the compiled one."""
    return not isinstance(clock(), PureClock)


def describe() -> str:
    """The source and its rate in words, for reports: a speed is not quoted without it."""
    source = clock()
    if isinstance(source, PureClock):
        return "perf_counter (pure Python)"
    if source.source == "rdtscp":
        return f"rdtscp at {source.ticks_per_second / 1e6:.3f} MHz"
    return source.source
