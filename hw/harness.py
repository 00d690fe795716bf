"""A wrapper that gives a component three pins, so that it can be placed and routed alone.

Inputs come from a shift register and outputs go into one, so every path of the component runs from a register to a
register and nothing of it can be optimised away.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out

#: Bits of one chain of the shift registers.
CHAIN_BITS = 256


class PinHarness(wiring.Component):
    """The component between two shift registers.

    Parameters
    ----------
    component: what is to be measured.

    Members
    -------
    serial_in: In(1), shifts through every input bit.
    capture: In(1), takes all outputs into the output register; else that register shifts.
    serial_out: Out(1), parity of the ends of the output registers.
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
        # Several short chains, one shifting at a time: synthesis follows a chain from end to end on its stack. Nothing
        # here has a reset, and no enable serves more than one chain: nets of the harness are not to be what limits.
        bits = sum(len(v) for v in inputs)
        turn = Signal(range(max(2, -(-bits // CHAIN_BITS))))
        m.d.sync += turn.eq(turn + 1)
        chains = []
        for number, at in enumerate(range(0, bits, CHAIN_BITS)):
            chain = Signal(min(CHAIN_BITS, bits - at), name=f"chain_{number}", reset_less=True)
            shifts = Signal(name=f"shifts_{number}")
            m.d.sync += shifts.eq(turn == number)
            with m.If(shifts):
                m.d.sync += chain.eq(Cat(self.serial_in, chain))
            chains.append(chain)
        held = Signal(bits, reset_less=True)
        m.d.sync += held.eq(Cat(*chains))
        m.d.comb += Cat(*inputs).eq(held)
        taken = Signal(sum(len(v) for v in outputs), reset_less=True)
        m.d.sync += taken.eq(Cat(*outputs))
        capture, ends = self.capture, []
        for number, at in enumerate(range(0, len(taken), CHAIN_BITS)):
            out = Signal(len(taken[at : at + CHAIN_BITS]), name=f"out_{number}", reset_less=True)
            captures = Signal(name=f"capture_{number}")
            m.d.sync += captures.eq(capture)
            capture = captures
            with m.If(captures):
                m.d.sync += out.eq(taken[at : at + CHAIN_BITS])
            with m.Else():
                m.d.sync += out.eq(out[1:])
            ends.append(out[0])
        m.d.comb += self.serial_out.eq(Cat(*ends).xor())
        return m
