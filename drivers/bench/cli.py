"""`tickgate bench`: round trips and one-way rates of every backend that this machine can run, as ratios."""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tickgate.drivers.bench.paths import KINDS
from tickgate.drivers.bench.peers import PEERS, found_peers
from tickgate.drivers.bench.pipeline import PATHS as FLOWS
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.spec.errors import UserError

help = "round trips and one-way rates of every port backend, beside their peers, as ratios"

SIZES = (64, 128, 1500)
#: The software pipeline, by name beside the paths.
PIPELINE = "pipeline"
#: Of its session: a shorter one holds little but administration, and what comes behind its end is without the pipeline.
MESSAGES_MIN, MESSAGES_MAX = 1_000, 30_000
#: Shortest frame: Ethernet, IPv4 and UDP headers and what the benchmark writes; longest: the MTU with its header.
SIZE_MIN, SIZE_MAX = 64, 1514


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--quick", action="store_true", help="under a minute (else under ten): fewer rounds and round trips"
    )
    parser.add_argument("--only", metavar="PATH,...", help=f"of these: {', '.join((*KINDS, PIPELINE))}")
    parser.add_argument("--sizes", metavar="N,...", help="bytes of a frame without its checksum (64,128,1500)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (30, with --quick 5)")
    parser.add_argument("--trips", type=int, metavar="N", help="round trips a path, size and round (5,000; 1,000)")
    parser.add_argument(
        "--cpus", metavar="NEAR,FAR", help="CPUs of the sender and of what answers (the first two); none: no pinning"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=FILE",
        help=f"program of a peer that is not on the PATH: {', '.join(p.name for p in PEERS)}",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page, and FILE.json beside it")
    parser.add_argument("--json", action="store_true", help="print one JSON object (docs/reference/bench.schema.json)")


def paths_of(text: str | None) -> list[str]:
    """The chosen paths, in the order of `KINDS`, the pipeline last; raises UserError for an unknown name."""
    there = (*KINDS, PIPELINE)
    if text is None:
        return list(there)
    names = {name.strip() for name in text.split(",")}
    for name in sorted(names):
        if name not in there:
            raise UserError(f"--only: there is no path {name!r}; the paths are: {', '.join(there)}")
    return [name for name in there if name in names]


def sizes_of(text: str | None) -> tuple[int, ...]:
    """The chosen sizes, rising; raises UserError for what is no size of a frame."""
    if text is None:
        return SIZES
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not word.isdecimal() or not SIZE_MIN <= int(word) <= SIZE_MAX:
            raise UserError(f"--sizes takes numbers from {SIZE_MIN} to {SIZE_MAX}, not {word!r}")
    return tuple(sorted({int(word) for word in words}))


def cpus_of(text: str | None) -> tuple[int | None, int | None]:
    """CPUs of both ends, None where not pinned; raises UserError for one that this process may not use."""
    allowed = sorted(os.sched_getaffinity(0))
    if text == "none" or (text is None and len(allowed) < 2):
        return None, None
    if text is None:
        return allowed[0], allowed[1]
    words = text.split(",")
    if len(words) != 2 or not all(word.strip().isdecimal() for word in words):
        raise UserError(f"--cpus takes two numbers (0,1) or none, not {text!r}")
    near, far = (int(word) for word in words)
    for cpu in (near, far):
        if cpu not in allowed:
            raise UserError(f"--cpus: this process may use the CPUs {', '.join(map(str, allowed))}, not {cpu}")
    return near, far


def peers_of(words: list[str]) -> dict[str, str]:
    """The file of each peer that is there; raises UserError for one that was named wrongly."""
    named = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not equals or not file:
            raise UserError(f"--peer takes NAME=FILE, not {word!r}")
        named[name] = file
    try:
        return found_peers(named)
    except ValueError as error:
        raise UserError(f"--peer: {error}") from None


def _positive(name: str, value: int | None, default: int, most: int) -> int:
    if value is None:
        return default
    if not 1 <= value <= most:
        raise UserError(f"--{name} takes a number from 1 to {most:,}, not {value}")
    return value


def _writable(report: Path | None) -> None:
    """Say before the measurement what would fail behind it."""
    if report is None:
        return
    if report.is_dir():
        raise UserError(f"--report takes a file, and {report} is a folder")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("the report needs matplotlib: pip install 'tickgate[sim]'") from None
    report.parent.mkdir(parents=True, exist_ok=True)


def run(args: argparse.Namespace) -> int:
    """Measure; 0 where all that could be opened was measured, 1 where a path failed or none could be opened."""
    names, sizes, (near, far) = paths_of(args.only), sizes_of(args.sizes), cpus_of(args.cpus)
    rounds = _positive("rounds", args.rounds, 5 if args.quick else 30, 10_000)
    trips = _positive("trips", args.trips, 1_000 if args.quick else 5_000, 10_000_000)
    programs = peers_of(args.peer)
    _writable(args.report)
    try:
        if os.environ.get("TICKGATE_PURE"):
            raise ModuleNotFoundError(name="tickgate.drivers._port")
        from tickgate.drivers.bench.measure import Measurement, Plan
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("tickgate.drivers."):
            raise
        raise UserError("the compiled drivers are not installed\ninstall without TICKGATE_PURE: make setup") from None
    plan = Plan(
        rounds=rounds, trips=trips, trip_limit_ms=150 if args.quick else 500, flood_ms=15 if args.quick else 50,
        sizes=sizes, near_cpu=near, far_cpu=far, budget_s=40.0 if args.quick else 540.0,
        flow_frames=200 if args.quick else 600,
    )  # fmt: skip
    result = measured(names, programs, Measurement(plan), quick=args.quick)
    text = json.dumps(result)
    if args.report is not None:
        from tickgate.drivers.bench.report import render

        page = render(result)
        for path, content in ((args.report, page), (args.report.with_suffix(".json"), text + "\n")):
            with atomic_output(path) as out:
                out.write(content.encode())
    if args.json:
        print(text)
    else:
        _tell(result, args.report)
    ran = [*result["paths"].values(), *(result["pipeline"] or {}).values()]
    return 1 if result["failed"] or all(path["missing"] for path in ran) else 0


def measured(names: list[str], programs: dict[str, str], measurement: Any, quick: bool) -> dict[str, Any]:
    """Open, measure and close everything; the object that `--json` prints."""
    from tickgate.drivers.bench.machine import facts
    from tickgate.drivers.bench.paths import BASELINE, Bench

    plan = measurement.plan
    machine = facts(plan.near_cpu, plan.far_cpu)
    kinds = [name for name in names if name != PIPELINE]
    # Without any other path the pipeline is run over all that it can.
    flows = [name for name in FLOWS if name in kinds or not kinds] if PIPELINE in names else []
    messages = max(MESSAGES_MIN, min(plan.rounds * plan.flow_frames, MESSAGES_MAX))
    with Bench(kinds, programs, plan.far_cpu, flows, messages) as bench:
        opened = [name for name, path in bench.paths.items() if path.missing is None]
        flowing = [name for name, flow in bench.flows.items() if flow.missing is None]
        with _progress(plan.rounds * (len(plan.sizes) * len(opened) + len(flowing))) as moved:
            measurement.run(bench, moved)
        paths = measurement.results(bench)
        pipeline = measurement.pipeline(bench)
    failed = [name for name in opened if paths[name]["missing"]]
    failed += [f"{PIPELINE}: {name}" for name in flowing if pipeline is not None and pipeline[name]["missing"]]
    return {
        "tool": "tickgate bench",
        "version": _version(),
        "quick": quick,
        "rounds": plan.rounds,
        "rounds_done": measurement.rounds_done,
        "trips": plan.trips,
        "flood_ms": plan.flood_ms,
        "sizes": list(plan.sizes),
        "baseline": BASELINE,
        "machine": machine,
        "paths": paths,
        "failed": failed,
        "cython": measurement.cython(),
        "cache_line": measurement.cache_line(),
        "pipeline": pipeline,
    }


class _progress:
    """A bar on standard error; nothing where that is no terminal."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description:<44}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(), refresh_per_second=2,
        )  # fmt: skip
        self._task = self._bars.add_task("opening", total=max(1, steps))

    def __enter__(self) -> Any:
        self._bars.start()
        return lambda what: self._bars.update(self._task, advance=1, description=what)

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()


def _version() -> str:
    try:
        return version("tickgate")
    except PackageNotFoundError:
        return "unpackaged"


def _tell(result: dict[str, Any], report: Path | None) -> None:
    from rich.console import Console

    from tickgate.drivers.bench.report import lines

    console = Console(highlight=False, soft_wrap=True)
    console.print(lines(result))
    if report is not None:
        console.print(f"{report}")
