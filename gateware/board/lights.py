"""What the lights of a board say."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.board.description import LedMeaning
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import STATUS

#: How long a flash lasts, so that one is seen, and the dark behind it, so that two are told apart.
FLASH_MS, DARK_MS = 60, 40


class Lights(wiring.Component):
    """Levels and flashes for lights, by their meanings.

    Parameters
    ----------
    meanings: of each light.
    clock_hz: of `sync`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    status: In(STATUS).
    link: In(2), of the ports.
    o: Out(n), 1 is lit.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "kill_and_armed_swapped": "the light of the kill switch is that of arming",
        "no_dark": "flashes that follow each other are one",
    }

    def __init__(self, meanings: tuple[LedMeaning, ...], *, clock_hz: int, faults: frozenset[str] = frozenset()):
        self._meanings, self._hz = tuple(meanings), clock_hz
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"status": In(STATUS), "link": In(2), "o": Out(max(1, len(self._meanings)))})

    def elaborate(self, platform):
        m = Module()
        # The lights are at the edge of the device, and what they show is not: a register on the way.
        status, seen = Signal.like(self.status, name="status_here"), []
        m.d.sync += status.eq(self.status)
        armed = status.armed if "kill_and_armed_swapped" not in self._faults else ~status.armed
        for number, meaning in enumerate(self._meanings):
            if meaning is LedMeaning.ALIVE:
                half = self._hz // 2
                timer, lit = Signal(range(half)), Signal(name=f"alive_{number}")
                m.d.sync += timer.eq(timer + 1)
                with m.If(timer == half - 1):
                    m.d.sync += [timer.eq(0), lit.eq(~lit)]
            elif meaning in (LedMeaning.ACTIVITY, LedMeaning.ORDER):
                lit = self._flash(m, status.message if meaning is LedMeaning.ACTIVITY else status.order)
            else:
                lit = {
                    LedMeaning.LINK: self.link[0],
                    LedMeaning.LINK_1: self.link[1],
                    LedMeaning.BOOK_VALID: status.book_valid,
                    LedMeaning.ARMED: armed,
                    LedMeaning.KILLED: ~armed,
                    LedMeaning.SESSION: status.session_open,
                }[meaning]
            seen.append(lit)
        m.d.sync += self.o.eq(Cat(*seen) if seen else Const(0))
        return m

    def _flash(self, m, pulse):
        flash = self._hz * FLASH_MS // 1000
        dark = self._hz * DARK_MS // 1000 if "no_dark" not in self._faults else 0
        left, lit = Signal(range(flash + dark + 1)), Signal()
        m.d.sync += lit.eq(left > dark)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Elif(pulse):
            m.d.sync += left.eq(flash + dark)
        return lit


def connect_leds(m, leds, values, platform):
    """Values to the lights of the table, several of which may be parts of one resource; parts without one stay dark."""
    requested: dict[tuple[str, int], Any] = {}
    for led in leds:
        requested.setdefault((led.resource, led.number), {})[led.part] = values[leds.index(led)]
    for (resource, number), parts in requested.items():
        pins = platform.request(resource, number, dir="-")
        if "" in parts:
            buffers = {"": pins}
        else:
            buffers = {part: getattr(pins, part) for part in ("r", "g", "b")}
        for part, port in buffers.items():
            name = f"led_{resource}_{number}" + (f"_{part}" if part else "")
            m.submodules[name] = buffer = io.Buffer("o", port)
            m.d.comb += buffer.o.eq(parts.get(part, Const(0)))
