"""First bits of a word, in one step, in two, alone, and as an index, against plain integers."""

from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from tickgate.gateware.lib.logic import chunk_first, chunked_first, encoded, first_alone, first_one


def test_first_bits_of_every_word_of_eight():
    m = Module()
    word, index, stepped, alone = Signal(8), Signal(3), Signal(3), Signal(8)
    found, first = first_one(word)
    found_too, chunk, lows = chunked_first(word)
    back = Signal(3)
    m.d.comb += back.eq(encoded(first_alone(word)))
    m.d.comb += [index.eq(first), stepped.eq(chunk_first(chunk, lows)), alone.eq(first_alone(word))]
    seen = []

    async def bench(ctx):
        for value in range(1, 256):
            ctx.set(word, value)
            assert ctx.get(found) == ctx.get(found_too) == 1
            assert ctx.get(back) == ctx.get(index)
            seen.append((value, ctx.get(index), ctx.get(stepped), ctx.get(alone)))
        ctx.set(word, 0)
        assert ctx.get(found) == ctx.get(found_too) == ctx.get(alone) == ctx.get(back) == 0

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(seen) == 255
    for value, index_of, stepped_of, alone_of in seen:
        lowest = value & -value
        assert (1 << index_of, 1 << stepped_of, alone_of) == (lowest, lowest, lowest)
