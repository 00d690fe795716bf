"""MDIO: the set-up of the PHYs of one management bus, and their links."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.board.description import MdioStep
from tickgate.gateware.lib.faults import checked_faults

#: Fastest clock of IEEE 802.3 clause 22.2.2.13.
MDC_HZ = 2_500_000
ADDRESSES = 32
PREAMBLE_BITS, FRAME_BITS = 32, 32
#: Registers of clause 22.2.4: status, whose bit 2 is the link, and the first identifier, which no PHY has all ones.
STATUS, IDENTIFIER = 1, 2
LINK_BIT = 2
_NOTHING = 0xFFFF


class MdioMaster(wiring.Component):
    """One access at a time to a register of a PHY.

    Parameters
    ----------
    half_cycles: cycles of half a period of the management clock, 2 or more.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    start: In(1), begin; the other inputs stay until `done`. write: In(1). address, register: In(5). w_data: In(16).
    done: Out(1), pulse. r_data: Out(16), what was read, from `done` to the next `start`; all ones where nobody answers.
    mdc: Out(1). mdio_o, mdio_oe: Out(1). mdio_i: In(1).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`, or fewer than 2 cycles.

    References
    ----------
    IEEE 802.3 clause 22.2.4.5.
    """

    FAULTS = {
        "turnaround_short": "data is sampled one bit early",
        "drives_while_reading": "the bus is driven while the PHY answers",
    }

    def __init__(self, *, half_cycles: int, faults: frozenset[str] = frozenset()):
        if half_cycles < 2:
            raise ValueError(f"half_cycles must be 2 or more, not {half_cycles}")
        self._half, self._faults = half_cycles, checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "start": In(1),
                "write": In(1),
                "address": In(5),
                "register": In(5),
                "w_data": In(16),
                "done": Out(1),
                "r_data": Out(16),
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Most significant bit first, as sent.
        head = Cat(*reversed(self.address), *reversed(self.register))
        op = Mux(self.write, Const(0b10, 2), Const(0b01, 2))  # in the order of the wire: 01 writes, 10 reads
        frame = Cat(Const(-1, PREAMBLE_BITS), Const(0b10, 2), op, head, Const(0b01, 2), *reversed(self.w_data))
        total = PREAMBLE_BITS + FRAME_BITS
        answer_at = total - (19 if "turnaround_short" in self._faults else 18)  # the turnaround and the data
        shift, bit = Signal(total, reset_less=True), Signal(range(total + 1))
        timer = Signal(range(self._half))
        busy = Signal()
        m.d.comb += self.mdio_o.eq(shift[0])
        drives = Const(1) if "drives_while_reading" in self._faults else self.write | (bit < total - 18)
        m.d.comb += self.mdio_oe.eq(busy & drives)
        m.d.sync += self.done.eq(0)
        with m.If(~busy):
            m.d.sync += self.mdc.eq(0)
            with m.If(self.start & ~self.done):
                m.d.sync += [busy.eq(1), shift.eq(frame), bit.eq(0), timer.eq(self._half - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._half - 1), self.mdc.eq(~self.mdc)]
            with m.If(~self.mdc):  # rises: a PHY has changed its bit behind the rising edge before
                with m.If(bit >= answer_at + 2):
                    with m.If(bit < answer_at + 18):
                        m.d.sync += self.r_data.eq(Cat(self.mdio_i, self.r_data[:15]))
            with m.Else():
                m.d.sync += [shift.eq(shift >> 1), bit.eq(bit + 1)]
                with m.If(bit == total - 1):
                    m.d.sync += [busy.eq(0), self.done.eq(1)]
        return m


class PhySetup(wiring.Component):
    """Finds the PHYs of a management bus, sets them up once, and then asks them for their links for ever.

    PHYs are found by their identifier, from address 0 upwards; the order of their addresses is that of the ports.
    As long as one is missing, all that were not found are looked for again.

    Parameters
    ----------
    steps: of each PHY's set-up.
    phys: how many there are.
    half_cycles: as of `MdioMaster`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    enable: In(1), the PHYs may be spoken to.
    link: Out(phys), bit n: the n-th one has a link. ready: Out(1), all were found and set up.
    mdc, mdio_o, mdio_oe: Out(1). mdio_i: In(1), synchronised inside.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "mask_ignored": "a step writes all bits of the register, not those of its mask",
        "absent_links": "a PHY that does not answer counts as one with a link",
        "last_step_left_out": "the last step of the set-up is not done",
        **MdioMaster.FAULTS,
    }

    def __init__(
        self, steps: tuple[MdioStep, ...], *, phys: int = 1, half_cycles: int, faults: frozenset[str] = frozenset()
    ):
        self._steps, self._phys, self._half = steps, phys, half_cycles
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "enable": In(1),
                "link": Out(phys),
                "ready": Out(1),
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
            }
        )

    def elaborate(self, platform):
        from amaranth.lib.cdc import FFSynchronizer

        m = Module()
        inner = self._faults & MdioMaster.FAULTS.keys()
        m.submodules.master = master = MdioMaster(half_cycles=self._half, faults=inner)
        m.submodules.mdio_i = FFSynchronizer(self.mdio_i, master.mdio_i, init=1)
        m.d.comb += [
            self.mdc.eq(master.mdc),
            self.mdio_o.eq(master.mdio_o),
            self.mdio_oe.eq(master.mdio_oe),
        ]
        steps = self._steps[: len(self._steps) - ("last_step_left_out" in self._faults)]
        step = Signal(range(len(steps) + 1))
        registers = Array(Const(s.register, 5) for s in steps)
        values = Array(Const(s.value & s.mask, 16) for s in steps)
        masks = Array(Const(s.mask, 16) for s in steps)
        mask = masks[step] if "mask_ignored" not in self._faults else Const(_NOTHING, 16)

        address, found = Signal(5), Signal(range(self._phys + 1))
        at = Array(Signal(5, name=f"address_{n}") for n in range(self._phys))
        polled = Signal(range(self._phys))
        absent = master.r_data == _NOTHING
        m.d.comb += master.address.eq(address)
        m.d.sync += self.ready.eq(found == self._phys)

        def access(register, *, write=None):
            m.d.comb += [master.start.eq(1), master.register.eq(register)]
            if write is not None:
                m.d.comb += [master.write.eq(1), master.w_data.eq(write)]

        def onwards():
            with m.If(found == self._phys):
                m.next = "Poll"
            with m.Else():
                m.d.sync += address.eq(address + 1)
                m.next = "Scan"

        with m.FSM():
            with m.State("Idle"):
                with m.If(self.enable):
                    m.next = "Scan"
            with m.State("Scan"):
                access(IDENTIFIER)
                with m.If(master.done):
                    known = Cat((at[n] == address) & (found > n) for n in range(self._phys)).any()
                    with m.If(absent | known):
                        m.d.sync += address.eq(address + 1)
                    with m.Else():
                        m.d.sync += step.eq(0)
                        m.next = "Next"
            with m.State("Next"):
                with m.If(step == len(steps)):
                    m.d.sync += [at[found].eq(address), found.eq(found + 1)]
                    m.next = "Found"
                with m.Elif(mask == _NOTHING):
                    m.next = "Write"
                with m.Else():
                    m.next = "Read"
            with m.State("Read"):
                access(registers[step])
                with m.If(master.done):
                    m.next = "Write"
            with m.State("Write"):
                access(registers[step], write=master.r_data & ~mask | values[step])
                with m.If(master.done):
                    m.d.sync += step.eq(step + 1)
                    m.next = "Next"
            with m.State("Found"):
                onwards()
            with m.State("Poll"):
                m.d.sync += address.eq(at[polled])
                m.next = "Ask"
            with m.State("Ask"):
                access(STATUS)
                with m.If(master.done):
                    up = master.r_data[LINK_BIT]
                    if "absent_links" not in self._faults:
                        up = up & ~absent
                    m.d.sync += self.link.bit_select(polled, 1).eq(up)
                    m.d.sync += polled.eq(Mux(polled == self._phys - 1, 0, polled + 1))
                    m.next = "Poll"
        return m
