"""A whole comparison: options, configuration, batches with progress, the reproducer of a difference, the floor."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tickgate.drivers import clock
from tickgate.sim.compare import floors, reproduce
from tickgate.sim.compare.board import BoardComparison, BoardDevice, is_remote
from tickgate.sim.compare.engine import Comparison, Observer
from tickgate.sim.compare.inputs import Input, frames_of
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.device import MINIMUM_GAP_CYCLES, Device
from tickgate.sim.mac_device import MacDevice
from tickgate.sim.netlist_device import NetlistDevice
from tickgate.sw.files.block import block_of
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.packer import Frames, Packer
from tickgate.sw.host.transport import open_transport
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec import config_toml
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes

Progress = Callable[[str, float, int], None]


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and how.

    Parameters
    ----------
    path: the file. sizes: of the device. selection: which symbols a derived configuration follows.
    config: TOML file instead of a derived configuration. pack: messages a frame, None as many as fit.
    start, limit: messages (of a capture: frames) skipped and taken. stall: share of cycles in which the order port is
    held up. gap: idle cycles between frames. faults: planted faults of the device. work: folder of reproducers.
    keep_orders: whether `Comparison.order_frames` keeps every order frame; a long run has many.
    mac: `gmii`: the frames pass the MAC as bytes, and so do the orders; "": they are words on both sides of it.
    via: `nic` or `nic:BACKEND`: the frames pass network interfaces (TAPs with `tap-` before the backend) and that
    driver; `netlist:FILE`: the device is a synthesised one; a transport of the host (`xdp:eth0`): the device is at its
    other end, and `sizes` has to be what it tells; "": frames are handed over to the gateware.
    """

    path: Path
    sizes: Sizes
    selection: Selection
    config: Path | None = None
    pack: int | None = None
    start: int = 0
    limit: int | None = None
    stall: float = 0.0
    gap: int = MINIMUM_GAP_CYCLES
    faults: frozenset[str] = frozenset()
    work: Path = Path("build") / "compare"
    keep_orders: bool = False
    via: str = ""
    mac: str = ""

    @property
    def netlist(self) -> Path | None:
        """The synthesised device that `via` names."""
        way, _, file = self.via.partition(":")
        return Path(file) if way == "netlist" and file else None

    def open_device(self) -> Device | BoardDevice:
        """The device that `via` names.

        Raises
        ------
        UserError: `via` is wrong, or what it needs is missing.
        """
        if self.mac:
            if self.via:
                raise UserError("--mac and --via are two ways to the device: give one of them")
            return MacDevice(self.sizes, faults=self.faults)
        if not self.via:
            return Device(self.sizes, faults=self.faults)
        if self.netlist:
            return NetlistDevice(self.sizes, self.netlist)
        if self.via.rstrip(":") == "netlist":
            raise UserError("--via netlist:FILE names what tickgate netlist wrote")
        if is_remote(self.via):
            return BoardDevice(open_transport(self.via))
        from tickgate.sim.nic.wire_device import WireDevice
        from tickgate.sim.nic.wires import DEFAULT_BACKEND

        _, _, backend = self.via.partition(":")
        return WireDevice(self.sizes, faults=self.faults, backend=backend or DEFAULT_BACKEND)


def configuration(options: CompareOptions, source: Input, progress: Progress) -> Config:
    """The configuration named, or one derived from a first pass over the file; the feed's identity is the file's.

    Raises
    ------
    UserError: the file or the configuration is not what it should be.
    """
    if options.config is not None:
        config = config_toml.load(options.config, options.sizes)
    else:
        passes = itertools.count(1)

        def counted() -> Iterator[bytes]:
            what = f"deriving a configuration, pass {next(passes)}"
            for number, message in enumerate(_messages(source, options)):
                if number % 10_000 == 0:
                    progress(what, source.progress, number)
                yield message
            progress(what, 1.0, 0)

        config = derive_config(counted, options.sizes, options.selection).config
    return Config(**{**config.__dict__, "feed": source.identity().row()})


def _messages(source: Input, options: CompareOptions) -> Iterator[bytes]:
    if not source.is_capture:
        yield from source.messages()
        return
    with MoldSource(options.path) as capture:
        yield from capture


