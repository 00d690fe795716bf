"""The probe: one stage of the device behind the UART of a board without Ethernet.

The host sends a port's number in one byte, then its payload; when the last byte is there, the payload is at the stage's
input for one cycle. What leaves the stage comes back the same way. A payload is the listed fields of a record one
behind the other, the first in the lowest bits of the first byte, filled up with zeros; the fields that are not listed
are 0. The payload of a row begins with one byte more, the slot. A number that is no port is answered with `REFUSED`.

While what left the stage is being sent, the host sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tickgate.sw.spec.events import BOOK_UPDATE, EVENT, FEED_WORD, INTENT, RISK_TRACE
from tickgate.sw.spec.records import Record, record
from tickgate.sw.spec.risk import Reason
from tickgate.sw.spec.rows import GATE_ROW, LIMITS_ROW, SYMBOL_ROW

REFUSED: Final = 0xFF

LEVELS: Final = record(
    "levels",
    "What the gate is told beside updates and intents; reset: killed, no session.",
    ("kill", 1, "level of the kill switch"),
    ("session_ok", 1, "the order session may be used"),
)


@dataclass(frozen=True)
class ProbePort:
    """One port: its number, the record of which it carries fields, and whether a slot stands in front."""

    name: str
    stage: str
    number: int
    record: Record
    fields: tuple[str, ...]
    row: bool = False
    out: bool = False

    @property
    def bits(self) -> int:
        """Of the fields."""
        widths = {f.name: f.bits for f in self.record.fields}
        return sum(widths[name] for name in self.fields)

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return int(self.row) + (self.bits + 7) // 8

    def pack(self, values: dict[str, int], slot: int = 0) -> bytes:
        """Number and payload.

        Raises
        ------
        ValueError: a field that the port does not carry, or a value that does not fit.
        """
        if strange := sorted(values.keys() - set(self.fields)):
            raise ValueError(f"the port {self.name} does not carry {strange[0]!r}")
        number, at = 0, 0
        for f in self.record.fields:
            if f.name not in self.fields:
                continue
            value = values.get(f.name, 0)
            if not 0 <= value < 1 << f.bits:
                raise ValueError(f"{f.name} has {f.bits} bits, {value} does not fit")
            number |= value << at
            at += f.bits
        head = bytes([self.number, slot]) if self.row else bytes([self.number])
        return head + number.to_bytes((self.bits + 7) // 8, "little")

    def unpack(self, payload: bytes) -> dict[str, int]:
        """The fields of a payload without its number.

        Raises
        ------
        ValueError: a payload of another size.
        """
        if len(payload) != self.size:
            raise ValueError(f"the port {self.name} has {self.size} bytes, not {len(payload)}")
        number, found = int.from_bytes(payload[int(self.row) :], "little"), {}
        for f in self.record.fields:
            if f.name in self.fields:
                found[f.name] = number & (1 << f.bits) - 1
                number >>= f.bits
        return found


#: Checks of the gate on the probe: those that multiply nothing, because the parts have no multipliers to spare.
CHECKS: Final = (
    Reason.KILL,
    Reason.MAX_QUANTITY,
    Reason.STALE,
    Reason.CROSSED,
    Reason.RATE_SYMBOL,
    Reason.RATE_SESSION,
    Reason.MARKET_STATE,
    Reason.SESSION,
)
PORTS: Final = (
    ProbePort("word", "itch", 1, FEED_WORD, ("data", "start", "start_lane", "length", "end", "end_lane")),
    ProbePort("symbol", "itch", 2, SYMBOL_ROW, ("valid", "locate"), row=True),
    ProbePort(
        "update", "risk", 3, BOOK_UPDATE,
        ("slot", "every_slot", "every_set", "every_clear", "state_set", "state_clear", "bid_px_e4", "ask_px_e4",
         "validity", "state", "itch_type"),
    ),
    ProbePort(
        "limits", "risk", 4, LIMITS_ROW,
        ("max_quantity_valid", "max_quantity", "rate_valid", "rate_burst", "rate_period_cycles"), row=True,
    ),
    ProbePort("gate", "risk", 5, GATE_ROW, ("rate_valid", "rate_burst", "rate_period_cycles"), row=True),
    ProbePort("intent", "risk", 6, INTENT, ("slot", "side", "price_e4", "quantity")),
    ProbePort("levels", "risk", 7, LEVELS, ("kill", "session_ok")),
    ProbePort(
        "event", "itch", 0x81, EVENT,
        ("kind", "notice", "slot", "every_slot", "side", "bad_side", "reference", "new_reference", "quantity",
         "price_e4", "state_op", "state_bits", "itch_type"), out=True,
    ),
    ProbePort("verdict", "risk", 0x82, RISK_TRACE, ("reasons", "tokens_symbol", "tokens_session", "slot"), out=True),
)  # fmt: skip
BY_NAME: Final = {port.name: port for port in PORTS}
