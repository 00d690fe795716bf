"""What a device is configured to do: rows filled in, and the register writes that load them.

`Config` is what the model, the gateware (through `writes`) and the reports share; the TOML form is read and written by
`tickgate.sw.spec.config_toml`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tickgate.sw.spec import rows
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, row_writes

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
