"""A UART: bytes with one start bit, one stop bit and no parity."""

from amaranth.hdl import Cat, Const, DomainRenamer, Module, Signal
from amaranth.lib import io, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out, connect

#: Largest error of the bit time that two ends of a frame of ten bits may have together, in parts of a bit time: half a
#: bit over nine and a half bits is 5 %, of which each end gets some.
BAUD_ERROR_MAX = 0.02


def bit_cycles(clock_hz: int, baud: int) -> int:
    """Cycles of a bit.

    Raises
    ------
    ValueError: the clock makes this rate with an error above `BAUD_ERROR_MAX`, or with fewer than 4 cycles a bit.
    """
    cycles = round(clock_hz / baud)
    if cycles < 4 or abs(clock_hz / cycles / baud - 1) > BAUD_ERROR_MAX:
        raise ValueError(f"{clock_hz} Hz does not make {baud} baud")
    return cycles


class UartReceiver(wiring.Component):
    """Bytes from a line, each sampled in the middle of its bits; one whose stop bit is not there is dropped.

    Parameters
    ----------
    cycles: of a bit, 4 or more.

    Members
    -------
    rx: In(1), the line, of any domain.
    o: Out(stream), a byte, valid for one cycle.
    """

    def __init__(self, cycles: int):
        self._cycles = cycles
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.line = FFSynchronizer(self.rx, line, init=1)
        timer, left = Signal(range(self._cycles)), Signal(range(11))
        shift = Signal(8)
        m.d.comb += self.o.payload.eq(shift)  # which stays for at least a bit time
        m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~line):
                m.d.sync += [left.eq(10), timer.eq(self._cycles // 2)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._cycles - 1), left.eq(left - 1)]
            with m.If((left == 10) & line):  # no start bit, a glitch
                m.d.sync += left.eq(0)
            with m.Elif(left == 1):
                m.d.sync += self.o.valid.eq(line)
            with m.Else():
                m.d.sync += shift.eq(Cat(shift[1:], line))
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line.

    Parameters
    ----------
    cycles: of a bit.

    Members
    -------
    i: In(stream), bytes.
    tx: Out(1), the line.
    """

    def __init__(self, cycles: int):
        self._cycles = cycles
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer, left = Signal(range(self._cycles)), Signal(range(12))
        shift = Signal(10)
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(left == 0):
            m.d.sync += self.tx.eq(1)
            with m.If(self.i.valid):
                m.d.sync += [shift.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))), left.eq(11), timer.eq(0)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            # The eleventh step only ends the stop bit.
            m.d.sync += [self.tx.eq(shift[0]), shift.eq(Cat(shift[1:], Const(1, 1)))]
            m.d.sync += [timer.eq(self._cycles - 1), left.eq(left - 1)]
        return m


def connect_uart(m, component, cycles, platform, domain="sync"):
    """The UART of the board around a component that takes bytes at `i` and gives them at `o`.

    Parameters
    ----------
    cycles: of a bit, see `bit_cycles`.
    domain: that `component` is in.
    """
    pins = platform.request("uart", 0, dir="-")
    receiver, transmitter = UartReceiver(cycles), UartTransmitter(cycles)
    m.submodules.uart_rx = DomainRenamer(domain)(receiver)
    m.submodules.uart_tx = DomainRenamer(domain)(transmitter)
    m.submodules.uart_rx_pin = rx = io.Buffer("i", pins.rx)
    m.submodules.uart_tx_pin = tx = io.Buffer("o", pins.tx)
    m.d.comb += [receiver.rx.eq(rx.i), tx.o.eq(transmitter.tx)]
    connect(m, receiver.o, component.i)
    connect(m, component.o, transmitter.i)
