"""The main job as one piece: a seeded session through device and models, and what it leaves behind.

A session is generated and packed one message a frame into a capture. The capture is compared with a configuration under
which every reject reason occurs. Then come the orders as a capture, a report, and the waveform of the first order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tickgate.drivers import clock
from tickgate.sim import build
from tickgate.sim.compare.engine import Comparison
from tickgate.sim.compare.inputs import Input
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sim.demo_build import KINDS, BackgroundBuild
from tickgate.sim.demo_watch import Watch
from tickgate.sim.waves import write_journey
from tickgate.sw.files import atomic, pcap
from tickgate.sw.files.block import Block
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import Session, SessionOptions
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.survey import Selection
from tickgate.sw.report import html, plots
from tickgate.sw.spec import defaults
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import TriggerKind
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named
from tickgate.sw.spec.units import CORE_CLOCK_HZ

SYMBOLS = 8
MESSAGES = 100_000
#: What a session of `MESSAGES` messages or more must reach; a shorter one is compared only.
ORDERS_MIN = 200
FIRED_MIN = 20

#: What a demo leaves in its folder, and what it leaves beside where a waveform is wanted.
FILES = ("session.pcap", "orders.pcap", "report.html", "summary.json")
WAVE_FILES = ("journey.vcd", "journey.gtkw")

Progress = Callable[[str, float, int], None]
"""Called with a step, the share of it that is done (below 0: unknown), and a count of messages."""


@dataclass(frozen=True)
class DemoOptions:
    """What is shown.

    Parameters
    ----------
    out: folder of what is left behind. seed, messages: of the session. waves: whether the waveform is wanted.
    picture: PNG file of the report's plots, None for none.
    """

    out: Path
    seed: int = 1
    messages: int = MESSAGES
    waves: bool = True
    picture: Path | None = None


@dataclass
class DemoResult:
    """What came of it.

    Members
    -------
    compared: the comparison. files: what was written, by name. budgets: cycles of each stage on the way of the orders
    at the minimum, median, 99th percentile and maximum. short: what the session should have reached and did not, a line
    each. seconds: wall-clock time of each step.
    """

    options: DemoOptions
    compared: CompareResult
    files: dict[str, str] = field(default_factory=dict)
    budgets: dict[str, dict[str, int]] = field(default_factory=dict)
    short: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether both sides agreed and the session reached all that it should."""
        return self.compared.equal and not self.short

    def as_json(self) -> dict[str, Any]:
        """The object of `summary.json` and of `--json`."""
        compared = self.compared.as_json()
        return {
            "tool": "tickgate demo",
            "version": compared["version"],
            "seed": self.options.seed,
            "files": self.files,
            "short": self.short,
            "order_budgets_cycles": self.budgets,
            "seconds": {step: round(seconds, 3) for step, seconds in self.seconds.items()},
            "compare": compared,
        }


def shortfalls(result: CompareResult) -> list[str]:
    """What a session of at least `MESSAGES` messages must reach and did not, one line each."""
    if result.messages < MESSAGES:
        return []
    short = []
    if result.orders < ORDERS_MIN:
        short.append(f"{result.orders} orders left, at least {ORDERS_MIN} should")
    for kind in (TriggerKind.TAKE, TriggerKind.IMBALANCE, TriggerKind.SPREAD):
        name = kind.name.lower()
        if result.fired[name] < FIRED_MIN:
            short.append(f"the trigger {name} fired {result.fired[name]} times, at least {FIRED_MIN} expected")
    for reason in Reason:
        name = (reason.name or "").lower()
        if reason & ACTIVE_REASONS and not result.rejects[name]:
            short.append(f"no order was rejected for {name}")
    return short


