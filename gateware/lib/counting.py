"""Event counters of a stage."""

from collections.abc import Mapping

from amaranth.hdl import Module, Signal

#: Bits of a counter that are a register where the register bank has all counters (`tickgate.gateware.lib.wraps`).
COUNT_BITS = 13
#: How much a counter of that kind may grow in a cycle, in all stages that have it.
COUNT_STEP_MAX = 2
#: Counters that may grow by more: a register of 32 bits each.
LEAPING = frozenset({"frames", "drop_block_overrun", "drop_line_busy", "gap_messages", "telemetry_lost"})


def counter(m: Module, counters, name: str) -> Signal:
    """The register of one counter, 32 bits, which its user counts on; the output `counters` shows it."""
    value = Signal(32, name=f"count_{name}")
    m.d.comb += counters[name].eq(value)
    return value


def count(m: Module, counters, pulses: Mapping[str, object]) -> None:
    """Add each pulse to the counter of its name, one cycle late, so that no carry chain ends a stage's logic.

    Parameters
    ----------
    m: the stage's module.
    counters: its output of the layout `tickgate.gateware.lib.layouts.counters`.
    pulses: one bit for each counter.
    """
    for name, pulse in pulses.items():
        pending = Signal(name=f"{name}_pending")
        m.d.sync += pending.eq(pulse)
        value = counter(m, counters, name)
        with m.If(pending):
            m.d.sync += value.eq(value + 1)
