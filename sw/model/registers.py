"""The register bank and the rows behind it, as a host sees them: reads, writes, commits, kill switch, heartbeat.

The plain reference of `tickgate.sw.spec.registers`; with `tickgate.sw.model.control` in front of it, it is a device
without a data path, for tests of the host. What the data path makes (counters, histograms) is set by the caller.
"""

from __future__ import annotations

from tickgate.sw.model.heartbeat import Heartbeat
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec.registers import ARM_KEY, Access
from tickgate.sw.spec.rows import ROWS
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import CORE_CLOCK_HZ
from tickgate.sw.spec.version import release_word

_AT = {r.offset + 4 * w: (r, w) for r in spec.REGISTERS for w in range(r.words)}


class Registers:
    """One device's registers.

    Parameters
    ----------
    sizes, build_id: told by the identity registers.

    Members
    -------
    cycle: core cycle of the next access; the caller moves it on.
    values: what the data path tells, by register name: counters, histograms.
    rows: rows in force by (row's name, select).
    kill: level of the kill switch, as of the last write or `tick`.
    cleared: sweeps that were asked for.
    """

    def __init__(self, sizes: Sizes, build_id: int = 0):
        self.cycle = 0
        self.values: dict[str, int] = {
            "map_hash": spec.map_hash(),
            "build_id": build_id,
            "map_version": spec.MAP_VERSION,
            "release": release_word(),
            "core_clock_khz": CORE_CLOCK_HZ // 1000,
            "size_slots": sizes.slots,
            "size_orders": sizes.orders,
            "size_levels": sizes.levels,
            "size_stash": sizes.stash,
        }
        self.rows: dict[tuple[str, int], dict[str, int]] = {}
        self.kill = True
        self.cleared = 0
        self.heartbeat = Heartbeat()
        self._sizes = sizes
        self._shadows: dict[int, int] = {}

    @property
    def armed(self) -> bool:
        """Whether orders may leave."""
        self.tick()
        return not self.kill

    def tick(self) -> None:
        """Take notice of the time."""
        self.kill = self.kill or self.heartbeat.holds_kill(self.cycle)

    def read(self, address: int) -> int:
        """One word; 0 where there is none to read."""
        found = _AT.get(address)
        if found is None or found[0].access is Access.WO:
            return 0
        register, word = found
        if register.access is Access.ROW:
            return self._row_word(register.name, word)
        if register.name == "status":
            self.tick()
            return int(not self.kill) | int(self.heartbeat.holds_kill(self.cycle)) << 5
        if register.name == "now":
            return self.cycle >> 32 * word & 0xFFFFFFFF
        return self.values.get(register.name, 0) >> 32 * word & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        """One word; nothing happens where there is none to write."""
        found = _AT.get(address)
        if found is None or found[0].access is Access.RO:
            return
        register, _ = found
        name = register.name
        if register.access is Access.ROW:
            self._shadows[address] = value
        elif register.access is Access.RW:
            self.values[name] = value & (1 << register.bits) - 1
            if name == "heartbeat_limit_cycles":
                self.heartbeat.write_limit(self.cycle, value)
        elif name == "kill":
            self.kill = True
        elif name == "arm":
            self.kill = self.kill and value != ARM_KEY
        elif name == "clear":
            self.cleared += 1
        elif name == "heartbeat":
            self.heartbeat.beat(self.cycle)
        else:
            self._commit(name, value)
        self.tick()

    def _commit(self, name: str, value: int) -> None:
        for number, (record, selector) in enumerate(ROWS):
            short = record.name.removesuffix("_row")
            if name == "commit_group":
                chosen = value >> spec.GROUP_ROWS_AT + number & 1
                select = value & 0x7F
                if selector == "slot":
                    select >>= 1
            else:
                chosen, select = name == f"{short}_commit", value
            if not chosen or select >= self._selects(selector):
                continue
            words = {
                r.offset + 4 * w: self._shadows.get(r.offset + 4 * w, 0) & (1 << min(32, r.bits - 32 * w)) - 1
                for r in spec.row_registers(record)
                for w in range(r.words)
            }
            self.rows[record.name, select if selector else 0] = spec.row_values(record, words)

    def _selects(self, selector: str) -> int:
        """How many values select something; where there is one row, all do."""
        return {"": 1 << 32, "slot": self._sizes.slots, "slot_side": 2 * self._sizes.slots}[selector]

    def _row_word(self, name: str, word: int) -> int:
        select = self.values.get("row_select", 0)
        for record, selector in ROWS:
            short = record.name.removesuffix("_row")
            for field in record.fields:
                if name == f"{short}_{field.name}":
                    index = {"": 0, "slot": select >> 1, "slot_side": select}[selector]
                    row = self.rows.get((record.name, index % self._selects(selector)), {})
                    return row.get(field.name, 0) >> 32 * word & 0xFFFFFFFF
        raise AssertionError(f"{name} is no field of a row")