def compare(
    options: CompareOptions,
    progress: Progress = lambda what, share, count: None,
    observers: tuple[Observer, ...] = (),
    config: Config | None = None,
) -> tuple[CompareResult, Comparison]:
    """Runs a comparison.

    Raises
    ------
    UserError: the user's mistake. DeviceError: the simulated device hung.
    """
    source = Input(options.path, pack=options.pack, start=options.start, limit=options.limit)
    if config is None:
        config = configuration(options, source, progress)
    progress("building the device", 0.0, 0)
    result = CompareResult(
        str(options.path), {"toml": config_toml.dumps(config), "sizes": dict(options.sizes.__dict__)}
    )
    with options.open_device() as device:
        if options.stall:
            device.stall(options.stall)
        model = ReferencePipeline(config, options.sizes, update_latency_cycles=update_latency())
        kind = BoardComparison if isinstance(device, BoardDevice) else Comparison
        comparison = kind(device, model, result, gap=options.gap, keep_orders=options.keep_orders)
        comparison.observers.extend(observers)
        comparison.begin()
        began = clock.now_ns()
        comparison.run_all(source.batches(), lambda: progress("comparing", source.progress, result.messages))
        comparison.finish()
        if isinstance(device, MacDevice) and not comparison.different:
            for name, (want, got) in device.differences().items():
                result.note_mismatch(model.feed.expected - 1, f"counter {name}", {"value": want}, {"value": got})
        elapsed = max(1, clock.now_ns() - began)
        if options.via or options.mac:
            result.notes.append(device.via)
    result.rate_msgs_s = result.messages * 1e9 / elapsed
    result.device_msgs_s = result.messages * 1e9 / max(1, comparison.device_ns)
    if not result.messages:
        raise UserError(f"{options.path}: no message was delivered")
    if result.mismatches and is_remote(options.via):
        result.notes.append("the same file without --via shows whether a simulated device differs too")
    elif result.mismatches:
        progress("shrinking", 0.0, 0)
        result.reproducer = write_reproducer(options, config, result)
    elif options.limit is None and not options.start:
        result.floor = floors.floor_of(options.path)
        result.below_floor = floors.below(result, result.floor) if result.floor else []
    if any(s.symbol.get("assume_trading") for s in config.slots):
        result.notes.append("the file has no trading action (H) of some symbols: they are assumed to trade")
    return result, comparison


def update_latency() -> int:
    """Cycles from a book trace record to the cycle in which risk takes its update in: the trigger's pass-through."""
    from tickgate.gateware.trigger import Trigger

    least, most = Trigger.latency_cycles["i", "o_book", "any"]
    if least != most:
        raise ValueError("updates must pass the trigger in a constant number of cycles")
    return least


def write_reproducer(options: CompareOptions, config: Config, result: CompareResult) -> str | None:
    """Shrinks the input of a difference; gives the command that shows it again, None where it does not appear alone."""
    first = result.first_mismatch
    assert first is not None
    stem = f"{options.path.name.split('.')[0]}-{first.seq}-{first.stage.split()[0].strip(',')}"
    source = Input(options.path, pack=options.pack, start=options.start, limit=options.limit)
    toml = options.work / f"{stem}.toml"

    def replay(batches: list[Frames]) -> bool:
        again = CompareResult("", {})
        simulated = replace(options, via=options.via if options.netlist else "")
        with simulated.open_device() as device:
            if options.stall:
                device.stall(options.stall)
            model = ReferencePipeline(config, options.sizes, update_latency_cycles=update_latency())
            run = Comparison(device, model, again, gap=options.gap)
            run.begin()
            for frames in batches:
                run.run(frames)
                if run.different:
                    return True
            run.finish()
        return run.different

    last = first.seq if first.seq else None
    if source.is_capture:
        frames = [frame for batch in source.batches() for _, frame in batch]
        if not replay([frames_of((0, f) for f in frames)]):
            return None
        kept = reproduce.shrink(frames, lambda some: replay([frames_of((0, f) for f in some)]))
        path = options.work / f"{stem}.pcap"
        reproduce.write_frames(path, kept)
    else:
        messages = []
        for number, message in enumerate(source.messages(), 1):
            messages.append(message)
            if last is not None and number >= last + 64:
                break

        def shows(some: list[bytes]) -> bool:
            return replay(list(Packer(per_packet=options.pack).pack_all([block_of(some)])))

        if not shows(messages):
            return None
        kept = reproduce.shrink(messages, shows)
        path = options.work / f"{stem}.itch"
        reproduce.write_messages(path, kept)
    toml.write_text(config_toml.dumps(config))
    pack = f" --pack {options.pack}" if options.pack and not source.is_capture else ""
    mac = f" --mac {options.mac}" if options.mac else ""
    via = f" --via {options.via}" if options.netlist else ""
    return f"tickgate compare {path} --config {toml}{pack}{mac}{via}"
