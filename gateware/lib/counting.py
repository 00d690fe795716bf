"""Event counters of a stage."""

from collections.abc import Mapping

from amaranth.hdl import Module, Signal


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
        m.d.sync += counters[name].eq(counters[name] + pending)
