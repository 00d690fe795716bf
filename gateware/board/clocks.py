"""Clocks and resets of a board: from its oscillator to the domains of the device.

Domains: `boot` is the oscillator itself, for resets and MDIO; `sync` is the core clock; `tx` is 125 MHz where a port
speaks RGMII. All of them are held in reset until the clock generator has locked.
"""

from amaranth.hdl import ClockDomain, ClockSignal, Const, DomainRenamer, Instance, Module, ResetSignal, Signal
from amaranth.lib import io, wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer
from amaranth.lib.wiring import In, Out

from tickgate.gateware.board.description import GIGABIT_HZ
from tickgate.gateware.board.pll import EHXPLLL, PLLE2, plan_pll
from tickgate.gateware.lib.faults import checked_faults

#: How long the clock generator must have been locked without a break.
LOCK_US = 100
#: How long `boot` is in reset after configuration.
POWER_ON_CYCLES = 1 << 10
#: Clock that a PHY without a crystal gets from the FPGA.
PHY_REFERENCE_HZ = 25_000_000


def add_domains(m, names):
    """Clock domains whose clocks have their names, also that of `sync`: reports tell clocks by their nets.

    Returns the domains by name.
    """
    made = {name: ClockDomain(name) for name in names}
    for name, domain in made.items():
        domain.clk = Signal(name=f"{name}_clk")
        m.domains += domain
    return made


def add_part_domains(m, sync, parts):
    """A domain `sync_<part>` for each part of the device: the clock of `sync`, and one reset register for all of them.

    What resets `sync` is logic behind other clocks. A register of its own is what a global network takes (record 71),
    and one for all parts leaves the networks to others, and flip-flops of different parts in the same tile.

    Parameters
    ----------
    sync: the domain, of `m`. Resets of parts are a cycle behind its own.

    Returns the domains by part.
    """
    reset = Signal(name="sync_parts_rst", init=1)
    m.d.sync += reset.eq(sync.rst)
    made = {}
    for part in parts:
        made[part] = domain = ClockDomain(f"sync_{part}")
        domain.clk, domain.rst = sync.clk, reset
        m.domains += domain
    return made


