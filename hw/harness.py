"""A wrapper that gives a component three pins, so that it can be placed and routed alone.

Inputs come from a shift register and outputs go into one, so every path of the component runs from a register to a
register and nothing of it can be optimised away.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out


class PinHarness(wiring.Component):
    """The component between two shift registers.

    Parameters
    ----------
    component: what is to be measured.

    Members
    -------
    serial_in: In(1), shifts through every input bit.
    capture: In(1), takes all outputs into the output register; else that register shifts.
    serial_out: Out(1), its last bit.
    """

    serial_in: In(1)
    capture: In(1)
    serial_out: Out(1)

    def __init__(self, component: wiring.Component):
        super().__init__()
        self._component = component

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._component
        inputs, outputs = [], []
        for _path, member, value in dut.signature.flatten(dut):
            raw = value.as_value() if hasattr(value, "as_value") else value
            if not isinstance(raw, Signal) and not hasattr(raw, "shape"):
                continue
            if len(raw) == 0 or type(raw).__name__ == "Const":
                continue
            (inputs if member.flow is Flow.In else outputs).append(raw)
        shift = Signal(sum(len(v) for v in inputs))
        m.d.sync += shift.eq(Cat(self.serial_in, shift))
        held = Signal(len(shift))
        m.d.sync += held.eq(shift)
        m.d.comb += Cat(*inputs).eq(held)
        taken = Signal(sum(len(v) for v in outputs))
        m.d.sync += taken.eq(Cat(*outputs))
        out = Signal(len(taken))
        capture = Signal()
        m.d.sync += capture.eq(self.capture)
        with m.If(capture):
            m.d.sync += out.eq(taken)
        with m.Else():
            m.d.sync += out.eq(out[1:])
        m.d.comb += self.serial_out.eq(out[0])
        return m
