"""A device as its host sees it: registers by name, configuration rows, counters, kill switch and heartbeat.

The same class serves every transport. What a device is configured to do comes from the TOML file of
`tickgate.sw.spec.config_toml`; `plan` tells what applying it would change, `apply` changes it all or not at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tickgate.sw.host.client import Client, register
from tickgate.sw.host.errors import DeviceError
from tickgate.sw.host.identity import Identity, check_identity, identity_of
from tickgate.sw.host.transport import Transport
from tickgate.sw.spec import registers, rows
from tickgate.sw.spec.config import Config, SlotConfig
from tickgate.sw.spec.records import Record
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, Access
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.telemetry import BINS, HISTOGRAM_STAGES

#: How long a sweep of the tables may take before it is an error.
CLEAR_TIMEOUT_S = 30.0
_STATUS_BITS = ("armed", "clearing", "mark_pending", "session_open", "was_cleared", "heartbeat_lost")


@dataclass(frozen=True)
class RowAt:
    """One configuration row of a device: which row, of which slot and side."""

    record: Record
    slot: int = 0
    side: int = 0

    @property
    def short(self) -> str:
        """Name of the row without its ending."""
        return self.record.name.removesuffix("_row")

    @property
    def label(self) -> str:
        """For people: `gate`, `slot 3 limits`, `slot 3 buy`."""
        selector = {record.name: s for record, s in rows.ROWS}[self.record.name]
        if not selector:
            return self.short
        return f"slot {self.slot} " + (("buy", "sell")[self.side] if selector == "slot_side" else self.short)


@dataclass(frozen=True)
class Change:
    """What applying a configuration changes in one row: its fields before and after."""

    at: RowAt
    before: dict[str, int]
    after: dict[str, int]

    @property
    def fields(self) -> dict[str, tuple[int, int]]:
        """Field to (before, after), of those that differ."""
        return {name: (self.before[name], value) for name, value in self.after.items() if self.before[name] != value}


class Device:
    """A device over a transport.

    Parameters
    ----------
    transport: frames to and from its control role; stays the caller's to close.
    expected_build: the build id that it must have; None takes any.
    timeout_s, tries: how long and how often an answer is waited for.

    Members
    -------
    identity: what the device says it is.
    client: the session below.

    Raises
    ------
    DeviceError: no answer. WrongDeviceError: another register map or build than this host's.
    """

    def __init__(
        self, transport: Transport, *, expected_build: int | None = None, timeout_s: float = 0.1, tries: int = 5
    ):
        self.client = Client(transport, timeout_s=timeout_s, tries=tries)
        self.identity: Identity = identity_of(self.client.hello())
        check_identity(self.identity, expected_build)

    @property
    def sizes(self) -> Sizes:
        """Sizes of the device."""
        return self.identity.sizes

    def read(self, *names: str) -> dict[str, int]:
        """Registers by name.

        Raises
        ------
        DeviceError: no such register, one that cannot be read, or no answer.
        """
        wanted = [register(name) for name in names]
        for found in wanted:
            if found.access is Access.WO:
                raise DeviceError(f"the register {found.name!r} is write only")
        addresses = [r.offset + 4 * w for r in wanted for w in range(r.words)]
        words = dict(zip(addresses, self.client.read(addresses), strict=True))
        return {r.name: sum(words[r.offset + 4 * w] << 32 * w for w in range(r.words)) for r in wanted}

    def write(self, name: str, value: int) -> None:
        """Write one register by name, lowest word first.

        Raises
        ------
        DeviceError: no such register, one that cannot be written, a value that does not fit it, or no answer.
        """
        found = register(name)
        if found.access is Access.RO:
            raise DeviceError(f"the register {name!r} is read only")
        if not 0 <= value < 1 << found.bits:
            raise DeviceError(f"the register {name!r} takes 0 to {(1 << found.bits) - 1:#x}, not {value:#x}")
        self.client.write((found.offset + 4 * w, value >> 32 * w & 0xFFFFFFFF) for w in range(found.words))

    def registers(self) -> dict[str, int]:
        """Every register that can be read and is no row, no counter and no histogram."""
        counters = set(registers.counter_names())
        return self.read(*(
            r.name for r in registers.REGISTERS
            if r.access in (Access.RO, Access.RW) and r.name not in counters and r.offset < registers.HISTOGRAMS_AT
        ))  # fmt: skip

    def counters(self) -> dict[str, int]:
        """Every counter by name."""
        return self.read(*registers.counter_names())

    def histograms(self) -> dict[str, list[int]]:
        """Records by stage and latency bin (`telemetry.bin_start`)."""
        found = self.read(*(f"latency_{stage}" for stage in HISTOGRAM_STAGES))
        return {
            name.removeprefix("latency_"): [value >> 32 * n & 0xFFFFFFFF for n in range(BINS)]
            for name, value in found.items()
        }

    def status(self) -> dict[str, bool]:
        """The bits of the status register by name."""
        value = self.read("status")["status"]
        return {name: bool(value >> bit & 1) for bit, name in enumerate(_STATUS_BITS)}

    def kill(self) -> None:
        """Throw the kill switch."""
        self.write("kill", 1)

    def arm(self) -> None:
        """Clear the kill switch.

        Raises
        ------
        DeviceError: the device stays killed, because its heartbeat is lost.
        """
        self.write("arm", ARM_KEY)
        status = self.status()
        if not status["armed"]:
            why = "its heartbeat is lost" if status["heartbeat_lost"] else "something else threw the switch again"
            raise DeviceError(f"the device stays killed: {why}")

    def clear(self) -> None:
        """Sweep order table and levels, and wait for the end.

        Raises
        ------
        DeviceError: the sweep does not end.
        """
        self.write("clear", 1)
        deadline = time.monotonic() + CLEAR_TIMEOUT_S
        while self.status()["clearing"]:
            if time.monotonic() > deadline:
                raise DeviceError(f"the tables were not clear after {CLEAR_TIMEOUT_S:g} s")

    def read_row(self, at: RowAt) -> dict[str, int]:
        """The row in force; all 0 where none was committed since reset."""
        self.write("row_select", 2 * at.slot + at.side)
        addresses = [r.offset + 4 * w for r in registers.row_registers(at.record) for w in range(r.words)]
        return registers.row_values(at.record, dict(zip(addresses, self.client.read(addresses), strict=True)))

    def config(self) -> Config:
        """What is in force, as a configuration; slots at the end that are not in use are left out."""
        slots = []
        for slot in range(self.sizes.slots):
            symbol = self.read_row(RowAt(rows.SYMBOL_ROW, slot))
            if not symbol["valid"]:
                slots.append(SlotConfig({}))
                continue
            buy, sell = (_used(self.read_row(RowAt(rows.TRIGGER_ROW, slot, side))) for side in range(2))
            slots.append(SlotConfig(symbol, (buy, sell), _used(self.read_row(RowAt(rows.LIMITS_ROW, slot)))))
        while slots and not slots[-1].symbol:
            slots.pop()
        others = [self.read_row(RowAt(r)) for r in (rows.FEED_ROW, rows.GATE_ROW, rows.SESSION_ROW, rows.PEER_ROW)]
        feed, gate, session, peer = others
        return Config(feed, tuple(slots), gate, session, peer, armed=self.status()["armed"])

    def commit(self, at: RowAt, row: dict[str, int]) -> None:
        """Load one row: its shadows, then all of it in one cycle."""
        self._commit([(at, row)])

    def rows_of(self, config: Config, *, everything: bool = False) -> list[tuple[RowAt, dict[str, int]]]:
        """The rows that a configuration means for this device: all its slots and the gate.

        Parameters
        ----------
        everything: feed, order session and peer as well; committing a feed row begins a new session.
        """
        found: list[tuple[RowAt, dict[str, int]]] = []
        for slot in range(self.sizes.slots):
            row = config.slots[slot] if slot < len(config.slots) else None
            found.append((RowAt(rows.SYMBOL_ROW, slot), row.symbol if row else {}))
            found.append((RowAt(rows.LIMITS_ROW, slot), row.limits if row else {}))
            for side in range(2):
                found.append((RowAt(rows.TRIGGER_ROW, slot, side), row.triggers[side] if row else {}))
        found.append((RowAt(rows.GATE_ROW), config.gate))
        if everything:
            found.append((RowAt(rows.SESSION_ROW), config.session))
            found.append((RowAt(rows.PEER_ROW), config.peer))
            found.append((RowAt(rows.FEED_ROW), config.feed))
        return found

    def plan(self, config: Config, *, everything: bool = False) -> list[Change]:
        """What `apply` would change; nothing is written but the choice of the rows that are read."""
        found = []
        for at, row in self.rows_of(config, everything=everything):
            after = {f.name: row.get(f.name, 0) for f in at.record.fields}
            change = Change(at, self.read_row(at), after)
            if change.fields:
                found.append(change)
        return found

    def apply(self, config: Config, *, everything: bool = False) -> list[Change]:
        """Make a configuration the one in force: rows that differ, each slot's in one cycle; returns what changed.

        Every row that was written is read back. Where anything fails, what was changed is put back and the error is
        raised. A symbol row that changes is followed by a sweep of the tables.

        Raises
        ------
        DeviceError: a row does not read back, or no answer; the message says whether the old rows are in force again.
        """
        changes = self.plan(config, everything=everything)
        done: list[Change] = []
        try:
            for group in _groups(changes):
                done += group
                self._commit([(change.at, change.after) for change in group])
            for change in changes:
                if self.read_row(change.at) != change.after:
                    raise DeviceError(f"{change.at.label} does not read back as it was written")
        except DeviceError as error:
            raise DeviceError(f"{error}\n{self._put_back(done)}") from error
        if any(change.at.record is rows.SYMBOL_ROW for change in changes):
            self.clear()
        return changes

    def _commit(self, group: Sequence[tuple[RowAt, dict[str, int]]]) -> None:
        """Shadows of all rows of a group, then all of them in one cycle."""
        for at, row in group:
            self.client.write(registers.row_writes(at.record, row)[:-1])
        slot = max(at.slot for at, _ in group)
        side = max(at.side for at, _ in group)
        self.write("commit_group", registers.group_value([at.short for at, _ in group], slot, side))

    def _put_back(self, done: Sequence[Change]) -> str:
        try:
            for group in _groups(done):
                self._commit([(change.at, change.before) for change in group])
        except DeviceError:
            return "the rows before could not be put back: the device may hold a part of the new ones"
        return "the rows before are in force again"

    def inject(self, message: bytes) -> None:
        """Hand SoupBinTCP packets to the order session: see `Client.inject`."""
        self.client.inject(message)

    def beat(self) -> None:
        """Give a sign of life."""
        self.client.write([(BY_NAME["heartbeat"].offset, 1)])

    @contextmanager
    def heartbeat(self, limit_s: float, *, period_s: float | None = None) -> Iterator[None]:
        """Inside the context a thread gives signs of life; the device is killed `limit_s` after the last one.

        The limit is one of device time: a simulated device that is slower than its clock has more of the host's time.
        On the way out the heartbeat is switched off, after an error too; a host that dies does not get there.

        Parameters
        ----------
        period_s: between two signs, by default a quarter of the limit.

        Raises
        ------
        DeviceError: the limit is below two cycles or does not fit its register.
        """
        cycles = self.identity.cycles(limit_s)
        if not 2 <= cycles < 1 << 32:
            most = self.identity.ns(float(1 << 32)) / 1e9
            raise DeviceError(f"a heartbeat's limit is two device cycles to {most:.1f} s, not {limit_s:g} s")
        self.write("heartbeat_limit_cycles", cycles)
        ends = threading.Event()

        def live() -> None:
            while not ends.wait(period_s or limit_s / 4):
                try:
                    self.beat()
                except DeviceError:
                    return  # the device will know

        thread = threading.Thread(target=live, name="tickgate heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()
            self.write("heartbeat_limit_cycles", 0)


def _used(row: dict[str, int]) -> dict[str, int]:
    """A row, or nothing where it was never written."""
    return row if any(row.values()) else {}


def _groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Changes that are committed together: a slot's rows, of its triggers one at a time, the session's rows alone."""
    found: list[list[Change]] = []
    open_groups: dict[int, list[Change]] = {}
    for change in changes:
        selector = {record.name: s for record, s in rows.ROWS}[change.at.record.name]
        if not selector:
            found.append([change])
            continue
        group = open_groups.get(change.at.slot)
        # One shadow serves both sides.
        if group is None or any(other.at.record is change.at.record for other in group):
            group = open_groups[change.at.slot] = []
            found.append(group)
        group.append(change)
    return found
