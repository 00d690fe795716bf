"""What the device tells for the lights follows what happens in it."""

from amaranth.sim import Simulator
from firing_feed import TOML, add, frames

from tickgate.gateware.top import Top
from tickgate.sw.spec import config_toml
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)


def test_status_tells_arming_session_validity_and_messages():
    dut = Top(SIZES, trace=False, status=True)
    config = config_toml.loads(TOML.replace("base_e4 = 990000", "base_e4 = 995000"), SIZES)
    pulses = {"message": 0}
    seen = []

    async def testbench(ctx):
        def levels():
            return tuple(ctx.get(dut.status[name]) for name in ("armed", "session_open", "book_valid"))

        async def ticks(count):
            for _ in range(count):
                await ctx.tick()
                for name in pulses:
                    pulses[name] += ctx.get(dut.status[name])

        async def write(address, value):
            ctx.set(dut.bus.addr, address)
            ctx.set(dut.bus.w_data, value)
            ctx.set(dut.bus.w_en, 1)
            await ctx.tick()
            ctx.set(dut.bus.w_en, 0)

        async def send(frame):
            for at in range(0, len(frame), 8):
                part = frame[at : at + 8]
                word = {"data": int.from_bytes(part, "little"), "count": len(part), "last": at + 8 >= len(frame)}
                ctx.set(dut.i_a.payload, word)
                ctx.set(dut.i_a.valid, 1)
                await ticks(1)
            ctx.set(dut.i_a.valid, 0)
            await ticks(30)

        ctx.set(dut.o_orders.ready, 1)
        await ticks(5)
        seen.append(levels())
        for address, value in config.writes():
            await write(address, value)
        await ticks(160)  # the sweep of the tables
        for address, value in ((BY_NAME["session_open"].offset, 1), (BY_NAME["session_commit"].offset, 0)):
            await write(address, value)
        await write(BY_NAME["arm"].offset, ARM_KEY)
        await ticks(5)
        seen.append(levels())
        for _, frame in frames([add(1, b"B", 995_000), add(2, b"S", 1_000_000)]):
            await send(bytes(frame))
        seen.append(levels())
        await write(BY_NAME["kill"].offset, 1)
        await ticks(5)
        seen.append(levels())

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert seen[:2] == [(0, 0, 0), (1, 1, 0)]
    assert seen[2:] == [(1, 1, 1), (0, 1, 1)]
    assert pulses["message"] == 2
