"""What a device is configured to do: rows filled in, and the register writes that load them.

`Config` is what the model, the gateware (through `writes`) and the reports share; the TOML form is read and written by
`tickgate.sw.spec.config_toml`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tickgate.sw.spec import rows
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, row_writes
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4

#: Host actions that a configuration may place in front of a message; the pipeline is drained first.
ACTIONS = ("kill", "arm", "session_close", "session_open", "mark", "acknowledge")


@dataclass(frozen=True)
class Action:
    """Something the host does right before the frame that brings sequence number `seq`."""

    seq: int
    action: str


@dataclass(frozen=True)
class SlotConfig:
    """One slot: its symbol row, the trigger rows of both sides, and its limits; rows are dicts of field values."""

    symbol: dict[str, int]
    triggers: tuple[dict[str, int], dict[str, int]] = field(default_factory=lambda: ({}, {}))
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Everything the host loads before a run. An empty row is the reset value: it rejects or accepts nothing."""

    feed: dict[str, int] = field(default_factory=dict)
    slots: tuple[SlotConfig, ...] = ()
    gate: dict[str, int] = field(default_factory=dict)
    session: dict[str, int] = field(default_factory=dict)
    peer: dict[str, int] = field(default_factory=dict)
    armed: bool = True
    actions: tuple[Action, ...] = ()

    def writes(self) -> list[tuple[int, int]]:
        """Register writes (offset, value) that load this configuration, the kill switch re-armed last if `armed`."""
        out: list[tuple[int, int]] = []
        for slot, row in enumerate(self.slots):
            out += row_writes(rows.SYMBOL_ROW, row.symbol, slot)
            for side, trigger in enumerate(row.triggers):
                out += row_writes(rows.TRIGGER_ROW, trigger, 2 * slot + side)
            out += row_writes(rows.LIMITS_ROW, row.limits, slot)
        out += row_writes(rows.GATE_ROW, self.gate)
        out += row_writes(rows.SESSION_ROW, self.session)
        out += row_writes(rows.PEER_ROW, self.peer)
        out += row_writes(rows.FEED_ROW, self.feed)
        if self.armed:
            out.append((BY_NAME["arm"].offset, ARM_KEY))
        return out

    def locates(self) -> dict[int, int]:
        """Locate to slot of every valid slot."""
        return {s.symbol["locate"]: i for i, s in enumerate(self.slots) if s.symbol.get("valid")}


def ascii_field(text: str, size: int) -> int:
    """Space padded ASCII as the integer of a row's character field, first character in the highest byte.

    Raises
    ------
    ValueError: the text is not ASCII or longer than `size`.
    """
    raw = text.encode("ascii")
    if len(raw) > size:
        raise ValueError(f"{text!r} is longer than {size} characters")
    return int.from_bytes(raw.ljust(size), "big")


def symbol_row(
    locate: int, symbol: str, tick_e4: int, base_e4: int, levels: int, assume_trading: bool = False
) -> dict[str, int]:
    """The symbol row of a slot in use, with what follows from its tick and the device's levels.

    Raises
    ------
    ValueError: a tick that is not in `units.TICKS_E4`, a base that is not a multiple of it, or a window that does not
        fit 32 bits.
    """
    if tick_e4 not in TICKS_E4:
        raise ValueError(f"tick_e4 must be one of {', '.join(map(str, TICKS_E4))}, not {tick_e4}")
    if base_e4 < 0 or base_e4 % tick_e4:
        raise ValueError(f"base_e4 must be a multiple of the tick {tick_e4}, not {base_e4}")
    if base_e4 + levels * tick_e4 > 1 << 32:
        raise ValueError(f"base_e4 must be at most {(1 << 32) - levels * tick_e4} with {levels} levels, not {base_e4}")
    tick = TICKS_E4.index(tick_e4)
    return {
        "valid": 1,
        "locate": locate,
        "symbol": ascii_field(symbol, 8),
        "tick": tick,
        "tick_e4": tick_e4,
        "reciprocal": RECIPROCALS[tick],
        "base_e4": base_e4,
        "span_e4": levels * tick_e4,
        "assume_trading": int(assume_trading),
    }
