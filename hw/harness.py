"""A wrapper that gives a component two pins, so that it can be placed and routed alone.

Inputs come from a shift register and outputs are folded into one bit, so every path of the component runs from a
register to a register and nothing of it can be optimised away.
"""

from amaranth.hdl import Cat, ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out

#: Bits of one chain of the shift register.
CHAIN_BITS = 256
#: Inputs of one exclusive-or of the outputs.
FOLD_BITS = 4


class PinHarness(wiring.Component):
    """The component between a shift register and a tree of registered parities.

    It is as small as such a thing can be: a register for every input bit, and four for every three output bits. Nothing
    in it has a reset or an enable, so that no net of the harness is what limits. The component's reset comes from a
    register, as on a board.

    Parameters
    ----------
    component: what is to be measured.

    Members
    -------
    serial_in: In(1), shifts through every input bit.
    serial_out: Out(1), parity of all outputs of one cycle.
    """

    serial_in: In(1)
    serial_out: Out(1)

    def __init__(self, component: wiring.Component):
        super().__init__()
        self._component = component

    def elaborate(self, platform):
        m = Module()
        dut = self._component
        m.submodules.dut = DomainRenamer("dut")(dut)
        m.domains.dut = ClockDomain()
        reset = Signal(reset_less=True)
        m.d.sync += reset.eq(ResetSignal())
        m.d.comb += [ClockSignal("dut").eq(ClockSignal()), ResetSignal("dut").eq(reset)]
        inputs, outputs = [], []
        for _path, member, value in dut.signature.flatten(dut):
            raw = value.as_value() if hasattr(value, "as_value") else value
            if not isinstance(raw, Signal) and not hasattr(raw, "shape"):
                continue
            if len(raw) == 0 or type(raw).__name__ == "Const":
                continue
            (inputs if member.flow is Flow.In else outputs).append(raw)
        # Several short chains: synthesis follows a chain from end to end on its stack. Each takes the pin at a turn of
        # its own, or they would be merged.
        bits = sum(len(v) for v in inputs)
        turn = Signal(range(max(2, -(-bits // CHAIN_BITS))))
        m.d.sync += turn.eq(turn + 1)
        chains = []
        for number, at in enumerate(range(0, bits, CHAIN_BITS)):
            chain = Signal(min(CHAIN_BITS, bits - at), name=f"chain_{number}", reset_less=True)
            m.d.sync += chain.eq(Cat(self.serial_in & (turn == number), chain))
            chains.append(chain)
        m.d.comb += Cat(*inputs).eq(Cat(*chains))
        folded = Signal(sum(len(v) for v in outputs), name="taken", reset_less=True)
        m.d.sync += folded.eq(Cat(*outputs))
        while len(folded) > 1:
            parities = [folded[at : at + FOLD_BITS].xor() for at in range(0, len(folded), FOLD_BITS)]
            folded = Signal(len(parities), name=f"folded_{len(parities)}", reset_less=True)
            m.d.sync += folded.eq(Cat(*parities))
        m.d.comb += self.serial_out.eq(folded)
        return m
