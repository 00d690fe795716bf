"""Two masters on the register bus: who is served, and who gets which answer."""

import random

from amaranth.sim import Simulator

from tickgate.gateware.registers import READ_CYCLES
from tickgate.gateware.shared_bus import SharedBus


def test_shared_bus_serves_the_first_master_always_and_the_second_in_between():
    dut = SharedBus()
    rng = random.Random(1)
    done = {"first": [], "second": []}
    seen = []

    async def testbench(ctx):
        answers = [None] * READ_CYCLES
        wants = None
        asked = {"first": [], "second": []}
        for cycle in range(3000):
            busy = rng.choice(("w_en", "r_en", None, None))
            for name in ("w_en", "r_en"):
                ctx.set(getattr(dut.first, name), name == busy)
            ctx.set(dut.first.addr, 4 * (cycle % 1000))
            ctx.set(dut.first.w_data, cycle)
            if wants is None:
                wants = (rng.choice(("w_en", "r_en", None)), rng.randrange(0, 4096, 4), 1 << 31 | cycle)
            for name in ("w_en", "r_en"):
                ctx.set(getattr(dut.second, name), name == wants[0])
            ctx.set(dut.second.addr, wants[1])
            ctx.set(dut.second.w_data, wants[2])
            answer = answers.pop(0)
            ctx.set(dut.o.r_valid, answer is not None)
            ctx.set(dut.o.r_data, answer or 0)
            for who in ("first", "second"):
                if ctx.get(getattr(dut, who).r_valid):
                    done[who].append(ctx.get(getattr(dut, who).r_data))
            granted = ctx.get(dut.granted)
            assert granted == (busy is None)
            what, address, value = (busy, 4 * (cycle % 1000), cycle) if busy else wants
            assert (ctx.get(dut.o.w_en), ctx.get(dut.o.r_en)) == (what == "w_en", what == "r_en")
            if what:
                assert (ctx.get(dut.o.addr), ctx.get(dut.o.w_data)) == (address, value)
            answers.append(value if what == "r_en" else None)
            if what == "r_en":
                asked["first" if busy else "second"].append(value)
            if granted:
                wants = None
            await ctx.tick()
        for who in ("first", "second"):
            late = len(asked[who]) - len(done[who])
            assert 0 <= late <= READ_CYCLES and done[who] == asked[who][: len(done[who])]
            seen.append(len(done[who]))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert min(seen) > 300
