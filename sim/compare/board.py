"""Comparing a device that is somewhere else: a board, over one of its Ethernet ports.

Everything passes one transport: frames of the feed and requests of the control role go in, order frames (or their
copies), telemetry and answers come out. The device is asked to send the record of every stage as telemetry, and a frame
is followed by a request whose answer says that the device took it, so that nothing is lost for want of room. What
telemetry leaves out of a record (levels of the book before and after, where they were) and what only a simulator can
look at (memories) is not compared; every other field of every stage is, and every byte of every order.

A small part has no room for telemetry of feed, itch and book. What they do is then seen in what follows from it: every
evaluation, verdict and order, and every counter. The model fills their places, at cycles in which the device rested.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sim.compare.engine import Comparison
from tickgate.sim.device import MINIMUM_GAP_CYCLES, ORDERS_PORT, DeviceError
from tickgate.sw.files.dtypes import record_dtype
from tickgate.sw.files.packer import Frames
from tickgate.sw.host.device import Device as HostDevice
from tickgate.sw.host.telemetry import is_telemetry
from tickgate.sw.host.transport import Transport
from tickgate.sw.model.pipeline import ReferencePipeline, Step
from tickgate.sw.spec import telemetry
from tickgate.sw.spec.config import Config, SlotConfig
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.records import Record
from tickgate.sw.spec.registers import counter_names, row_writes
from tickgate.sw.spec.rows import PEER_ROW

#: The device is at rest when nothing has come from it for so long.
QUIET_S = 0.05
TIMEOUT_S = 0.5
#: Fields of a record that telemetry does not have, by stage; and the feed line, which is the port's that was reached.
ABSENT = {
    stage: tuple(
        f.name
        for f in record.fields
        if f.name not in telemetry.RECORDS[stage].names or (stage == "feed" and f.name == "port")
    )
    for stage, record in TRACES.items()
}
#: Counters that other traffic of a shared port moves: whatever is no feed frame is counted by its cause.
_OTHERS_COUNT = ("frames", "drop_ethertype", "drop_runt", "drop_ip_protocol", "drop_destination", "drop_ip_version",
                 "drop_line_busy")  # fmt: skip
#: Stages whose telemetry a small part leaves out.
_SAMPLED = tuple(stage for stage in telemetry.CLASSES if stage not in telemetry.ALWAYS)
_ALL_CLASSES = (1 << len(telemetry.CLASSES)) - 1


class BoardDevice:
    """A device behind a transport, as a comparison takes one.

    Parameters
    ----------
    transport: to a port that has a feed role, the control role, and what the order session sends; owned.

    Members
    -------
    host: the device as its host sees it. sizes: what it says of itself.

    Raises
    ------
    DeviceError: no answer. WrongDeviceError: another register map than this host's.
    """

    #: They are not on the wire.
    has_memories = False

    def __init__(self, transport: Transport):
        self._transport = transport
        try:
            self.host = HostDevice(transport, timeout_s=TIMEOUT_S)
            self.sizes = self.host.sizes
            self.host.kill()
            self._before = self.host.counters()
        except BaseException:
            transport.close()
            raise
        self._records: dict[str, list[tuple[Any, ...]]] = {stage: [] for stage in TRACES}
        self._numbers: dict[str, int] = {}
        self._dtypes = {stage: record_dtype(record) for stage, record in TRACES.items()}
        self._orders: list[bytes] = []
        self._source_mac = 0
        self._filled: ReferencePipeline | None = None
        self._rest_cycle = 0
        self._frames_sent = self._orders_received = 0

    def close(self) -> None:
        """Kills the device, so that it sends nothing more, and closes the transport."""
        try:
            self.host.kill()
            self.host.write("telemetry_every", 0)
        except UserError:
            pass  # it does not answer any more
        self._transport.close()

    def __enter__(self) -> BoardDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def via(self) -> str:
        """One line on how frames reach the device."""
        who = self.host.identity
        build = f"build {who.build_id:#018x}" if who.build_id else "a simulated design"
        left_out = "levels before and after, and memories, are not on the wire and were not compared"
        if self._filled:
            left_out = f"it tells nothing of {', '.join(_SAMPLED)}, which were compared by what follows from them only"
        return (
            f"over {self._transport.name} ({build}): {self._frames_sent:,} frames sent, "
            f"{self._orders_received:,} orders back; {left_out}"
        )

    @property
    def fills(self) -> bool:
        """Whether records of feed, itch and book are the model's, as the device tells none."""
        return self._filled is not None

    def write_address(self, address: int, value: int) -> None:
        """Writes one 32-bit register by byte offset."""
        self.host.client.write([(address, value)])

    def load(self, config: Config) -> None:
        """Loads a configuration, nothing into the slots that it leaves out, and waits until the tables are clear."""
        self.host.write("telemetry_mask", _ALL_CLASSES)
        self.host.write("telemetry_every", 1)
        self.drain()
        self.clear()
        self._numbers.clear()
        empty = SlotConfig({}, ({}, {}), {})
        every = config.slots + (empty,) * (self.sizes.slots - len(config.slots))
        self._source_mac = config.session.get("src_mac", 0)
        self.host.client.write(Config(**{**config.__dict__, "slots": every}).writes())
        limit = time.monotonic() + 30.0
        while self.host.status()["clearing"]:
            if time.monotonic() > limit:
                raise DeviceError("tables were not clear after 30 s")
        self.drain()
        self._filled = None
        if not any(self._records[stage] for stage in _SAMPLED):  # a new session is told by all of them
            self._filled = ReferencePipeline(config, self.sizes)
            self._fill(self._filled.load())

    def acknowledge(self, peer: dict[str, int]) -> None:
        """Loads a peer row: what the venue acknowledged."""
        self.host.client.write(row_writes(PEER_ROW, peer))

    def step(self, cycles: int) -> None:
        """Cycles pass by themselves."""

    def stall(self, share: float, seed: int = 1) -> None:
        """Raises UserError: what leaves a board cannot be held up from here."""
        raise UserError("--stall is for simulated devices")

    def inject(self, payload: bytes, limit: int = 4096) -> None:
        """Raises UserError: host messages come over a board's order session, which a comparison has none of."""
        raise UserError("host messages cannot be sent through --via")

    def run(self, frames: Frames, *, errors: npt.NDArray[np.uint8] | None = None,
            gap: int = MINIMUM_GAP_CYCLES, line: int = 0) -> None:  # fmt: skip
        """Sends frames, each followed by a request that comes back when the device has taken it.

        Raises
        ------
        UserError: frames with errors. DeviceError: no answer, or telemetry was lost.
        """
        if errors is not None and errors.any():
            raise UserError("a frame with an error does not pass an interface: compare it without --via")
        for _, frame in frames:
            if self._filled:
                self._rest_cycle = self.host.read("now")["now"]
                self._fill(self._filled.frame(frame))
            self._transport.send(frame)
            self._frames_sent += 1
            lost = self.host.read("telemetry_lost")["telemetry_lost"] - self._before["telemetry_lost"] & 0xFFFFFFFF
            self._take()
            if lost:
                raise DeviceError(
                    f"the device had no room for {lost:,} telemetry records: send fewer messages a frame (--pack 1)"
                )

    def drain(self, quiet: int | None = None, limit: int = 1_000_000) -> None:
        """Waits until nothing comes any more."""
        while True:
            self.host.client.poll(QUIET_S)
            if not self._take():
                return

    def traces(self) -> dict[str, npt.NDArray[Any]]:
        """Trace records since the last `clear`, an array a stage; what telemetry leaves out is 0."""
        return {stage: np.array(rows, dtype=self._dtypes[stage]) for stage, rows in self._records.items()}

    def frames(self, port: int = ORDERS_PORT) -> Iterator[tuple[int, bytes]]:
        """Order frames since the last `clear`; no cycle is known of them, and 0 is told."""
        return iter([(0, frame) for frame in self._orders])

    def order_ends(self) -> list[tuple[int, bool]]:
        """Nothing: words are not on the wire, and an order that was poisoned gets lost there."""
        return []

    def memories(self) -> dict[str, list[int]]:
        """Raises DeviceError: they are not on the wire."""
        raise DeviceError("a board's memories cannot be read")

    def clear(self) -> None:
        """Forgets records and orders so far."""
        for rows in self._records.values():
            rows.clear()
        self._orders.clear()

    def counters(self) -> dict[str, int]:
        """How far every counter has moved since the device was opened, but those that other traffic moves."""
        now = self.host.counters()
        return {
            name: now[name] - self._before[name] & 0xFFFFFFFF for name in counter_names() if name not in _OTHERS_COUNT
        }

    def _take(self) -> int:
        """Sorts what came; returns how many frames of the device there were."""
        found = 0
        for frame in self.host.client.take_others():
            if is_telemetry(frame):
                found += 1
                for stage, values in telemetry.decode(frame)[1]:
                    self._record(stage, values)
            elif int.from_bytes(frame[6:12], "big") == self._source_mac:
                found += 1
                self._orders.append(frame)
                self._orders_received += 1
        return found

    def _fill(self, steps: list[Step]) -> None:
        """The model's records of stages that tell nothing, at a cycle before anything follows from them."""
        for step in steps:
            for stage, row in (("feed", step.feed), ("itch", step.itch), ("book", step.book)):
                if row is not None:
                    record = TRACES[stage]
                    values = dict(zip((f.name for f in record.fields), row, strict=True)) | {"cycle": self._rest_cycle}
                    self._records[stage].append(tuple(values[f.name] for f in record.fields))

    def _record(self, stage: str, values: dict[str, Any]) -> None:
        due = self._numbers.get(stage, values["number"])
        if values["number"] != due:
            missing = values["number"] - due & 0xFFFFFFFF
            raise DeviceError(f"{missing:,} telemetry records of {stage} did not arrive: is the port shared or slow?")
        self._numbers[stage] = due + 1 & 0xFFFFFFFF
        record = TRACES[stage]
        absent = ABSENT[stage]
        self._records[stage].append(tuple(0 if f.name in absent else values[f.name] for f in record.fields))


class BoardComparison(Comparison):
    """A comparison of what a board tells: records without the fields that telemetry leaves out, and no dumps."""

    device: BoardDevice

    def _stage(self, stage: str, expected: list[Any], found: npt.NDArray[Any]) -> bool:
        if not self.device.fills:
            expected = [_without(TRACES[stage], ABSENT[stage], row) for row in expected]
        return super()._stage(stage, expected, found)


def _without(record: Record, absent: tuple[str, ...], row: Any) -> Any:
    if not absent:
        return row
    return tuple(0 if f.name in absent else value for f, value in zip(record.fields, row, strict=True))


def is_remote(via: str) -> bool:
    """Whether `via` is a transport, and not a way to a simulated device of the comparison's own.

    Raises
    ------
    UserError: a transport to a control role that nothing feeds.
    """
    name = via.partition(":")[0]
    if name in ("sim", "model"):
        raise UserError(f"--via {name} is a control role without a feed: leave --via out for a simulated device")
    return name not in ("", "nic", "netlist")
