"""What a board top must be told about a board. The boards themselves stand in `tickgate.hw.boards`.

Nothing here needs Amaranth, so that the table can be printed without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from tickgate.sw.spec.sizes import Sizes

#: Roles of SEMANTICS: who uses a physical port.
ROLES = ("feed_a", "feed_b", "orders", "control")
GIGABIT_HZ = 125_000_000
#: One step of ECP5's DELAYG, and how many there are.
DELAY_TAP_PS, DELAY_TAPS = 25, 128


class LedMeaning(Enum):
    """What a light tells; the value is what documentation says of it."""

    ALIVE = "blinks once a second: the core clock runs and the device is out of reset"
    LINK = "the PHY of port 0 reports a link"
    LINK_1 = "the PHY of port 1 reports a link"
    ACTIVITY = "flashes with every message that the feed delivers"
    BOOK_VALID = "the symbol whose book changed last is valid"
    ARMED = "orders may leave: the kill switch is down"
    KILLED = "the kill switch is up (after reset it is)"
    SESSION = "the order session is open and may send"
    ORDER = "flashes with every order that leaves"


@dataclass(frozen=True)
class Led:
    """One light: resource name and number as the board definition has them, `part` of a resource of several colours."""

    resource: str
    number: int
    meaning: LedMeaning
    part: str = ""


@dataclass(frozen=True)
class MdioStep:
    """One step of a PHY's set-up: the bits of `mask` in `register` become those of `value`.

    A mask of all ones is a plain write; any other reads the register first.
    """

    register: int
    value: int
    mask: int = 0xFFFF


@dataclass(frozen=True)
class Phy:
    """An Ethernet transceiver.

    Parameters
    ----------
    name: maker and type.
    setup: written to it over MDIO after its reset, in order.
    reset_us: how long its reset is held; settle_us: from there to the first MDIO access.
    delays: who delays what, in words for documentation.
    """

    name: str
    setup: tuple[MdioStep, ...]
    reset_us: int
    settle_us: int
    delays: str


@dataclass(frozen=True)
class EthernetPort:
    """One physical Ethernet port.

    Parameters
    ----------
    resource, number: of the board definition.
    mode: `rgmii`, `mii`, or `words` for a transceiver that is the vendor's.
    phy: its transceiver.
    management: index of the port whose MDIO pins and reset reach this PHY; several PHYs of one bus are told apart by
        the order of their addresses.
    rx_delay_taps, tx_clock_delay_taps: of the FPGA's delay cells, in steps of `DELAY_TAP_PS`.
    """

    resource: str
    number: int
    mode: str
    phy: Phy | None
    management: int
    rx_delay_taps: int = 0
    tx_clock_delay_taps: int = 0

    def __post_init__(self) -> None:
        for name in ("rx_delay_taps", "tx_clock_delay_taps"):
            if not 0 <= getattr(self, name) < DELAY_TAPS:
                raise ValueError(f"{name} must be from 0 to {DELAY_TAPS - 1}, not {getattr(self, name)}")
        if self.mode not in ("rgmii", "mii", "words"):
            raise ValueError(f"mode must be rgmii, mii or words, not {self.mode!r}")


class Described(Protocol):
    """What of a board's row in the table the tops use; see `tickgate.hw.boards.Board`."""

    @property
    def part(self) -> Any: ...

    @property
    def oscillator(self) -> str: ...

    @property
    def oscillator_hz(self) -> int: ...

    @property
    def core_hz(self) -> int: ...

    @property
    def sizes(self) -> Sizes: ...

    @property
    def ports(self) -> tuple[EthernetPort, ...]: ...

    @property
    def roles(self) -> dict[str, int]: ...

    @property
    def leds(self) -> tuple[Led, ...]: ...

    @property
    def uart_baud(self) -> int: ...

    @property
    def still(self) -> tuple[tuple[str, int, int], ...]: ...

    @property
    def probe(self) -> tuple[str, ...]: ...

    @property
    def phy_clock(self) -> str: ...

    @property
    def clocks(self) -> dict[str, int]: ...

    @property
    def sampled_telemetry(self) -> bool: ...
