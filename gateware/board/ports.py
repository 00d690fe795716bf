"""Physical Ethernet ports: pins, MAC and the clock domains of the PHY, by how a port is wired."""

from amaranth.hdl import ClockSignal, DomainRenamer, Elaboratable, EnableInserter, Instance, Module, ResetSignal
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import connect

from tickgate.gateware.board.clocks import Clocks
from tickgate.gateware.board.description import GIGABIT_HZ, EthernetPort
from tickgate.gateware.board.mii import MiiReceive, MiiTransmit
from tickgate.gateware.board.rgmii import RgmiiPins
from tickgate.gateware.lib.layouts import elastic, flow
from tickgate.gateware.mac.mac import GmiiMac
from tickgate.sw.spec.events import FRAME_WORD

#: Clock of MII at 100 Mb/s.
MII_HZ = 25_000_000


class Port(Elaboratable):
    """One Ethernet port.

    Parameters
    ----------
    number: index in the board's table; domains are named by it.
    port: its description. pads: its pins, requested without buffers.
    clocks: of the board.

    Members
    -------
    mac: its MAC, None where that is the vendor's.
    o: frames received, as of `GmiiMac`. i: frames to send.
    """

    def __init__(self, number: int, port: EthernetPort, pads, clocks: Clocks):
        self._number, self._port, self._pads, self._clocks = number, port, pads, clocks
        self.mac = self._mac()
        if self.mac:
            self.o, self.i = self.mac.o, self.mac.i

    def _mac(self):
        return None

    def _domain(self, m, platform, direction: str, clock, port, frequency_hz: int):
        """Drives a domain, which the top defines, with a clock of the PHY; in reset until that may be spoken to."""
        name = f"{direction}_{self._number}"
        m.d.comb += ClockSignal(name).eq(clock)
        m.submodules[f"{direction}_reset"] = ResetSynchronizer(~self._clocks.phy_ready, domain=name)
        platform.add_clock_constraint(port.io, frequency_hz)


class RgmiiPort(Port):
    """A port at 1 Gb/s on an ECP5: `rx_<n>` is the PHY's clock, `tx` the board's."""

    def _mac(self):
        return GmiiMac(rx_domain=f"rx_{self._number}", tx_domain="tx")

    def elaborate(self, platform):
        m = Module()
        pins = RgmiiPins(self._port, self._pads)
        m.submodules.rgmii = DomainRenamer({"rx": f"rx_{self._number}"})(pins)
        m.submodules.mac = self.mac
        self._domain(m, platform, "rx", pins.rx_clock, self._pads.rx_clk, GIGABIT_HZ)
        connect(m, pins.gmii_rx, self.mac.gmii_rx)
        connect(m, self.mac.gmii_tx, pins.gmii_tx)
        return m


class MiiPort(Port):
    """A port at 100 Mb/s: `rx_<n>` and `tx_<n>` are the PHY's clocks; the MAC lives in every second cycle of them."""

    def _mac(self):
        return GmiiMac(rx_domain=f"rx_{self._number}", tx_domain=f"tx_{self._number}")

    def elaborate(self, platform):
        m, pads = Module(), self._pads
        rx, tx = f"rx_{self._number}", f"tx_{self._number}"
        receive, transmit = MiiReceive(), MiiTransmit()
        m.submodules.receive = DomainRenamer(rx)(receive)
        m.submodules.transmit = DomainRenamer(tx)(transmit)
        m.submodules.mac = EnableInserter({rx: receive.enable, tx: transmit.enable})(self.mac)
        for direction, pin in (("rx", pads.rx_clk), ("tx", pads.tx_clk)):
            m.submodules[f"{direction}_clock"] = clock = io.Buffer("i", pin)
            self._domain(m, platform, direction, clock.i, pin, MII_HZ)
        for name, pin, value in (
            ("rx_data", pads.rx_data, receive.i.data),
            ("rx_dv", pads.rx_dv, receive.i.valid),
            ("rx_er", pads.rx_er, receive.i.error),
        ):
            m.submodules[name] = buffer = io.FFBuffer("i", pin, i_domain=rx)
            m.d.comb += value.eq(buffer.i)
        for name, pin, value in (("tx_data", pads.tx_data, transmit.o.data), ("tx_en", pads.tx_en, transmit.o.valid)):
            m.submodules[name] = buffer = io.FFBuffer("o", pin, o_domain=tx)
            m.d.comb += buffer.o.eq(value)
        connect(m, receive.o, self.mac.gmii_rx)
        connect(m, self.mac.gmii_tx, transmit.i)
        return m


#: The module that the user of a transceiver puts in: its ports are all that the design knows of it.
WORDS_MODULE = "tickgate_port_10g"
_WORDS_VERILOG = """\
// Stands for a 10 Gb/s transceiver with PCS and MAC. Put a module of this name in its place.
// Words are as on the device's streams: byte 0 of a frame in bits 7:0, count 1 to 8 valid bytes, error on the last
// word. Both directions are in the domain of clk. rx has no back-pressure; tx waits for tx_ready.
(* blackbox *)
module tickgate_port_10g (
  input clk, input rst, input serial_rx_p, input serial_rx_n, output serial_tx_p, output serial_tx_n,
  output [63:0] rx_data, output [3:0] rx_count, output rx_last, output rx_error, output rx_valid,
  input [63:0] tx_data, input [3:0] tx_count, input tx_last, input tx_error, input tx_valid, output tx_ready
);
endmodule
"""


class WordsPort(Port):
    """A port whose transceiver, PCS and MAC are the vendor's, behind an empty module."""

    def __init__(self, number, port, pads, clocks):
        super().__init__(number, port, pads, clocks)
        self.o, self.i = flow(FRAME_WORD).create(), elastic(FRAME_WORD).flip().create()

    def elaborate(self, platform):
        m, pads = Module(), self._pads
        platform.add_file(f"{WORDS_MODULE}.v", _WORDS_VERILOG)
        got, sent = self.o, self.i
        m.submodules.transceiver = Instance(
            WORDS_MODULE,
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_serial_rx_p=pads.rx.p,
            i_serial_rx_n=pads.rx.n,
            o_serial_tx_p=pads.tx.p,
            o_serial_tx_n=pads.tx.n,
            **{f"o_rx_{name}": got.payload[name] for name in ("data", "count", "last", "error")},
            o_rx_valid=got.valid,
            **{f"i_tx_{name}": sent.payload[name] for name in ("data", "count", "last", "error")},
            i_tx_valid=sent.valid,
            o_tx_ready=sent.ready,
        )
        if hasattr(pads, "tx_dis"):
            m.submodules.tx_dis = off = io.Buffer("o", pads.tx_dis)
            m.d.comb += off.o.eq(0)
        return m


PORTS = {"rgmii": RgmiiPort, "mii": MiiPort, "words": WordsPort}
