"""MDIO: a PHY that follows the clauses of the standard sees what the table says, and nothing else."""

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.description import MdioStep
from tickgate.gateware.board.mdio import LINK_BIT, STATUS, MdioMaster, PhySetup
from tickgate.hw.boards import BOARDS

HALF = 3


class Phy:
    """Registers behind a serial port; it looks at MDIO at the rising edge, and changes its own bit behind that."""

    def __init__(self, address, *, registers=None):
        self.address, self.writes = address, []
        self.registers = {2: 0x0141, 3: 0x0DD1, **(registers or {})}
        self.ones, self.bits, self.out = 0, None, None
        self.clash = False

    def rising(self, bit, driven):
        if self.out is not None and driven:
            self.clash = True
        line = bit if driven else (1 if self.out is None else self.out)
        if self.bits is None:
            self.ones = self.ones + 1 if line else self.ones
            if not line and self.ones >= 32:
                self.bits = [0]
            elif not line:
                self.ones = 0
            return
        self.bits.append(line)
        bits = self.bits
        if len(bits) >= 14:
            number = int("".join(map(str, bits[:14])), 2)
            start, op = number >> 12, number >> 10 & 3
            phy, register = number >> 5 & 31, number & 31
            assert start == 1 and op in (1, 2), bits
            mine = phy == self.address
            if op == 2 and mine:  # read: one bit nobody drives, a zero, then the data
                word = self.registers.get(register, 0)
                answer = [None, 0, *(word >> n & 1 for n in reversed(range(16)))]
                self.out = answer[len(bits) - 14] if len(bits) - 14 < 18 else None
            if len(bits) == 32:
                if op == 1:
                    assert bits[14:16] == [1, 0], bits
                    if mine:
                        value = int("".join(map(str, bits[16:])), 2)
                        self.writes.append((register, value))
                        self.registers[register] = value
                self.bits, self.ones, self.out = None, 0, None


def attach(simulator, dut, phys):
    """Processes the pins every cycle; a bus that nobody drives is pulled up."""

    async def wire(ctx):
        before = 0
        async for _, _, mdc, driven, bit in ctx.tick().sample(dut.mdc, dut.mdio_oe, dut.mdio_o):
            if mdc and not before:
                for phy in phys:
                    phy.rising(bit, driven)
                said = [phy.out for phy in phys if phy.out is not None]
                ctx.set(dut.mdio_i, min(said, default=1))
            before = mdc

    simulator.add_testbench(wire, background=True)


def simulate(dut, phys, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    attach(simulator, dut, phys)
    simulator.add_testbench(testbench)
    simulator.run()


def exercise_master(faults=frozenset()):
    phy = Phy(9, registers={7: 0xA5C3})
    seen = []

    async def testbench(ctx):
        async def access(address, register, value=None):
            ctx.set(dut.address, address)
            ctx.set(dut.register, register)
            ctx.set(dut.write, value is not None)
            ctx.set(dut.w_data, value or 0)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for _ in range(2 * HALF * 70):
                if ctx.get(dut.done):
                    break
                await ctx.tick()
            assert ctx.get(dut.done)
            await ctx.tick()
            return ctx.get(dut.r_data)

        seen.append(await access(9, 7))
        seen.append(await access(8, 7))
        await access(9, 4, 0x1234)
        await access(8, 4, 0x4321)
        seen.append(await access(9, 4))

    dut = MdioMaster(half_cycles=HALF, faults=faults)
    simulate(dut, [phy], testbench)
    return seen, phy


def test_master_reads_and_writes_the_phy_that_is_addressed():
    seen, phy = exercise_master()
    assert seen == [0xA5C3, 0xFFFF, 0x1234]
    assert phy.writes == [(4, 0x1234)] and not phy.clash


def test_master_with_a_planted_fault_is_caught():
    seen, _ = exercise_master(frozenset({"turnaround_short"}))
    assert seen[0] != 0xA5C3
    _, phy = exercise_master(frozenset({"drives_while_reading"}))
    assert phy.clash


STEPS = (MdioStep(22, 2), MdioStep(21, 0x0030, 0x0030), MdioStep(9, 0x0200), MdioStep(0, 0x1200, 0x1200))


def exercise_setup(phys, *, steps=STEPS, count=1, cycles=60_000, faults=frozenset(), leaves_at=None):
    links = []

    async def testbench(ctx):
        ctx.set(dut.enable, 1)
        for thousand in range(cycles // 1000):
            if thousand == leaves_at:
                for phy in phys:
                    phy.address = None
            await ctx.tick().repeat(1000)
            links.append(ctx.get(dut.link))

    dut = PhySetup(steps, phys=count, half_cycles=2, faults=faults)
    simulate(dut, phys, testbench)
    return links


def test_setup_finds_a_phy_at_any_address_and_leaves_the_bits_outside_the_masks():
    phy = Phy(3, registers={21: 0x8046, 0: 0x0140, STATUS: 1 << LINK_BIT})
    links = exercise_setup([phy])
    assert phy.writes == [(22, 2), (21, 0x8076), (9, 0x0200), (0, 0x1340)]
    assert links[0] == 0 and links[-1] == 1


def test_setup_tells_two_phys_apart_by_the_order_of_their_addresses():
    phys = [Phy(1, registers={STATUS: 1 << LINK_BIT}), Phy(0)]
    links = exercise_setup(phys, count=2)
    assert links[-1] == 0b10
    assert phys[0].writes == phys[1].writes != []


def test_setup_of_a_phy_that_leaves_tells_no_link():
    def run(faults=frozenset()):
        phy = Phy(0, registers={STATUS: 1 << LINK_BIT})
        return exercise_setup([phy], cycles=10_000, faults=faults, leaves_at=6)

    links = run()
    assert links[5] == 1 and links[-1] == 0
    assert run(frozenset({"absent_links"}))[-1] == 1


@pytest.mark.parametrize("fault", ("mask_ignored", "last_step_left_out"))
def test_setup_with_a_planted_fault_is_caught(fault):
    phy = Phy(0, registers={21: 0x8046, 0: 0x0140})
    exercise_setup([phy], cycles=8_000, faults=frozenset({fault}))
    assert phy.writes != [(22, 2), (21, 0x8076), (9, 0x0200), (0, 0x1340)]


@pytest.mark.parametrize("name", sorted({p.phy.name: b.name for b in BOARDS.values() for p in b.ports if p.phy}))
def test_setup_of_every_phy_of_the_table_offers_one_speed_and_negotiates_again(name):
    (chosen,) = {p.phy for b in BOARDS.values() for p in b.ports if p.phy and p.phy.name == name}
    phy = Phy(0, registers={0: 0x1140, 4: 0x01E1, 9: 0x0300})
    exercise_setup([phy], steps=chosen.setup, cycles=20_000)
    assert phy.registers[0] & 0x1200 == 0x1200
    fast = "DP83848" in name
    assert phy.registers[4] == (0x0101 if fast else 0x0001)
    assert phy.registers[9] == (0x0300 if fast else 0x0200)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="half_cycles must be 2 or more, not 1"):
        MdioMaster(half_cycles=1)
    with pytest.raises(ValueError, match="fault must be one of"):
        PhySetup(STEPS, half_cycles=2, faults=frozenset({"none"}))