class ResetSequence(wiring.Component):
    """Says when the device may leave reset, and holds the PHYs in theirs for as long as they want.

    Parameters
    ----------
    lock_cycles: consecutive cycles of `locked` before `core_ready`.
    reset_cycles: length of the PHYs' reset. settle_cycles: from its end to `phy_ready`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    locked: In(1), the clock generator's; of any domain.
    core_ready: Out(1), goes down with `locked` (two cycles later), and up `lock_cycles` after it.
    phy_reset: Out(1), 1 from reset on.
    phy_ready: Out(1), the PHYs may be spoken to.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "break_ignored": "a short loss of lock does not start the wait again",
        "phy_not_awaited": "the PHYs are spoken to right behind their reset",
    }

    def __init__(
        self, *, lock_cycles: int, reset_cycles: int, settle_cycles: int, faults: frozenset[str] = frozenset()
    ):
        self._lock, self._reset, self._settle = lock_cycles, reset_cycles, settle_cycles
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"locked": In(1), "core_ready": Out(1), "phy_reset": Out(1, init=1), "phy_ready": Out(1)})

    def elaborate(self, platform):
        m = Module()
        locked = Signal()
        m.submodules.locked = FFSynchronizer(self.locked, locked)
        left = Signal(range(self._lock + 1), init=self._lock)
        with m.If(locked):
            with m.If(left != 0):
                m.d.sync += left.eq(left - 1)
            m.d.sync += self.core_ready.eq(left <= 1)
        with m.Else():
            if "break_ignored" not in self._faults:
                m.d.sync += left.eq(self._lock)
            m.d.sync += self.core_ready.eq(0)

        settle = 0 if "phy_not_awaited" in self._faults else self._settle
        timer = Signal(range(self._reset + self._settle + 1))
        with m.If(timer != self._reset + settle):
            m.d.sync += timer.eq(timer + 1)
        m.d.sync += [
            self.phy_reset.eq(timer < self._reset),
            self.phy_ready.eq(timer >= self._reset + settle),
        ]
        return m


class Clocks(wiring.Component):
    """Drives the domains `boot`, `sync` and `tx` of a board, which its top defines, and sequences their resets.

    Parameters
    ----------
    family: `ecp5`, `ice40` or `xc7`.
    oscillator: name of the clock resource. oscillator_hz: its frequency. differential inputs are taken as they are.
    core_hz: of `sync`; equal to the oscillator's on `ice40`, which has no clock generator here.
    gigabit: whether `tx` is made. reference: whether a PHY gets its `PHY_REFERENCE_HZ` from here.
    phy_reset_us, phy_settle_us: the longest that a PHY of the board wants.

    Members
    -------
    phy_reset: Out(1), in `boot`, to the PHYs' reset pins. phy_ready: Out(1), in `boot`.
    phy_reference: Out(1), the clock for the PHY where one was asked for.

    Raises
    ------
    ValueError: no dividers make these clocks; a family that is not known.
    """

    def __init__(
        self,
        *,
        family: str,
        oscillator: str,
        oscillator_hz: int,
        core_hz: int,
        gigabit: bool,
        reference: bool = False,
        phy_reset_us: int = 0,
        phy_settle_us: int = 0,
    ):
        self._family, self._oscillator, self._oscillator_hz = family, oscillator, oscillator_hz
        self._reset_us, self._settle_us = phy_reset_us, phy_settle_us
        self._outputs = {"sync": core_hz, **({"tx": GIGABIT_HZ} if gigabit else {})}
        if reference:
            self._outputs["phy_reference"] = PHY_REFERENCE_HZ
        if family == "ice40":
            if core_hz != oscillator_hz or len(self._outputs) > 1:
                raise ValueError(f"ice40 runs on its oscillator's {oscillator_hz} Hz alone")
            self._plan = None
        elif family in ("ecp5", "xc7"):
            limits, separate = (EHXPLLL, True) if family == "ecp5" else (PLLE2, False)
            self._plan = plan_pll(oscillator_hz, tuple(self._outputs.values()), limits, separate_loop=separate)
        else:
            raise ValueError(f"family must be ecp5, ice40 or xc7, not {family!r}")
        super().__init__({"phy_reset": Out(1, init=1), "phy_ready": Out(1), "phy_reference": Out(1)})

    def elaborate(self, platform):
        m = Module()
        pin = platform.request(self._oscillator, dir="-")
        m.submodules.oscillator = oscillator = io.Buffer("i", pin)
        m.d.comb += ClockSignal("boot").eq(oscillator.i)
        # Configuration sets the counter, no reset does: it is what makes the first one.
        waited = Signal(range(POWER_ON_CYCLES + 1), reset_less=True)
        with m.If(waited != POWER_ON_CYCLES):
            m.d.boot += waited.eq(waited + 1)
        restart = Signal(init=1, reset_less=True)  # a register, because it resets without a clock
        m.d.boot += restart.eq(waited != POWER_ON_CYCLES)
        if platform.default_rst is not None:
            m.submodules.button = button = io.Buffer("i", platform.request(platform.default_rst, dir="-"))
            restart = restart | button.i
        m.submodules.boot_reset = ResetSynchronizer(restart, domain="boot")

        cycles_of = lambda us: max(1, us * self._oscillator_hz // 1_000_000)  # noqa: E731
        m.submodules.sequence = sequence = DomainRenamer("boot")(
            ResetSequence(
                lock_cycles=cycles_of(LOCK_US),
                reset_cycles=cycles_of(self._reset_us),
                settle_cycles=cycles_of(self._settle_us),
            )
        )
        m.d.comb += [self.phy_reset.eq(sequence.phy_reset), self.phy_ready.eq(sequence.phy_ready)]

        made = {name: Signal(name=f"clk_{name}") for name in self._outputs}
        if self._plan is None:
            m.d.comb += [made["sync"].eq(oscillator.i), sequence.locked.eq(1)]
        elif self._family == "ecp5":
            m.submodules.pll = self._ecp5(oscillator.i, made, sequence.locked)
        else:
            self._xc7(m, oscillator.i, made, sequence.locked)
        for name, clock in made.items():
            if name == "phy_reference":
                m.d.comb += self.phy_reference.eq(clock)
                continue
            # The tools know its frequency from the oscillator's and the dividers.
            m.d.comb += ClockSignal(name).eq(clock)
            m.submodules[f"{name}_reset"] = ResetSynchronizer(~sequence.core_ready, domain=name)
        return m

    def _ecp5(self, source, made, locked):
        plan, names = self._plan, ("CLKOP", "CLKOS", "CLKOS2")
        inside = Signal(name="pll_loop")
        pins = {}
        for number, clock in enumerate(made.values()):
            pin, divider = names[number], plan.output_dividers[number]
            pins |= {
                f"p_{pin}_ENABLE": "ENABLED",
                f"p_{pin}_DIV": divider,
                f"p_{pin}_CPHASE": divider - 1,
                f"p_{pin}_FPHASE": 0,
                f"o_{pin}": clock,
            }
        return Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            a_FREQUENCY_PIN_CLKI=f"{self._oscillator_hz / 1e6:g}",
            p_PLLRST_ENA="ENABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_OUTDIVIDER_MUXB="DIVB",
            p_OUTDIVIDER_MUXC="DIVC",
            p_OUTDIVIDER_MUXD="DIVD",
            p_CLKI_DIV=plan.input_divider,
            p_CLKFB_DIV=plan.feedback_divider,
            # The fourth output is fed back inside, so that the others may be divided freely.
            p_FEEDBK_PATH="INT_OS3",
            p_CLKOS3_ENABLE="ENABLED",
            p_CLKOS3_DIV=plan.loop_divider,
            p_CLKOS3_CPHASE=plan.loop_divider - 1,
            p_CLKOS3_FPHASE=0,
            i_CLKI=source,
            i_CLKFB=inside,
            o_CLKINTFB=inside,
            i_RST=ResetSignal("boot"),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            i_ENCLKOS=Const(0),
            i_ENCLKOS2=Const(0),
            i_ENCLKOS3=Const(0),
            o_LOCK=locked,
            **pins,
        )

    def _xc7(self, m, source, made, locked):
        plan = self._plan
        loop = Signal(name="pll_loop")
        raw = {name: Signal(name=f"raw_{name}") for name in made}
        pins = {}
        for number, name in enumerate(made):
            pins |= {f"p_CLKOUT{number}_DIVIDE": plan.output_dividers[number], f"o_CLKOUT{number}": raw[name]}
            m.submodules[f"buffer_{name}"] = Instance("BUFG", i_I=raw[name], o_O=made[name])
        m.submodules.pll = Instance(
            "PLLE2_BASE",
            p_CLKIN1_PERIOD=1e9 / self._oscillator_hz,
            p_DIVCLK_DIVIDE=plan.input_divider,
            p_CLKFBOUT_MULT=plan.feedback_divider,
            i_CLKIN1=source,
            i_CLKFBIN=loop,
            o_CLKFBOUT=loop,
            i_RST=ResetSignal("boot"),
            i_PWRDWN=Const(0),
            o_LOCKED=locked,
            **pins,
        )
