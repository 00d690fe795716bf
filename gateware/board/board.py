"""The design for a board with Ethernet: its ports, the device of `tickgate.gateware.top`, and what is around it."""

from amaranth.hdl import DomainRenamer, Elaboratable, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import connect

from tickgate.gateware.board.clocks import Clocks, add_domains, add_part_domains
from tickgate.gateware.board.console import Console
from tickgate.gateware.board.description import Described
from tickgate.gateware.board.lights import Lights, connect_leds
from tickgate.gateware.board.mdio import MDC_HZ, PhySetup
from tickgate.gateware.board.ports import PORTS
from tickgate.gateware.board.roles import Roles
from tickgate.gateware.board.uart import bit_cycles, connect_uart
from tickgate.gateware.top import Top

#: What has a clock domain of its own, from the inputs to the outputs: the rest of the board needs no more than `sync`.
PARTS = ("console", *Top.PARTS, "lights")


class BoardTop(Elaboratable):
    """The whole device on a board.

    Parameters
    ----------
    board: its description.
    build_id: told by its register.
    """

    def __init__(self, board: Described, *, build_id: int = 0):
        self._board, self._build_id = board, build_id

    def elaborate(self, platform):
        m, board = Module(), self._board
        add_part_domains(m, add_domains(m, board.clocks)["sync"], PARTS)
        phys = [port.phy for port in board.ports if port.phy]
        m.submodules.clocks = clocks = Clocks(
            family=board.part.family,
            oscillator=board.oscillator,
            oscillator_hz=board.oscillator_hz,
            core_hz=board.core_hz,
            gigabit=any(port.mode == "rgmii" for port in board.ports),
            reference=board.phy_clock != "",
            phy_reset_us=max((phy.reset_us for phy in phys), default=0),
            phy_settle_us=max((phy.settle_us for phy in phys), default=0),
        )
        m.submodules.device = device = Top(
            board.sizes,
            trace=False,
            status=True,
            sampled_telemetry=board.sampled_telemetry,
            build_id=self._build_id,
            core_clock_hz=board.core_hz,
            macs=sum(port.mode != "words" for port in board.ports),
            domains=True,
        )
        m.submodules.roles = roles = Roles(board.roles)
        roles.attach(m, device)
        if board.phy_clock:
            m.submodules.phy_clock = pin = io.Buffer("o", platform.request(board.phy_clock, 0, dir="-"))
            m.d.comb += pin.o.eq(clocks.phy_reference)
        link = Signal(2)
        pads = [platform.request(p.resource, p.number, dir="-") for p in board.ports]
        counted = 0
        for number, port in enumerate(board.ports):
            made = PORTS[port.mode](number, port, pads[number], clocks)
            m.submodules[f"port_{number}"] = made
            connect(m, made.o, getattr(roles, f"rx_{number}"))
            connect(m, getattr(roles, f"tx_{number}"), made.i)
            if made.mac:
                m.d.comb += getattr(device, f"counters_mac{counted}").eq(made.mac.counters)
                counted += 1
        self._manage(m, clocks, pads, link, platform)
        self._lights(m, device, link, platform)
        self._console(m, device, platform)
        return m

    def _manage(self, m, clocks, pads, link, platform):
        """Resets, MDIO and links of the PHYs, in `boot`."""
        board = self._board
        half = -(-board.oscillator_hz // (2 * MDC_HZ))
        for bus in sorted({port.management for port in board.ports if port.phy}):
            mine = [n for n, port in enumerate(board.ports) if port.management == bus]
            phy = board.ports[bus].phy
            if hasattr(pads[bus], "rst"):
                m.submodules[f"phy_reset_{bus}"] = reset = io.Buffer("o", pads[bus].rst)
                m.d.comb += reset.o.eq(clocks.phy_reset)
            setup = PhySetup(phy.setup, phys=len(mine), half_cycles=half)
            m.submodules[f"phy_setup_{bus}"] = DomainRenamer("boot")(setup)
            m.submodules[f"mdc_{bus}"] = mdc = io.Buffer("o", pads[bus].mdc)
            m.submodules[f"mdio_{bus}"] = mdio = io.Buffer("io", pads[bus].mdio)
            m.d.comb += [
                setup.enable.eq(clocks.phy_ready),
                mdc.o.eq(setup.mdc),
                mdio.o.eq(setup.mdio_o),
                mdio.oe.eq(setup.mdio_oe),
                setup.mdio_i.eq(mdio.i),
            ]
            for at, number in enumerate(mine):
                m.submodules[f"link_{number}"] = FFSynchronizer(setup.link[at], link[number])

    def _lights(self, m, device, link, platform):
        board = self._board
        meanings = tuple(led.meaning for led in board.leds)
        lights = Lights(meanings, clock_hz=board.core_hz)
        m.submodules.lights = DomainRenamer("sync_lights")(lights)
        m.d.comb += [lights.status.eq(device.status), lights.link.eq(link)]
        connect_leds(m, board.leds, lights.o, platform)
        for resource, number, level in board.still:
            m.submodules[f"still_{resource}_{number}"] = pin = io.Buffer(
                "o", platform.request(resource, number, dir="-")
            )
            m.d.comb += pin.o.eq(level)

    def _console(self, m, device, platform):
        board = self._board
        if not board.uart_baud:
            return
        console = Console()
        m.submodules.console = DomainRenamer("sync_console")(console)
        connect_uart(m, console, bit_cycles(board.core_hz, board.uart_baud), platform, "sync_console")
        connect(m, console.bus, device.bus)
