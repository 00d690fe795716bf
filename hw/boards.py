"""The one table of boards; make, reports, documentation and `tickgate boards` read it.

Nothing of it was tried on silicon. Pins come from the board definitions of amaranth-boards; what is stated here is what
those leave open: clocks, PHYs, roles of the ports, meanings of the lights, sizes that fit.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from tickgate.gateware.board.description import (
    GIGABIT_HZ,
    EthernetPort,
    Led,
    LedMeaning,
)
from tickgate.hw.parts import PARTS, Part
from tickgate.hw.phys import BROADCOM_B50612D, MARVELL_88E1512, MICROCHIP_KSZ9031, TI_DP83848J
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes


@dataclass(frozen=True)
class Programmer:
    """The program that loads a board: its name, its arguments (`{file}` stands for the file), and which file it takes.

    `file` is a suffix of the build's products; `home` where the program comes from.
    """

    tool: str
    arguments: tuple[str, ...]
    file: str
    home: str


_OPENFPGALOADER = "https://github.com/trabucayre/openFPGALoader"
_DFU_UTIL = "https://dfu-util.sourceforge.net"
_ICEPROG = "https://github.com/YosysHQ/icestorm"


@dataclass(frozen=True)
class Board:
    """A development board and what is built for it.

    Parameters
    ----------
    name: as `BOARD=` takes it. title: as its maker calls it.
    part: its FPGA.
    platform: module and class of its definition, joined by a colon.
    toolchain: `trellis`, `icestorm`, or `vivado`, which is not run here.
    oscillator, oscillator_hz: the clock resource that everything is made from.
    core_hz: core clock that the design is built for.
    sizes: of the device on it.
    top: `board` (the whole device), `probe` (parser and risk gate behind the UART).
    ports: physical Ethernet ports. roles: index into them by role.
    leds: its lights. uart_baud: of the console, 0 where there is none.
    programmer: how to load it; None where the vendor's tool does.
    status: what is known to work: `built` (place and route met the clocks), `elaborated`, `too large` (the part is too
        small for the smallest device), or `emitted` (files for the vendor's tool, checked for syntax).
    notes: what one must know of it.
    sampled_telemetry: whether telemetry can tell of every feed, itch and book record, or of intents, verdicts and
        orders only; it takes some 4,000 flip-flops.
    still: outputs that stand still: resource, number, level.
    probe: the stages of a `probe`: `itch`, `risk` or both.
    phy_clock: resource on which a PHY without a crystal gets 25 MHz.
    """

    name: str
    title: str
    part: Part
    platform: str
    toolchain: str
    oscillator: str
    oscillator_hz: int
    core_hz: int
    sizes: Sizes
    top: str
    ports: tuple[EthernetPort, ...]
    roles: dict[str, int]
    leds: tuple[Led, ...]
    uart_baud: int
    programmer: Programmer | None
    status: str
    notes: tuple[str, ...] = ()
    sampled_telemetry: bool = False
    still: tuple[tuple[str, int, int], ...] = ()
    probe: tuple[str, ...] = ()
    phy_clock: str = ""
    on_silicon: bool = False

    @property
    def open(self) -> bool:
        """Whether tools from PyPI build it."""
        return self.toolchain != "vivado"

    @property
    def clocks(self) -> dict[str, int]:
        """Clock domain to the frequency in Hz that place and route must meet."""
        found = {"boot": self.oscillator_hz, "sync": self.core_hz}
        if self.top == "probe":
            return {"sync": self.core_hz}
        rates = {"rgmii": GIGABIT_HZ, "mii": 25_000_000}
        for number, port in enumerate(self.ports):
            if port.mode in rates:
                found[f"rx_{number}"] = rates[port.mode]
                found["tx" if port.mode == "rgmii" else f"tx_{number}"] = rates[port.mode]
        return found


def _leds(resource: str, *meanings: LedMeaning) -> tuple[Led, ...]:
    return tuple(Led(resource, number, meaning) for number, meaning in enumerate(meanings))


_FLOOR = Sizes(slots=4, orders=4096, levels=1024)
_SMALL = Sizes(slots=2, orders=1024, levels=256)
_PROBE = Sizes(slots=2, orders=256, levels=64, stash=4)
#: Orders and feed line A on the first port, feed line B and the host on the second.
_TWO_PORTS = {"feed_a": 0, "feed_b": 1, "orders": 0, "control": 1}
_ONE_PORT = {"feed_a": 0, "orders": 0, "control": 0}
_ALL_LEDS = (
    LedMeaning.ALIVE,
    LedMeaning.LINK,
    LedMeaning.LINK_1,
    LedMeaning.ACTIVITY,
    LedMeaning.BOOK_VALID,
    LedMeaning.ARMED,
    LedMeaning.SESSION,
    LedMeaning.ORDER,
)
_SPEED = 115_200


def _versa(name: str, title: str, part: str, platform: str) -> Board:
    return Board(
        name=name,
        title=title,
        part=PARTS[part],
        platform=platform,
        toolchain="trellis",
        oscillator="clk100",
        oscillator_hz=100_000_000,
        core_hz=125_000_000,
        sizes=_FLOOR,
        top="board",
        ports=tuple(EthernetPort("eth_rgmii", n, "rgmii", MARVELL_88E1512, n, rx_delay_taps=80) for n in range(2)),
        roles=_TWO_PORTS,
        leds=_leds("led", *_ALL_LEDS),
        uart_baud=_SPEED,
        programmer=Programmer("openFPGALoader", ("-b", "ecp5_versa", "{file}"), "bit", _OPENFPGALOADER),
        status="elaborated",
        notes=("the jumper J50 must route JTAG to the FPGA alone, as LiteX and Trellis guides describe",),
    )


def _ecpix5(size: str) -> Board:
    colours = (
        (0, "g", LedMeaning.ARMED),
        (0, "r", LedMeaning.KILLED),
        (1, "g", LedMeaning.BOOK_VALID),
        (1, "b", LedMeaning.ACTIVITY),
        (2, "g", LedMeaning.LINK),
        (2, "b", LedMeaning.ALIVE),
        (3, "g", LedMeaning.SESSION),
        (3, "b", LedMeaning.ORDER),
    )
    return Board(
        name=f"ecpix5_{size}",
        title=f"LambdaConcept ECPIX-5 {size}F",
        part=PARTS[f"LFE5UM5G-{size}F-8BG554"],
        platform=f"amaranth_boards.ecpix5:ECPIX5{size}Platform",
        toolchain="trellis",
        oscillator="clk100",
        oscillator_hz=100_000_000,
        core_hz=125_000_000,
        sizes=_FLOOR,
        top="board",
        ports=(EthernetPort("eth_rgmii", 0, "rgmii", MICROCHIP_KSZ9031, 0, tx_clock_delay_taps=80),),
        roles=_ONE_PORT,
        leds=tuple(Led("rgb_led", number, meaning, part) for number, part, meaning in colours),
        uart_baud=_SPEED,
        programmer=Programmer("openFPGALoader", ("-b", "ecpix5", "{file}"), "bit", _OPENFPGALOADER),
        status="built" if size == "85" else "elaborated",
    )


_TABLE = (
    _versa(
        "versa_ecp5",
        "Lattice ECP5 Versa",
        "LFE5UM-45F-8BG381",
        "amaranth_boards.versa_ecp5:VersaECP5Platform",
    ),
    _versa(
        "versa_ecp5_5g",
        "Lattice ECP5-5G Versa",
        "LFE5UM5G-45F-8BG381",
        "amaranth_boards.versa_ecp5_5g:VersaECP55GPlatform",
    ),
    _ecpix5("45"),
    _ecpix5("85"),
    Board(
        name="butterstick",
        title="ButterStick r1.0",
        part=PARTS["LFE5UM5G-85F-8BG381"],
        platform="amaranth_boards.butterstick:ButterStickPlatform",
        toolchain="trellis",
        oscillator="clk30",
        oscillator_hz=30_000_000,
        core_hz=125_000_000,
        sizes=_FLOOR,
        top="board",
        ports=(EthernetPort("eth_rgmii", 0, "rgmii", MICROCHIP_KSZ9031, 0, tx_clock_delay_taps=80),),
        roles=_ONE_PORT,
        leds=tuple(
            Led("led", number, meaning)
            for number, meaning in enumerate(m for m in _ALL_LEDS if m is not LedMeaning.LINK_1)
        ),
        uart_baud=0,
        programmer=Programmer("dfu-util", ("-d", "1209:5af1", "-a", "0", "-R", "-D", "{file}"), "bit", _DFU_UTIL),
        status="elaborated",
        notes=(
            "no UART; the SYZYGY connectors' voltages stay off, as nothing here uses them",
            "the lights are the seven colour ones, in green; which level lights them is assumed",
        ),
        still=(("led_colour", 0, 0), ("led_colour", 1, 1), ("led_colour", 2, 0)),
    ),
    Board(
        name="logicbone",
        title="Logicbone 45F",
        part=PARTS["LFE5UM5G-45F-8BG381"],
        platform="amaranth_boards.logicbone:LogicbonePlatform",
        toolchain="trellis",
        oscillator="refclk",
        oscillator_hz=25_000_000,
        core_hz=125_000_000,
        sizes=_FLOOR,
        top="board",
        ports=(EthernetPort("eth_rgmii", 0, "rgmii", MICROCHIP_KSZ9031, 0, tx_clock_delay_taps=80),),
        roles=_ONE_PORT,
        leds=_leds("led", LedMeaning.LINK, LedMeaning.ACTIVITY, LedMeaning.BOOK_VALID, LedMeaning.ARMED),
        uart_baud=0,
        programmer=Programmer("dfu-util", ("-d", "1d50:615d", "-a", "0", "-R", "-D", "{file}"), "bit", _DFU_UTIL),
        status="elaborated",
        notes=(
            "no UART; the PHY's reset is not wired to the FPGA",
            "the type of the PHY is assumed: where the set-up does not suit it, it keeps what its straps say",
        ),
    ),
    Board(
        name="colorlight_5a75b_r70",
        title="Colorlight 5A-75B R7.0",
        part=PARTS["LFE5U-25F-6BG256"],
        platform="amaranth_boards.colorlight_5a75b_r7_0:Colorlight_5A75B_R70Platform",
        toolchain="trellis",
        oscillator="clk25",
        oscillator_hz=25_000_000,
        core_hz=83_333_333,
        sizes=_SMALL,
        top="board",
        ports=tuple(EthernetPort("eth_rgmii", n, "rgmii", BROADCOM_B50612D, 0, rx_delay_taps=80) for n in range(2)),
        roles=_TWO_PORTS,
        leds=_leds("led", LedMeaning.ARMED),
        uart_baud=0,
        programmer=Programmer("openFPGALoader", ("-c", "ft232", "-m", "{file}"), "bit", _OPENFPGALOADER),
        status="too large",
        notes=(
            "the device does not fit: it wants 28,568 flip-flops of the part's 24,288",
            "JTAG is on pads J27 to J34 and needs an adapter",
            "the pin of the light is also the only one that a UART could use: the light has it",
            "both PHYs share reset and MDIO; which address is which port is assumed",
        ),
    ),
    Board(
        name="icebreaker",
        title="1BitSquared iCEBreaker",
        part=PARTS["iCE40UP5K-SG48"],
        platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
        toolchain="icestorm",
        oscillator="clk12",
        oscillator_hz=12_000_000,
        core_hz=12_000_000,
        sizes=_PROBE,
        top="probe",
        ports=(),
        roles={},
        leds=(Led("led_g", 0, LedMeaning.ALIVE), Led("led_r", 0, LedMeaning.ACTIVITY)),
        uart_baud=_SPEED,
        programmer=Programmer("iceprog", ("{file}",), "bin", _ICEPROG),
        status="built",
        probe=("risk",),
        notes=("no Ethernet: the probe, the risk gate without the checks that multiply behind the UART",),
    ),
    Board(
        name="hx8k_b_evn",
        title="Lattice iCE40-HX8K breakout board",
        part=PARTS["iCE40HX8K-CT256"],
        platform="amaranth_boards.ice40_hx8k_b_evn:ICE40HX8KBEVNPlatform",
        toolchain="icestorm",
        oscillator="clk12",
        oscillator_hz=12_000_000,
        core_hz=12_000_000,
        sizes=_PROBE,
        top="probe",
        ports=(),
        roles={},
        leds=(Led("led", 0, LedMeaning.ALIVE), Led("led", 1, LedMeaning.ACTIVITY)),
        uart_baud=_SPEED,
        programmer=Programmer("iceprog", ("-S", "{file}"), "bin", _ICEPROG),
        status="built",
        probe=("itch", "risk"),
        notes=(
            "no Ethernet: the probe, the parser and the risk gate without the checks that multiply behind the UART",
            "-S loads the RAM; the jumpers J6 must be set for it",
        ),
    ),
    Board(
        name="arty_a7_100",
        title="Digilent Arty A7-100T",
        part=PARTS["xc7a100tcsg324-1L"],
        platform="amaranth_boards.arty_a7:ArtyA7_100Platform",
        toolchain="vivado",
        oscillator="clk100",
        oscillator_hz=100_000_000,
        core_hz=100_000_000,
        sizes=_FLOOR,
        sampled_telemetry=True,
        top="board",
        ports=(EthernetPort("eth_mii", 0, "mii", TI_DP83848J, 0),),
        roles=_ONE_PORT,
        leds=_leds("led", LedMeaning.LINK, LedMeaning.ACTIVITY, LedMeaning.BOOK_VALID, LedMeaning.ARMED),
        uart_baud=_SPEED,
        programmer=Programmer("openFPGALoader", ("-b", "arty_a7_100t", "{file}"), "bit", _OPENFPGALOADER),
        status="emitted",
        phy_clock="eth_clk25",
        notes=("100 Mb/s", "not built here: Verilog, constraints and project script for Vivado"),
    ),
    Board(
        name="ax7325b",
        title="Alinx AX7325B",
        part=PARTS["xc7k325tffg900-2"],
        platform="amaranth_boards.alinx_ax7325b:AX7325BPlatform",
        toolchain="vivado",
        oscillator="clk",
        oscillator_hz=200_000_000,
        core_hz=156_250_000,
        sizes=_FLOOR,
        sampled_telemetry=True,
        top="board",
        ports=tuple(EthernetPort("sfp", n, "words", None, 0) for n in range(2)),
        roles=_TWO_PORTS,
        leds=_leds("led", LedMeaning.ALIVE, LedMeaning.ACTIVITY, LedMeaning.BOOK_VALID, LedMeaning.ARMED),
        uart_baud=_SPEED,
        programmer=None,
        status="emitted",
        notes=(
            "10 Gb/s: transceiver and MAC are the vendor's; an empty module with their 64-bit words stands here",
            "not built here: Verilog, constraints and project script for Vivado",
        ),
    ),
)
BOARDS: dict[str, Board] = {board.name: board for board in _TABLE}
#: Boards that tools from PyPI build.
BUILDABLE = tuple(name for name, board in BOARDS.items() if board.open)


def board_named(name: str) -> Board:
    """The board called `name`.

    Raises
    ------
    UserError: no such board, with the one that was perhaps meant.
    """
    if name in BOARDS:
        return BOARDS[name]
    close = difflib.get_close_matches(name.lower().replace("-", "_"), BOARDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"the boards are {', '.join(BOARDS)}"
    raise UserError(f"no board {name!r}; {hint}")