def run_demo(options: DemoOptions, progress: Progress = lambda what, share, count: None) -> DemoResult:
    """Does all of it.

    Raises
    ------
    UserError: an option out of range, a tool that is missing, a file that cannot be written.
    """
    session = SessionOptions(seed=options.seed, symbols=SYMBOLS, messages=options.messages)
    Session(session)  # refuses options before anything is written
    out = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"is a file, not a folder: {out}") from None
    for name in (*FILES, *WAVE_FILES):
        (out / name).unlink(missing_ok=True)  # what an earlier session left would be taken for this one's
    sizes = sizes_named(DEFAULT_SIZE)
    seconds: dict[str, float] = {}

    @contextmanager
    def step(what: str) -> Iterator[None]:
        progress(what, -1.0, 0)
        began = clock.now_ns()
        yield
        seconds[what] = (clock.now_ns() - began) / 1e9
        progress(what, 1.0, 0)

    files = {name: str(out / name) for name in FILES}
    with BackgroundBuild(sizes, KINDS if options.waves else KINDS[:1]) as building:
        with step("generating the session"):
            blocks = _generate(session, out / "session.pcap", progress)
        with step("deriving a configuration"):
            config = _configure(blocks, progress)
        del blocks
        with step("compiling the device"):
            build.shared_object(sizes)
        watch = Watch(config)
        with step("comparing"):
            chosen = CompareOptions(
                path=out / "session.pcap", sizes=sizes, selection=Selection(top=SYMBOLS), work=out, keep_orders=True
            )
            compared, comparison = compare(chosen, _only("comparing", progress), (watch,), config)
        result = DemoResult(options, compared, files, watch.told(), shortfalls(compared), seconds)
        with step("writing the orders"):
            _write_orders(out / "orders.pcap", comparison)
        with step("drawing the report"):
            _write_report(result, comparison, watch)
        if options.waves and compared.equal and watch.first_order_seq:
            with step("compiling the device with waves"):
                building.wait()
                build.shared_object(sizes, waves=True)
            with step("writing the waveform"):
                _write_waves(out, config, watch.first_order_seq, comparison, files)
    _write_text(out / "summary.json", json.dumps(result.as_json(), indent=1) + "\n")
    return result


def _generate(options: SessionOptions, path: Path, progress: Progress) -> list[Block]:
    """Writes the session as a capture, one message a frame; returns its messages."""
    blocks = []
    done = 0
    packer = Packer(per_packet=1)
    with pcap.open_writer(path) as writer:
        for block in Session(options).blocks():
            blocks.append(block)
            for time_ns, frame in packer.pack(block):
                writer.write(time_ns, frame)
            done += len(block)
            progress("generating the session", done / options.messages, done)
    return blocks


def _configure(blocks: list[Block], progress: Progress) -> Config:
    total = 3 * sum(len(block) for block in blocks)
    done = 0

    def messages() -> Iterator[bytes]:
        nonlocal done
        for block in blocks:
            yield from block
            done += len(block)
            progress("deriving a configuration", done / total, done)

    return demo_config(derive_config(messages, sizes_named(DEFAULT_SIZE), Selection(top=SYMBOLS)))


def _only(step: str, progress: Progress) -> Progress:
    """Lets the progress of one step through; the others have steps of their own here."""
    return lambda what, share, count: progress(what, share, count) if what == step else None


def _write_orders(path: Path, comparison: Comparison) -> None:
    """The order frames, at the times of their first words: cycles since reset at the core clock."""
    with pcap.open_writer(path) as writer:
        for cycle, frame in comparison.order_frames:
            writer.write(cycle * 1_000_000_000 // CORE_CLOCK_HZ, frame)


def _write_report(result: DemoResult, comparison: Comparison, watch: Watch) -> None:
    options = result.options
    series = watch.series()
    bins = comparison.latency.bins
    title = f"tickgate demo, seed {options.seed}"
    page = html.render(title, result.compared.as_json(), bins, series, result.budgets)
    _write_text(options.out / "report.html", page)
    if options.picture is not None and html.ORDER_ROW in bins:
        drawn = plots.picture(series, bins[html.ORDER_ROW], result.compared.as_json()["rejects"], result.budgets)
        with atomic.atomic_output(options.picture) as stream:
            stream.write(drawn)
        result.files["picture"] = str(options.picture)


def _write_waves(out: Path, config: Config, seq: int, comparison: Comparison, files: dict[str, str]) -> None:
    number = seq - defaults.FEED_FIRST_SEQUENCE  # one message a frame
    source = Input(out / "session.pcap", limit=number + 1)
    first = comparison.order_frames[0][1]
    save = write_journey(out / WAVE_FILES[0], comparison.device.sizes, config, source.batches(), number, first)
    files |= {name: str(save.with_name(name)) for name in WAVE_FILES}


def _write_text(path: Path, text: str) -> None:
    with atomic.atomic_output(path) as stream:
        stream.write(text.encode())
