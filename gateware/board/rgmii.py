"""RGMII: four bits on both edges of a clock outside, GMII inside.

The timing of the pins is not verified: the tools have no constraint for data beside its clock. The delays that the
table of boards states are those that centre the data edge on paper.
"""

from amaranth.hdl import Cat, ClockSignal, Const, DomainRenamer, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.board.description import EthernetPort
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.mac.gmii import Gmii


class RgmiiReceive(wiring.Component):
    """Halves of a received byte to GMII, a cycle later.

    Members
    -------
    rise, fall: In(5), data in bits 3:0 and control in bit 4 at the rising edge and the falling one behind it.
    o: Out(Gmii()).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    RGMII 2.0 sections 3.2 and 3.4: the low half comes first; control is RX_DV, then RX_DV xor RX_ER.
    """

    FAULTS = {
        "halves_swapped": "the high half of a byte is taken for the low one",
        "error_plain": "the second half of control is taken for RX_ER itself",
    }
    latency_cycles = {("rise", "o", "byte"): (1, 1)}

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"rise": In(5), "fall": In(5), "o": Out(Gmii())})

    def elaborate(self, platform):
        m = Module()
        halves = (self.rise[:4], self.fall[:4])
        if "halves_swapped" in self._faults:
            halves = halves[::-1]
        error = self.fall[4] if "error_plain" in self._faults else self.rise[4] ^ self.fall[4]
        m.d.sync += [self.o.data.eq(Cat(*halves)), self.o.valid.eq(self.rise[4]), self.o.error.eq(error)]
        return m


class RgmiiTransmit(wiring.Component):
    """GMII to the halves of a byte to send, a cycle later.

    Members
    -------
    i: In(Gmii()).
    rise, fall: Out(5), data in bits 3:0 and control in bit 4.

    References
    ----------
    RGMII 2.0 sections 3.2 and 3.4.
    """

    latency_cycles = {("i", "rise", "byte"): (1, 1), ("i", "fall", "byte"): (1, 1)}

    def __init__(self):
        super().__init__({"i": In(Gmii()), "rise": Out(5), "fall": Out(5)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [
            self.rise.eq(Cat(self.i.data[:4], self.i.valid)),
            self.fall.eq(Cat(self.i.data[4:], self.i.valid ^ self.i.error)),
        ]
        return m


def pad(pads, *names):
    """The port of the first of these names that the board's definition has."""
    for name in names:
        if hasattr(pads, name):
            return getattr(pads, name)
    raise AttributeError(f"the port has none of {', '.join(names)}")


class RgmiiPins(wiring.Component):
    """The pins of one RGMII port of an ECP5, and the clock of its domain `rx`, which is the PHY's.

    The transmit clock leaves through a DDR output too, so that it is as late as the data beside it, and is delayed by
    the table's taps.

    Parameters
    ----------
    port: of the table of boards.
    pads: its pins, requested without buffers.

    Members
    -------
    gmii_rx: Out(Gmii()), in `rx`. gmii_tx: In(Gmii()), in `tx`.
    rx_clock: Out(1), for the domain `rx`.
    """

    def __init__(self, port: EthernetPort, pads):
        self._port, self._pads = port, pads
        super().__init__({"gmii_rx": Out(Gmii()), "gmii_tx": In(Gmii()), "rx_clock": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.receive = receive = DomainRenamer("rx")(RgmiiReceive())
        m.submodules.transmit = transmit = DomainRenamer("tx")(RgmiiTransmit())
        wiring.connect(m, receive.o, wiring.flipped(self.gmii_rx))
        wiring.connect(m, wiring.flipped(self.gmii_tx), transmit.i)

        m.submodules.rx_clock = clock = io.Buffer("i", self._pads.rx_clk)
        m.d.comb += self.rx_clock.eq(clock.i)
        for name, bits, port in (
            ("rx_data", slice(0, 4), self._pads.rx_data),
            ("rx_ctl", slice(4, 5), pad(self._pads, "rx_ctl", "rx_ctrl")),
        ):
            m.submodules[name] = buffer = io.Buffer("i", port)
            self._inputs(m, name, buffer.i, receive.rise[bits], receive.fall[bits])
        for name, rise, fall, port, taps in (
            ("tx_data", transmit.rise[:4], transmit.fall[:4], self._pads.tx_data, 0),
            ("tx_ctl", transmit.rise[4], transmit.fall[4], pad(self._pads, "tx_ctl", "tx_ctrl"), 0),
            ("tx_clk", Const(1, 1), Const(0, 1), self._pads.tx_clk, self._port.tx_clock_delay_taps),
        ):
            m.submodules[name] = buffer = io.Buffer("o", port)
            self._outputs(m, name, rise, fall, buffer.o, taps)
        return m

    def _inputs(self, m, name, pins, rise, fall):
        for bit in range(len(pins)):
            late = Signal(name=f"{name}_{bit}_late")
            m.submodules[f"{name}_delay_{bit}"] = _delay(pins[bit], late, self._port.rx_delay_taps)
            m.submodules[f"{name}_ddr_{bit}"] = Instance(
                "IDDRX1F",
                i_SCLK=ClockSignal("rx"),
                i_RST=Const(0),
                i_D=late,
                o_Q0=rise[bit],
                o_Q1=fall[bit],
            )

    def _outputs(self, m, name, rise, fall, pins, taps):
        for bit in range(len(pins)):
            early = Signal(name=f"{name}_{bit}_early")
            m.submodules[f"{name}_ddr_{bit}"] = Instance(
                "ODDRX1F",
                i_SCLK=ClockSignal("tx"),
                i_RST=Const(0),
                i_D0=rise[bit],
                i_D1=fall[bit],
                o_Q=early,
            )
            m.submodules[f"{name}_delay_{bit}"] = _delay(early, pins[bit], taps)


def _delay(source, sink, taps: int):
    return Instance("DELAYG", p_DEL_MODE="USER_DEFINED", p_DEL_VALUE=taps, i_A=source, o_Z=sink)
