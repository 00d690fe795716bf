"""The register map: every register of the device, derived from the rows and enumerations that it serves.

Registers are 32 bits wide and stand at byte offsets that are multiples of 4. A configuration row
(`tickgate.sw.spec.rows`) is written field by field into its shadow registers, lowest word first, and taken over whole,
in one cycle, by a write to its commit register: the value selects the slot, or 2 x slot + side for a trigger.
Counters are 32 bits and wrap. Rows are read back at the addresses of their shadow registers: what is read is the row
in force of the slot and side in `row_select`, 0 where none was committed since reset. Rows of several kinds change in
the same cycle through `commit_group`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from tickgate.sw.spec import mac
from tickgate.sw.spec.records import Record
from tickgate.sw.spec.risk import Reason
from tickgate.sw.spec.rows import ROWS
from tickgate.sw.spec.state import Anomaly, Drop
from tickgate.sw.spec.telemetry import BINS, HISTOGRAM_STAGES


class Access(Enum):
    """What the host may do with a register."""

    RO = "read only"
    WO = "write only"
    RW = "read and write"
    ROW = "writes the shadow, reads the row in force"


@dataclass(frozen=True)
class Register:
    """One 32-bit register (or the words of one field): where it is and what it means."""

    name: str
    offset: int
    access: Access
    doc: str
    bits: int = 32
    reset: int = 0
    unit: str = ""

    @property
    def words(self) -> int:
        """How many 32-bit words it takes."""
        return (self.bits + 31) // 32


#: Written to `arm` to clear the kill switch: "ARM!" in ASCII, so that no stray write re-arms.
ARM_KEY = 0x41524D21
#: Counts the changes of the map; a host and a device that differ tell by it who is older.
MAP_VERSION = 5
#: The hash of every version so far.
MAP_HISTORY = {1: 0x277D1BF4, 2: 0x3F4CDD47, 3: 0x55E36D3F, 4: 0x395750A4, 5: 0xE69E980E}
ADDRESS_BITS = 12
#: Where the latency histograms begin; below are all other registers.
HISTOGRAMS_AT = 0x800

_IDENTITY = (
    ("map_hash", Access.RO, "first 32 bits of the SHA-256 of this map; host and device must agree", 32),
    ("build_id", Access.RO, "first 64 bits of the hash of the design with this field zero", 64),
    ("map_version", Access.RO, "version of this map", 32),
    ("release", Access.RO, "release of the design: major, minor, patch in bits 31:24, 23:16, 15:0", 32),
    ("core_clock_khz", Access.RO, "core clock that the design declares, in kHz", 32),
    ("size_slots", Access.RO, "slots of this device", 32),
    ("size_orders", Access.RO, "entries of the order table", 32),
    ("size_levels", Access.RO, "levels a side", 32),
    ("size_stash", Access.RO, "entries of the order table's stash", 32),
    ("scratch", Access.RW, "kept, without effect", 32),
)
_CONTROL = (
    (
        "status",
        Access.RO,
        "bit 0 armed, 1 clearing, 2 mark pending, 3 session open, 4 clearing was seen since reset, 5 heartbeat lost",
        32,
    ),
    ("kill", Access.WO, "any write: kill switch, from the next cycle", 1),
    ("arm", Access.WO, "ARM_KEY clears the kill switch; anything else is ignored", 32),
    ("clear", Access.WO, "any write: sweep order table and levels", 1),
    ("now", Access.RO, "core cycle counter; reading the low word latches the high one", 64),
    ("telemetry_mask", Access.RW, "record classes sent beside intents, verdicts and orders; bit a stage", 8),
    ("telemetry_every", Access.RW, "one in N records of those classes, 0 none", 16),
    ("heartbeat", Access.WO, "any write: the host lives", 1),
    (
        "heartbeat_limit_cycles",
        Access.RW,
        "the kill switch goes up this many cycles after the last write to `heartbeat` or to this register; 0 never",
        32,
    ),
    ("row_select", Access.RW, "2 x slot + side of the rows that are read back", 7),
    (
        "commit_group",
        Access.WO,
        "takes over several rows in one cycle: bits 6:0 are 2 x slot + side, bit 8 + n row n of this map",
        16,
    ),
)

#: What a device tells of itself to a host that says hello: the first registers of the map, one word each.
IDENTITY = tuple(name for name, *_ in _IDENTITY[:-1])

#: Counters of what passes between the ports of a board, by name, with what each counts.
BRIDGE_COUNTERS = (
    ("bridge_to_host_lost", "good frames from the order port to the host that found no room"),
    ("bridge_from_host_lost", "good frames from the host to the order port that were too long, or found no room"),
)

#: Counters of single events, beside one for each Drop, Anomaly and Reason.
EVENT_COUNTERS = (
    ("frames", "frames that began on a feed line"),
    ("messages", "messages delivered by the feed"),
    ("gaps", "gaps"),
    ("gap_messages", "messages missing in gaps"),
    ("heartbeats", "MoldUDP64 heartbeats"),
    ("session_ends", "MoldUDP64 end of session packets"),
    ("marks_missed", "marks whose sequence number was skipped by a gap"),
    ("events", "events that reached the book"),
    ("overflows", "adds that found no room"),
    ("intents", "intents that fired"),
    ("intents_held", "intents that waited"),
    ("intents_lower_row", "fired rows that lost to a lower one"),
    ("intents_busy", "intents dropped: another one waits"),
    ("intents_too_old", "intents dropped: waited too long"),
    ("intents_killed", "intents or accepted orders dropped by the kill switch"),
    ("accepted", "verdicts that passed"),
    ("rejected", "verdicts that did not"),
    ("orders", "order frames sent"),
    ("orders_poisoned", "order frames that ended with a bad FCS: the frame that decided them had an error"),
    ("intents_void", "accepted orders dropped before their first word: the frame that decided them had an error"),
    ("injects", "host messages sent"),
    ("completed_after_kill", "order frames that were leaving when the kill switch struck"),
    ("telemetry_lost", "telemetry records lost"),
    ("control_requests", "control requests executed"),
    ("control_repeats", "control requests that came again and got the same answer"),
    ("control_foreign", "frames on the control role of another protocol, address or session"),
    ("control_malformed", "control frames with an error, too short, too long, or of no meaning"),
    ("control_stale", "control requests that were neither the next nor the last one"),
    ("control_busy", "frames on the control role that came while another was under way"),
    *mac.COUNTERS,
    *BRIDGE_COUNTERS,
)

#: Bit of the first row in `commit_group`.
GROUP_ROWS_AT = 8


def counter_names() -> tuple[str, ...]:
    """Every counter in register order."""
    names = [f"drop_{d.name.lower()}" for d in Drop]
    names += [f"anomaly_{a.name.lower()}" for a in Anomaly if a]
    names += [f"reject_{(r.name or '').lower()}" for r in Reason]
    return tuple(names) + tuple(name for name, _ in EVENT_COUNTERS)


def _build() -> tuple[Register, ...]:
    registers: list[Register] = []

    def put(offset: int, name: str, access: Access, doc: str, bits: int = 32, unit: str = "") -> int:
        registers.append(Register(name, offset, access, doc, bits, 0, unit))
        return offset + 4 * registers[-1].words

    at = 0x000
    for name, access, doc, bits in _IDENTITY + _CONTROL:
        at = put(at, name, access, doc, bits)
    at = 0x100
    for row, selector in ROWS:
        short = row.name.removesuffix("_row")
        for f in row.fields:
            at = put(at, f"{short}_{f.name}", Access.ROW, f.doc, f.bits)
        what = {"": "any write", "slot": "the value is the slot", "slot_side": "the value is 2 x slot + side"}[selector]
        at = put(at, f"{short}_commit", Access.WO, f"takes the {short} row over whole: {what}")
    at = 0x400
    docs = dict(EVENT_COUNTERS)
    for name in counter_names():
        at = put(at, name, Access.RO, docs.get(name, name.replace("_", " ")))
    if at > HISTOGRAMS_AT:
        raise ValueError(f"registers end at {at:#x}, beyond the histograms at {HISTOGRAMS_AT:#x}")
    at = HISTOGRAMS_AT
    for stage in HISTOGRAM_STAGES:
        doc = f"records of {stage} by the cycles since the deciding byte: {BINS} bins of 32 bits"
        at = put(at, f"latency_{stage}", Access.RO, doc, 32 * BINS, "records")
    if at > 1 << ADDRESS_BITS:
        raise ValueError(f"register map ends at {at:#x}, beyond {ADDRESS_BITS} address bits")
    return tuple(registers)


REGISTERS = _build()
BY_NAME = {r.name: r for r in REGISTERS}


def map_hash() -> int:
    """Hash by which host and device know that they mean the same map."""
    text = "\n".join(f"{r.name} {r.offset} {r.bits} {r.access.name}" for r in REGISTERS)
    return int.from_bytes(hashlib.sha256(f"{MAP_VERSION}\n{text}".encode()).digest()[:4], "big")


def row_writes(row: Record, values: dict[str, int], select: int = 0) -> list[tuple[int, int]]:
    """Register writes (offset, value) that load one row: shadows, lowest word first, then the commit.

    Raises
    ------
    ValueError: a value that does not fit its field, or an unknown field.
    """
    row.pack(values)
    short = row.name.removesuffix("_row")
    writes = []
    for f in row.fields:
        register = BY_NAME[f"{short}_{f.name}"]
        value = int(values.get(f.name, 0))
        writes += [(register.offset + 4 * w, value >> 32 * w & 0xFFFFFFFF) for w in range(register.words)]
    return [*writes, (BY_NAME[f"{short}_commit"].offset, select)]


def row_registers(row: Record) -> tuple[Register, ...]:
    """The shadow registers of a row in the order of its fields."""
    short = row.name.removesuffix("_row")
    return tuple(BY_NAME[f"{short}_{f.name}"] for f in row.fields)


def row_values(row: Record, words: Mapping[int, int]) -> dict[str, int]:
    """The fields of a row from the words (offset to value) of its registers.

    Raises
    ------
    KeyError: a word is missing.
    """
    return {
        f.name: sum(words[r.offset + 4 * w] << 32 * w for w in range(r.words))
        for f, r in zip(row.fields, row_registers(row), strict=True)
    }


def group_value(names: Iterable[str], slot: int = 0, side: int = 0) -> int:
    """What to write to `commit_group` for the rows of these short names (`limits`, `gate`).

    Raises
    ------
    ValueError: no such row.
    """
    known = [record.name.removesuffix("_row") for record, _ in ROWS]
    value = 2 * slot + side
    for name in names:
        if name not in known:
            raise ValueError(f"a row is one of {', '.join(known)}, not {name!r}")
        value |= 1 << GROUP_ROWS_AT + known.index(name)
    return value
