"""Runs the rounds: every path once a round, so that a ratio is of figures of the same moment; and sums them up."""

from __future__ import annotations

import errno
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tickgate.drivers._clock import Clock
from tickgate.drivers._histogram import Histogram
from tickgate.drivers.bench._loops import CacheLine, Loop
from tickgate.drivers.bench.paths import BASELINE, ECHO, Bench, Flow, Path
from tickgate.drivers.bench.pipeline import Expected
from tickgate.drivers.errors import PortError

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9, "p99_99": 99.99}
#: Where the path is run whose loop is there in both languages.
CYTHON_PATH = "shm"
_WARM_UP_TRIPS = 64
#: A batch is short, and the median of so many is taken: what interrupts a thread is none of the cache line's time.
_CACHE_LINE_TRIPS, _CACHE_LINE_BATCHES = 500, 41
#: A batch that takes longer than this tells nothing of a cache line.
_CACHE_LINE_LIMIT_NS = 100_000_000
_HIGHEST_NS = 1 << 34


@dataclass(frozen=True)
class Plan:
    """How much is measured: round trips of one path and size in a round, for at most so long; a flood's duration; how
    many frames go through the software pipeline in a round.

    After ``budget_s`` the run ends, with the rounds that it has by then: a busy machine must not make it endless.
    """

    rounds: int
    trips: int
    trip_limit_ms: int
    flood_ms: int
    sizes: tuple[int, ...] = (64, 128, 1500)
    patience_ms: int = 50
    near_cpu: int | None = None
    far_cpu: int | None = None
    budget_s: float = 600.0
    flow_frames: int = 0


@dataclass
class Trips:
    """Round trips of one path and size: all times, and the median of each round (None: none came back)."""

    times: Histogram = field(default_factory=lambda: Histogram(_HIGHEST_NS))
    medians: list[int | None] = field(default_factory=list)
    lost: int = 0

    def as_json(self, baseline: Trips | None, echo: Trips | None = None) -> dict[str, Any]:
        """See docs/reference/bench.schema.json; of a peer with the path that has our own answer in its place."""
        some = self.times.count > 0
        return {
            "count": self.times.count,
            "lost": self.lost,
            "min_ns": self.times.minimum if some else None,
            **{f"{name}_ns": self.times.percentile(at) if some else None for name, at in PERCENTILES.items()},
            "max_ns": self.times.maximum if some else None,
            "round_p50_ns": self.medians,
            "ratio": ratio(self.medians, baseline.medians if baseline else []),
            "echo_ratio": ratio(echo.medians, self.medians) if echo else None,
            "buckets_ns": [list(bucket) for bucket in self.times.buckets()],
        }


@dataclass
class Floods:
    """One-way traffic of one path and size: frames, and the rate of each round (None: too few came)."""

    sent: int = 0
    received: int = 0
    rates: list[float | None] = field(default_factory=list)

    def as_json(self, baseline: Floods | None) -> dict[str, Any]:
        """See docs/reference/bench.schema.json."""
        rates = [rate for rate in self.rates if rate]
        return {
            "sent": self.sent,
            "received": self.received,
            "lost": self.sent - self.received,
            "rate_fps": statistics.median(rates) if rates else None,
            "round_fps": self.rates,
            "ratio": ratio(self.rates, baseline.rates if baseline else []),
        }


def ratio(mine: list[Any], theirs: list[Any]) -> float | None:
    """Median of the ratios of each round that has both; None where none has."""
    ratios = [a / b for a, b in zip(mine, theirs, strict=False) if a and b]
    return statistics.median(ratios) if ratios else None


def usual_mean(times: Histogram) -> float | None:
    """Mean of the shortest nine tenths, in ns: finer than a median, which is a whole number of ticks of the clock, and
    without what the scheduler does. None where there are no times."""
    left, total = times.count * 9 // 10, 0.0
    counted = left
    for low, high, held in times.buckets():
        taken = min(held, left)
        total += taken * (low + high) / 2
        left -= taken
    return total / counted if counted else None


