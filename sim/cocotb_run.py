"""Builds a stage for cocotb on Verilator, runs its bench, and does not believe a run that proved nothing.

cocotb's own runner accepts a run without tests; here the results file must exist and hold exactly the number of tests
that the bench declares.
"""

from __future__ import annotations

import importlib
import os
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tickgate.sim import cache, runtime, verilator
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LADDER, Sizes

STAGES = ("mac", "feed", "itch", "book", "trigger", "risk", "orders", "registers", "telemetry", "control", "top")
BENCH_SIZES = Sizes(slots=4, orders=256, levels=64, stash=16)


@dataclass(frozen=True)
class BenchResult:
    """What a run of a bench showed.

    Members
    -------
    passed, failed: test names; failed ones map to their messages.
    """

    stage: str
    seed: int
    seconds: float
    passed: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    waveform: Path | None = None


def bench_module(stage: str) -> ModuleType:
    """The bench of `stage`.

    Raises
    ------
    UserError: there is no such stage.
    """
    if stage not in STAGES:
        raise UserError(f"no stage {stage!r}; the stages are {', '.join(STAGES)}")
    return importlib.import_module(f"tickgate.sim.benches.{stage}")


def bench_sizes(stage: str) -> Sizes:
    """Sizes that the bench is built with: its own `SIZES`, or small ones that reach every corner quickly."""
    sizes = getattr(bench_module(stage), "SIZES", BENCH_SIZES)
    return LADDER[sizes] if isinstance(sizes, str) else sizes


def _inputs(component: Any) -> list[str]:
    from amaranth.hdl import Const
    from amaranth.lib.wiring import Flow

    # The `ready` of a stream that can never be held up is a constant, not a port.
    return [
        "__".join(str(p) for p in path)
        for path, member, value in component.signature.flatten(component)
        if member.flow is Flow.In and not isinstance(value, Const)
    ]


def _key(stage: str, faults: frozenset[str], waves: bool) -> str:
    """Names a compiled bench: also by the text of what gives the component its parameters."""
    bench = Path(str(bench_module(stage).__file__))
    texts = [path.read_text() for path in (bench, bench.with_name("twins.py"))]
    return cache.design_hash("bench", stage, bench_sizes(stage), sorted(faults), waves, texts)


def build(stage: str, faults: frozenset[str] = frozenset(), waves: bool = False) -> tuple[Path, list[str]]:
    """The folder of the compiled bench, and the names of the component's inputs; built where the cache has none."""
    sizes = bench_sizes(stage)
    key = _key(stage, faults, waves)

    def make(folder: Path) -> None:
        from cocotb_tools.runner import get_runner

        from tickgate.gateware.build import to_verilog

        component = bench_module(stage).component(sizes, faults)
        text = verilator.strip_zero_memories(to_verilog(component, name="bench"))
        (folder / "bench.v").write_text(text)
        (folder / "inputs").write_text("\n".join(_inputs(component)))
        os.environ.update({k: v for k, v in verilator.environment().items() if k in ("PATH", "MAKEFLAGS")})
        # A planted fault is found within a second of simulation: compiling fast is worth more than running fast.
        split_statements = 0 if faults else 8000
        if faults:
            os.environ["MAKEFLAGS"] += " OPT_FAST=-O0"
        runner = get_runner("verilator")
        objects = folder / "obj"
        objects.mkdir()
        runtime.lend(objects, waves)
        # No -CFLAGS: it would optimise the long tables of names too, which takes minutes and gains nothing.
        runner.build(
            sources=[folder / "bench.v"],
            hdl_toplevel="bench",
            build_dir=objects,
            # cocotb asks for every signal to be public, which costs half of the compilation; benches use ports only.
            build_args=["--no-public-flat-rw", "--public-depth", "1", "--x-initial", "0", "--x-assign", "0",
                        "-Wno-fatal", "-Wno-WIDTH", "-Wno-UNOPTFLAT", "-O3",
                        "--output-split", str(split_statements)],
            waves=waves,
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
        )  # fmt: skip
        runtime.keep(objects, waves)
        for header in objects.glob("*.gch"):  # 70 MB each, of use to the compiler only
            header.unlink()

    folder = cache.entry("bench", f"{stage}-{key}", make)
    return folder, (folder / "inputs").read_text().split()


def run(
    stage: str,
    *,
    seed: int = 1,
    full: bool = False,
    waves: bool = False,
    faults: frozenset[str] = frozenset(),
    tests: tuple[str, ...] = (),
    work: Path | None = None,
) -> BenchResult:
    """Runs the bench of one stage (all its tests, or those named) and reads what it showed.

    A bench with a `fault_number` is built once with all of its faults, of which an input chooses the one to run with.

    Raises
    ------
    RuntimeError: the run left no results file, or another number of tests than the bench declares.
    """
    from cocotb_tools.runner import get_runner

    bench, chosen = bench_module(stage), 0
    if faults and hasattr(bench, "fault_number"):
        (fault,) = faults
        chosen, faults = bench.fault_number(fault), frozenset(bench.FAULTS)
    folder, inputs = build(stage, faults, waves)
    work = (work or Path("build") / "sim" / stage).absolute()
    work.mkdir(parents=True, exist_ok=True)
    results = work / "results.xml"
    results.unlink(missing_ok=True)
    os.environ.update({k: v for k, v in verilator.environment().items() if k in ("PATH", "MAKEFLAGS")})
    runner = get_runner("verilator")
    runner.log.setLevel("WARNING")
    began = time.monotonic()
    try:
        runner.test(
            test_module=f"tickgate.sim.benches.{stage}",
            hdl_toplevel="bench",
            hdl_toplevel_lang="verilog",
            build_dir=folder / "obj",
            test_dir=work,
            results_xml=str(results),
            testcase=list(tests) or None,
            seed=seed,
            waves=waves,
            log_file=work / "run.log",
            extra_env={
                "TICKGATE_SEED": str(seed),
                "TICKGATE_FULL": "1" if full else "0",
                "TICKGATE_INPUTS": ",".join(inputs),
                "TICKGATE_FAULT": str(chosen),
                "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "WARNING"),
            },
        )
    except SystemExit as stopped:
        if not results.is_file():
            raise RuntimeError(
                f"bench {stage}: the simulator stopped with status {stopped.code}; see {work}/run.log"
            ) from stopped
    expected = len(tests) if tests else bench.EXPECTED_TESTS
    passed, failed = read_results(results, expected)
    dump = next((p for p in (work / "dump.vcd", folder / "obj" / "dump.vcd", work / "dump.fst") if p.is_file()), None)
    return BenchResult(stage, seed, time.monotonic() - began, passed, failed, dump if waves else None)


def read_results(path: Path, expected: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the tests that passed, and names and messages of those that failed.

    Raises
    ------
    RuntimeError: no such file, no tests in it, or not `expected` of them.
    """
    if not path.is_file():
        raise RuntimeError(f"the run left no results file {path}")
    passed: list[str] = []
    failed: dict[str, str] = {}
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name", "?")
        wrong = [child for child in case if child.tag in ("failure", "error")]
        if case.find("skipped") is not None:
            continue
        if wrong:
            failed[name] = (wrong[0].get("message") or wrong[0].get("error_msg") or wrong[0].text or "failed").strip()
        else:
            passed.append(name)
    found = len(passed) + len(failed)
    if found == 0 or found != expected:
        raise RuntimeError(f"{path}: {found} tests ran, {expected} were expected")
    return tuple(passed), failed
