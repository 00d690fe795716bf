"""Two devices side by side: one with every trace connected, one as it is built for hardware."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from tickgate.gateware.lib.layouts import elastic, flow
from tickgate.gateware.registers import Bus
from tickgate.gateware.top import Top
from tickgate.sw.spec.events import FRAME_WORD, TRACES
from tickgate.sw.spec.sizes import Sizes


class Twins(wiring.Component):
    """The same frames and host messages into both devices; each has its own bus, order port and telemetry port.

    Members
    -------
    i_a, i_b, i_inject, bus, o_orders, o_copy, o_telemetry, trace_<stage>: as those of `Top`, of the first device.
    bus_b, o_orders_b, o_telemetry_b: of the second one; `o_orders.ready` holds both up.
    inject_ready_b: Out(1), the second one takes the host's word.
    fault_select: as that of `Top`, of both.
    """

    def __init__(self, sizes: Sizes, faults: frozenset[str]):
        self._sizes, self._faults = sizes, faults
        self._chosen = Top.faults_chosen(faults)
        super().__init__(
            {
                "i_a": In(flow(FRAME_WORD)),
                "i_b": In(flow(FRAME_WORD)),
                "i_inject": In(elastic(FRAME_WORD)),
                "bus": In(Bus()),
                "bus_b": In(Bus()),
                "o_orders": Out(elastic(FRAME_WORD)),
                "o_orders_b": Out(flow(FRAME_WORD)),
                "o_copy": Out(flow(FRAME_WORD)),
                "o_telemetry": Out(elastic(FRAME_WORD)),
                "o_telemetry_b": Out(elastic(FRAME_WORD)),
                "inject_ready_b": Out(1),
                **{f"trace_{stage}": Out(flow(record)) for stage, record in TRACES.items()},
                **({"fault_select": In(range(len(self._chosen)))} if self._chosen else {}),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.first = first = Top(self._sizes, trace=True, faults=self._faults)
        m.submodules.second = second = Top(self._sizes, trace=False, faults=self._faults)
        for name in ("i_a", "i_b", "i_inject", "bus"):
            connect(m, flipped(getattr(self, name)), getattr(first, name))
        for name in ("o_orders", "o_copy", "o_telemetry", *(f"trace_{stage}" for stage in TRACES)):
            connect(m, getattr(first, name), flipped(getattr(self, name)))
        if self._chosen:
            m.d.comb += [first.fault_select.eq(self.fault_select), second.fault_select.eq(self.fault_select)]
        connect(m, flipped(self.bus_b), second.bus)
        connect(m, second.o_telemetry, flipped(self.o_telemetry_b))
        for name in ("i_a", "i_b", "i_inject"):
            source, target = getattr(self, name), getattr(second, name)
            m.d.comb += [target.valid.eq(source.valid), target.payload.eq(source.payload)]
        m.d.comb += [
            self.inject_ready_b.eq(second.i_inject.ready),
            second.o_orders.ready.eq(self.o_orders.ready),
            self.o_orders_b.valid.eq(second.o_orders.valid),
            self.o_orders_b.payload.eq(second.o_orders.payload),
        ]
        return m
