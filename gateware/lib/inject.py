"""Store of one host message in front of the order session: kept, measured and summed before it is sent."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.layouts import elastic
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.units import WORD_BYTES

#: From the transfer of the last word until `filled`, so that every sum over the message has settled.
SETTLE_CYCLES = 3


class InjectStore(wiring.Component):
    """Takes the TCP payload of one segment and gives it back shifted, so that it joins the headers in front of it.

    A message is held from its last word until `done`; the next one is taken after that. A message longer than
    `size_max` is taken and dropped.

    Parameters
    ----------
    size_max: longest message in bytes.
    shift_bytes: bytes of the message that share a word with the end of the headers.
    faults: those of the stage that uses it.

    Members
    -------
    i: In(elastic(FRAME_WORD)), `count` is 8 except on the last word.
    filled: Out(1), a message is held, `length` and `total` have settled, and it was not taken yet.
    length: Out(8), its bytes.
    total: Out(24), sum of its big-endian 16-bit words, an odd last byte padded with zero.
    take: In(1), pulse: the arbiter begins to send it; `word` is the first one from the next cycle on.
    word: Out(64): first `8 - shift_bytes` zero bytes and the message's first ones, then its bytes without a gap.
    next: In(1), go to the next word.
    done: In(1), pulse: it is sent.
    """

    def __init__(self, *, size_max: int, shift_bytes: int, faults: frozenset[str] = frozenset()):
        self._size_max, self._shift, self._faults = size_max, shift_bytes, faults
        super().__init__(
            {
                "i": In(elastic(FRAME_WORD)),
                "filled": Out(1),
                "length": Out(8),
                "total": Out(24),
                "take": In(1),
                "word": Out(64),
                "next": In(1),
                "done": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = -(-self._size_max // WORD_BYTES)
        m.submodules.memory = memory = Memory(shape=64, depth=16, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        word = self.i.payload

        mask = Cat(Mux(word.count > lane, Const(0xFF, 8), Const(0, 8)) for lane in range(WORD_BYTES))
        clean = Signal(64)
        m.d.comb += clean.eq(word.data & mask)
        used = Signal(4)  # words stored
        too_long = Signal()
        summed = Signal()
        parts = [Signal(17, name=f"part_{n}") for n in range(2)]  # the word itself comes late: one adder behind it
        settle = Signal(range(SETTLE_CYCLES + 1))
        moves = Signal()
        m.d.comb += [moves.eq(self.i.valid & self.i.ready), write.data.eq(clean), write.addr.eq(used),
                     write.en.eq(moves)]  # fmt: skip
        halves = [Cat(clean[at + 8 : at + 16], clean[at : at + 8]) for at in range(0, 64, 16)]
        m.d.sync += summed.eq(moves)
        with m.If(moves):
            m.d.sync += [part.eq(a + b) for part, a, b in zip(parts, halves[::2], halves[1::2], strict=True)]
        if "inject_sum_misses_last" in self._faults:
            m.d.sync += summed.eq(moves & ~word.last)
        with m.If(summed):
            m.d.sync += self.total.eq(self.total + (parts[0] + parts[1]))
        with m.If(settle != 0):
            m.d.sync += settle.eq(settle - 1)

        wanted = Signal(4)  # word of the store that comes next
        before = Signal(64 - 8 * self._shift)
        fresh = Signal(8 * self._shift)
        m.d.comb += [
            read.addr.eq(wanted),
            fresh.eq(Mux(wanted < used, read.data[: 8 * self._shift], 0)),
            self.word.eq(Cat(before, fresh)),
        ]
        with m.FSM():
            with m.State("Fill"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(moves):
                    m.d.sync += [used.eq(used + 1), self.length.eq(self.length + word.count)]
                    with m.If(used == depth):
                        m.d.sync += [used.eq(depth), too_long.eq(1)]
                    with m.If(word.last):
                        m.d.sync += settle.eq(SETTLE_CYCLES - 1)
                        m.next = "Settle"
            with m.State("Settle"):
                with m.If(settle == 0):
                    m.next = "Hold"
                with m.If(too_long | (self.length > self._size_max)):
                    m.next = "Empty"
            with m.State("Hold"):
                m.d.comb += self.filled.eq(1)
                m.d.sync += [wanted.eq(0), before.eq(0)]
                with m.If(self.take):
                    m.next = "Send"
            with m.State("Send"):
                with m.If(self.next):
                    m.d.sync += [wanted.eq(wanted + 1), before.eq(read.data[8 * self._shift :])]
                    with m.If(wanted >= used):
                        m.d.sync += before.eq(0)
                with m.If(self.done):
                    m.next = "Empty"
            with m.State("Empty"):
                m.d.sync += [used.eq(0), self.length.eq(0), self.total.eq(0), too_long.eq(0), summed.eq(0)]
                m.next = "Fill"
        return m