class Measurement:
    """All results of a run by path and size."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.clock = Clock()
        self.trips: dict[str, dict[int, Trips]] = {}
        self.floods: dict[str, dict[int, Floods]] = {}
        self.in_c, self.in_cython = Trips(), Trips()
        self.c_means_ns: list[float | None] = []
        self.cython_means_ns: list[float | None] = []
        self.orders: dict[str, Trips] = {}
        self.inside: dict[str, Trips] = {}
        self.cache_line_ns: list[float | None] = []
        self.rounds_done = 0
        self._tags = count(1)

    def run(self, bench: Bench, moved: Callable[[str], None]) -> None:
        """Every round; `moved` is told what was done. A path that fails is missing from then on, with the reason."""
        end = time.monotonic() + self.plan.budget_s
        ready = [path for path in bench.paths.values() if path.missing is None]
        for name in (path.kind.name for path in ready):
            self.trips[name] = {size: Trips() for size in self.plan.sizes}
            self.floods[name] = {size: Floods() for size in self.plan.sizes}
        expected = Expected(bench.messages) if bench.flows else None
        self.orders = {name: Trips() for name in bench.flows}
        self.inside = {name: Trips() for name in bench.flows}
        with pinned(self.plan.near_cpu):
            for number in range(self.plan.rounds):
                # What is compared is run close together, and each round starts with another path and in the other
                # direction, so that none has the same predecessor all the time.
                paths = ready[number % max(1, len(ready)) :] + ready[: number % max(1, len(ready))]
                for size in self.plan.sizes:
                    for path in paths[:: 1 if number % 2 else -1]:
                        if time.monotonic() > end:
                            return
                        self._guarded(path, size)
                        moved(f"{path.kind.label}, {size} bytes")
                shared = bench.paths.get(CYTHON_PATH)
                if shared is not None and shared.missing is None:
                    self._languages(shared, number)
                self._cache_line()
                if expected is not None:
                    flows = list(bench.flows.values())
                    for flow in flows[number % len(flows) :] + flows[: number % len(flows)]:
                        self._flow(flow, expected)
                        moved(f"software pipeline, {flow.kind.label}")
                self.rounds_done += 1

    def _guarded(self, path: Path, size: int) -> None:
        trips, floods = self.trips[path.kind.name][size], self.floods[path.kind.name][size]
        median_ns: int | None = None
        rate: float | None = None
        if path.missing is None:
            try:
                times = self._round_trips(path, size, trips)
                median_ns = times.percentile(50) if times.count else None
                if path.program is None:
                    rate = self._flood(path, size, floods)
            except PortError as error:
                path.missing = "; ".join(str(error).splitlines())
        trips.medians.append(median_ns)
        floods.rates.append(rate)

    def _round_trips(self, path: Path, size: int, into: Trips, cython: bool = False) -> Histogram:
        """The times of the round, which are in `into` then too."""
        plan, near = self.plan, path.near
        assert near is not None
        bytes_of_port = size - path.overhead_bytes
        tag = next(self._tags)
        times = Histogram(_HIGHEST_NS)
        with self._answering(path, tag):
            for trips, record in ((_WARM_UP_TRIPS, False), (plan.trips, True)):
                loop = Loop(self.clock, tag if record else next(self._tags))
                loop.ping(
                    near, times if record else Histogram(_HIGHEST_NS), path.head, trips, bytes_of_port,
                    plan.patience_ms * 1_000_000, plan.trip_limit_ms * 1_000_000, cython,
                )  # fmt: skip
                if loop.error == errno.ETIMEDOUT:
                    raise PortError(f"{path.kind.label}: nobody answers")
                if loop.error:
                    raise PortError(f"{path.kind.label}: {os.strerror(loop.error)}")
        into.times.merge(times)
        into.lost += loop.lost
        return times

    def _flood(self, path: Path, size: int, into: Floods) -> float | None:
        """The rate of the round, of frames that came."""
        near = path.near
        assert near is not None
        tag = next(self._tags)
        loop = Loop(self.clock, tag)
        with self._answering(path, tag, sink=True) as sink:
            loop.flood(near, path.head, size - path.overhead_bytes, self.plan.flood_ms * 1_000_000)
            self._drain(loop, sink)
        if loop.error:
            raise PortError(f"{path.kind.label}: {os.strerror(loop.error)}")
        into.sent += loop.sent
        into.received += sink.received
        return sink.rate_since(loop) or None

    def _drain(self, flood: Loop, sink: Loop) -> None:
        """Wait until all came, or nothing more for 0.1 s: for at most half a second."""
        end = time.monotonic() + 0.5
        seen, changed = -1, time.monotonic()
        while sink.received < flood.sent and (now := time.monotonic()) < min(end, changed + 0.1):
            if sink.received != seen:
                seen, changed = sink.received, now
            time.sleep(0.002)

    @contextmanager
    def _answering(self, path: Path, tag: int, sink: bool = False) -> Iterator[Loop]:
        """Something at the far end that sends back, or counts, while the body runs."""
        loop = Loop(self.clock, tag)
        if path.program is not None:
            path.program.work()
            try:
                yield loop
            finally:
                path.program.rest()
            return
        began = threading.Event()
        caught: list[PortError] = []

        def work() -> None:
            try:
                with pinned(self.plan.far_cpu):
                    began.set()
                    if path.far is None:
                        loop.sink_fd(path.fd, path.overhead_bytes) if sink else loop.echo_fd(path.fd)
                    else:
                        loop.sink(path.far) if sink else loop.echo(path.far)
            except PortError as error:
                caught.append(error)
            finally:
                began.set()

        thread = threading.Thread(target=work, name=f"far end of {path.kind.name}")
        thread.start()
        began.wait()
        try:
            yield loop
        finally:
            loop.stop()
            thread.join()
        if caught:
            raise caught[0]
        if loop.error:
            raise PortError(f"{path.kind.label}, far end: {os.strerror(loop.error)}")

    def _cache_line(self) -> None:
        """A cache line between both CPUs: what no path of this round can be faster than."""
        line = CacheLine(self.clock)
        began = threading.Event()

        def work() -> None:
            with pinned(self.plan.far_cpu):
                began.set()
                line.answer()

        thread = threading.Thread(target=work, name="far end of a cache line")
        thread.start()
        began.wait()
        try:
            means = [line.bounce(_CACHE_LINE_TRIPS, _CACHE_LINE_LIMIT_NS) for _ in range(_CACHE_LINE_BATCHES)]
            there = [ns for ns in means if ns is not None]
            self.cache_line_ns.append(statistics.median(there) if there else None)
        finally:
            line.stop()
            thread.join()

    def _flow(self, flow: Flow, expected: Expected) -> None:
        """Frames through the software pipeline; a flow that fails is missing from then on, with the reason."""
        medians: list[int | None] = [None, None]
        if flow.missing is None:
            assert flow.running is not None
            whole, inside = Histogram(_HIGHEST_NS), Histogram(_HIGHEST_NS)
            try:
                flow.running.play(expected, self.plan.flow_frames, self.clock, whole, inside)
            except PortError as error:
                flow.missing = "; ".join(str(error).splitlines())
            for at, (times, into) in enumerate(((whole, self.orders), (inside, self.inside))):
                into[flow.kind.name].times.merge(times)
                medians[at] = times.percentile(50) if times.count else None
        self.orders[flow.kind.name].medians.append(medians[0])
        self.inside[flow.kind.name].medians.append(medians[1])

    def _languages(self, path: Path, number: int) -> None:
        """The loop of round trips in both languages, in turns first."""
        both = [(self.in_c, self.c_means_ns, False), (self.in_cython, self.cython_means_ns, True)]
        for into, means_ns, cython in both if number % 2 else both[::-1]:
            try:
                means_ns.append(usual_mean(self._round_trips(path, min(self.plan.sizes), into, cython)))
            except PortError:  # the path itself tells
                means_ns.append(None)

    def results(self, bench: Bench) -> dict[str, Any]:
        """What each path has, as JSON."""
        base_trips, base_floods = self.trips.get(BASELINE, {}), self.floods.get(BASELINE, {})
        echo = self.trips.get(ECHO, {})
        out: dict[str, Any] = {}
        for name, path in bench.paths.items():
            ours = echo if path.kind.peer is not None else {}
            out[name] = {
                "label": path.kind.label,
                "peer": path.kind.peer is not None,
                "backend": path.kind.backend,
                "link": path.link,
                "mode": path.mode,
                "missing": path.missing,
                "round_trip": {str(size): trips.as_json(base_trips.get(size), ours.get(size))
                               for size, trips in self.trips.get(name, {}).items()},
                "one_way": {str(size): floods.as_json(base_floods.get(size))
                            for size, floods in self.floods.get(name, {}).items() if path.program is None},
            }  # fmt: skip
        return out

    def pipeline(self, bench: Bench) -> dict[str, Any] | None:
        """What the software pipeline took from frame to order, as JSON; None where it was not run."""
        if not bench.flows:
            return None
        base = self.orders.get(BASELINE)
        return {
            name: {
                "label": flow.kind.label,
                "link": flow.link,
                "mode": flow.mode,
                "missing": flow.missing,
                "orders": self.orders[name].as_json(base),
                "inside_p50_ns": self.inside[name].times.percentile(50) if self.inside[name].times.count else None,
                "round_inside_p50_ns": self.inside[name].medians,
            }
            for name, flow in bench.flows.items()
        }

    def cache_line(self) -> dict[str, Any]:
        """The mean time of a cache line to the other CPU and back in each round, as JSON."""
        there = [ns for ns in self.cache_line_ns if ns is not None]
        return {"round_ns": self.cache_line_ns, "median_ns": statistics.median(there) if there else None}

    def cython(self) -> dict[str, Any] | None:
        """The loop in Cython against the same one in C; None where it was not run."""
        if not self.in_c.times.count or not self.in_cython.times.count:
            return None
        return {
            "path": CYTHON_PATH,
            "bytes": min(self.plan.sizes),
            "c_p50_ns": self.in_c.times.percentile(50),
            "cython_p50_ns": self.in_cython.times.percentile(50),
            "ratio": ratio(self.cython_means_ns, self.c_means_ns),
        }


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """The calling thread on one CPU; None: where it is."""
    before = os.sched_getaffinity(0)
    try:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        yield
    finally:
        os.sched_setaffinity(0, before)
