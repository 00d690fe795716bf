"""The console of `tickgate.sw.spec.console`: lines of a UART to operations of the register bus."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.registers import Bus
from tickgate.sw.spec import console
from tickgate.sw.spec.registers import ADDRESS_BITS

_READ_DIGITS = console.ADDRESS_DIGITS
_WRITE_DIGITS = console.ADDRESS_DIGITS + console.DATA_DIGITS
_TEXTS = {"ok": console.WRITTEN + console.ANSWER_END, "no": console.REFUSED + console.ANSWER_END}


class Console(wiring.Component):
    """Executes lines on the register bus and answers them. While it does, what comes is lost.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(stream), bytes from the line.
    o: Out(stream), bytes to the line.
    bus: Out(Bus()), the console wants it for one cycle a line.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "any_length": "a line with too many digits is executed",
        "strange_letters": "a letter that is no digit does not spoil the line",
        "unaligned": "an offset that is not a multiple of 4 is accepted",
        "no_line_end": "the answer to a read lacks its line feed",
    }

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "o": Out(stream.Signature(8)),
                "bus": Out(Bus()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # What a byte is, is known a cycle before it counts.
        came, came_lower = self.i.payload, Signal(8)
        byte, lower, comes = Signal(8), Signal(8), Signal()
        is_letter, is_number, is_end, is_blank = Signal(), Signal(), Signal(), Signal()
        m.d.comb += came_lower.eq(came | 0x20)
        m.d.sync += [
            comes.eq(self.i.valid),
            byte.eq(came),
            lower.eq(came_lower),
            is_number.eq((came >= ord("0")) & (came <= ord("9"))),
            is_letter.eq((came_lower >= ord("a")) & (came_lower <= ord("f")) & came[6]),
            is_end.eq((came == ord("\r")) | (came == ord("\n"))),
            is_blank.eq(came == ord(" ")),
        ]
        digit = Mux(is_letter, byte[:4] + 9, byte[:4])[:4]
        first, write, bad = Signal(init=1), Signal(), Signal()
        count = Signal(range(_WRITE_DIGITS + 2))
        digits = Signal(4 * _WRITE_DIGITS)
        wanted = Mux(write, _WRITE_DIGITS, _READ_DIGITS)
        right = count == wanted if "any_length" not in self._faults else count >= wanted
        address = Mux(write, digits[4 * console.DATA_DIGITS :], digits[:ADDRESS_BITS])[:ADDRESS_BITS]
        aligned = address[:2] == 0 if "unaligned" not in self._faults else Const(1)

        kept, left = Signal(32), Signal(4)
        kind = Signal(range(3))  # 0 a text, 1 a value
        text = Array(Array(Const(b, 8) for b in t.encode().ljust(4, b"\0")) for t in _TEXTS.values())
        lengths = Array(Const(len(t), 4) for t in _TEXTS.values())
        which, at = Signal(), Signal(4)
        nibble = kept[28:]
        hexadecimal = Mux(nibble < 10, nibble + ord("0"), nibble + (ord("a") - 10))
        ending = Array(Const(b, 8) for b in console.ANSWER_END.encode())
        value_bytes = console.DATA_DIGITS + len(console.ANSWER_END) - ("no_line_end" in self._faults)
        # The registers may be far away on the device: what the bus shows comes from registers.
        m.d.comb += self.bus.w_data.eq(digits[: 4 * console.DATA_DIGITS])
        m.d.sync += [self.bus.addr.eq(address), self.bus.w_en.eq(0), self.bus.r_en.eq(0)]

        def clear():
            m.d.sync += [first.eq(1), write.eq(0), bad.eq(0), count.eq(0)]

        with m.FSM():
            with m.State("Line"):
                with m.If(comes & is_end):
                    with m.If(first & ~bad):
                        clear()
                    with m.Elif(bad | ~right | ~aligned):
                        m.d.sync += [which.eq(1), kind.eq(0), left.eq(lengths[1]), at.eq(0)]
                        m.next = "Answer"
                    with m.Else():
                        m.next = "Execute"
                with m.Elif(comes & ~is_blank):
                    with m.If(first):
                        m.d.sync += [first.eq(0), write.eq(lower == ord(console.WRITE))]
                        with m.If(((lower != ord(console.WRITE)) & (lower != ord(console.READ))) | ~byte[6]):
                            m.d.sync += bad.eq(1)
                    with m.Elif(is_number | is_letter):
                        m.d.sync += digits.eq(Cat(digit, digits))
                        with m.If(count != _WRITE_DIGITS + 1):
                            m.d.sync += count.eq(count + 1)
                    with m.Else():
                        if "strange_letters" not in self._faults:
                            m.d.sync += bad.eq(1)
            with m.State("Execute"):
                m.d.sync += [self.bus.w_en.eq(write), self.bus.r_en.eq(~write)]
                m.d.sync += [which.eq(0), kind.eq(~write), at.eq(0)]
                m.d.sync += left.eq(Mux(write, lengths[0], value_bytes))
                with m.If(write):
                    m.next = "Answer"
                with m.Else():
                    m.next = "Read"
            with m.State("Read"):
                with m.If(self.bus.r_valid):
                    m.d.sync += kept.eq(self.bus.r_data)
                    m.next = "Answer"
            with m.State("Answer"):
                past = at - console.DATA_DIGITS
                in_value = Mux(at < console.DATA_DIGITS, hexadecimal, ending[past[0]])
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.eq(Mux(kind == 1, in_value, text[which][at[:2]])),
                ]
                with m.If(self.o.ready):
                    m.d.sync += [at.eq(at + 1), left.eq(left - 1), kept.eq(kept << 4)]
                    with m.If(left == 1):
                        clear()
                        m.next = "Line"
        return m
