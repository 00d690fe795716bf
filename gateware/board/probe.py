"""The design for a board without Ethernet: stages behind the UART, as `tickgate.sw.spec.probe` describes it."""

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.board.clocks import Clocks, add_domains
from tickgate.gateware.board.description import Described
from tickgate.gateware.board.lights import Lights, connect_leds
from tickgate.gateware.board.uart import bit_cycles, connect_uart
from tickgate.gateware.itch import Itch
from tickgate.gateware.lib.checks import CHECKS
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.risk import Risk
from tickgate.sw.spec import probe
from tickgate.sw.spec.sizes import Sizes

#: Words of the parser's buffer: the host sends far slower than the parser takes.
BUFFER_DEPTH = 4


class Probe(wiring.Component):
    """Stages between bytes that come and bytes that leave; they do not know of each other.

    Parameters
    ----------
    stages: `itch`, `risk` or both.
    sizes: `slots` is used.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(stream), bytes from the host.
    o: Out(stream), bytes to the host.
    used: Out(1), pulse: a payload reached the stage.

    Raises
    ------
    ValueError: another stage, or none; a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "byte_order": "the bytes of a payload are taken in reverse",
        "slot_dropped": "the slot of a row is always 0",
        "last_byte_lost": "the last byte of an answer is not sent",
    }

    def __init__(self, stages: tuple[str, ...], sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        if not stages or set(stages) - {"itch", "risk"}:
            raise ValueError(f"the stages of a probe are itch, risk or both, not {', '.join(stages) or 'none'}")
        self._stages, self._sizes, self._faults = tuple(stages), sizes, checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "o": Out(stream.Signature(8)),
                "used": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inputs = [p for p in probe.PORTS if p.stage in self._stages and not p.out]
        longest = max(port.size for port in inputs)
        shift, left = Signal(8 * longest), Signal(range(longest + 1))
        number, fire, strange = Signal(3), Signal(), Signal()
        m.d.sync += fire.eq(0)
        m.d.comb += self.used.eq(fire)
        with m.If(self.i.valid):
            with m.If(left == 0):
                m.d.sync += number.eq(self.i.payload)
                with m.Switch(self.i.payload):
                    for port in inputs:
                        with m.Case(port.number):
                            m.d.sync += left.eq(port.size)
                    with m.Default():
                        m.d.sync += strange.eq(1)
            with m.Else():
                order = (shift[8:], self.i.payload) if "byte_order" not in self._faults else (self.i.payload, shift)
                m.d.sync += [shift.eq(Cat(*order)), left.eq(left - 1), fire.eq(left == 1)]

        def payload(port):
            """The fields of a port, the slot in front of a row, and whether they are there."""
            bits = shift[8 * (longest - port.size) :]
            slot = bits[:7] if port.row and "slot_dropped" not in self._faults else Const(0, 7)
            values, at = {}, 8 * int(port.row)
            for f in port.record.fields:
                if f.name in port.fields:
                    values[f.name] = bits[at : at + f.bits]
                    at += f.bits
            return values, slot, fire & (number == port.number)

        answers = []
        for stage in self._stages:
            made = self._itch if stage == "itch" else self._risk
            values, valid, taken = made(m, [p for p in inputs if p.stage == stage], payload)
            (port,) = [p for p in probe.PORTS if p.stage == stage and p.out]
            flat = Cat(values[f.name] for f in port.record.fields if f.name in port.fields)
            parts = [Const(port.number, 8), *(flat[at : at + 8] for at in range(0, len(flat), 8))]
            answers.append((parts, valid, taken))
        self._answer(m, answers, strange)
        return m

    def _itch(self, m, inputs, payload):
        m.submodules.itch = itch = Itch(self._sizes, depth=BUFFER_DEPTH)
        for port in inputs:
            values, slot, valid = payload(port)
            if port.row:
                _row(m, itch.cfg_symbol, values, slot, valid)
            else:
                _flow(m, itch.i, values, valid)
        return itch.o.payload, itch.o.valid, itch.o.ready

    def _risk(self, m, inputs, payload):
        m.submodules.risk = risk = Risk(self._sizes, checks={reason: CHECKS[reason] for reason in probe.CHECKS})
        levels = {"kill": Signal(init=1), "session_ok": Signal()}
        for port in inputs:
            values, slot, valid = payload(port)
            if port.name == "levels":
                with m.If(valid):
                    m.d.sync += [level.eq(values[name]) for name, level in levels.items()]
            elif port.row:
                _row(m, getattr(risk, f"cfg_{port.name}"), values, slot, valid)
            else:
                _flow(m, {"update": risk.i_book, "intent": risk.i_intents}[port.name], values, valid)
        m.d.comb += [risk.kill.eq(levels["kill"]), risk.session_ok.eq(levels["session_ok"]), risk.o.ready.eq(1)]
        # One verdict at a time; it stays until it is sent.
        kept, waits, taken = Signal.like(risk.trace.payload), Signal(), Signal()
        with m.If(taken):
            m.d.sync += waits.eq(0)
        with m.If(risk.trace.valid):
            m.d.sync += [kept.eq(risk.trace.payload), waits.eq(1)]
        return kept, waits, taken

    def _answer(self, m, answers, strange):
        """Byte by byte, while the stage keeps it: a port's number and its fields."""
        at = Signal(range(max(len(parts) for parts, _, _ in answers)))
        which, ends = Signal(range(max(len(answers), 2))), Signal()
        waiting = Cat(valid for _, valid, _ in answers)
        starts = at == 0
        refuses = strange & starts
        chosen = Signal.like(which)
        m.d.comb += chosen.eq(Mux(starts, ~waiting[0], which))
        m.d.comb += [
            self.o.valid.eq(refuses | waiting.any()),
            self.o.payload.eq(Mux(refuses, probe.REFUSED, Array(Array(parts)[at] for parts, _, _ in answers)[chosen])),
        ]
        lasts = [len(parts) - 1 - ("last_byte_lost" in self._faults) for parts, _, _ in answers]
        m.d.comb += ends.eq(at == Array(Const(last, len(at)) for last in lasts)[chosen])
        with m.If(self.o.valid & self.o.ready):
            with m.If(refuses):
                m.d.sync += strange.eq(0)
            with m.Else():
                m.d.sync += [which.eq(chosen), at.eq(Mux(ends, 0, at + 1))]
                for number, (_, _, taken) in enumerate(answers):
                    m.d.comb += taken.eq(ends & (chosen == number))


def _row(m, port, values, slot, valid):
    m.d.comb += [port.select.eq(slot), port.commit.eq(valid)]
    m.d.comb += [port.row[name].eq(value) for name, value in values.items()]


def _flow(m, port, values, valid):
    m.d.comb += port.valid.eq(valid)
    m.d.comb += [port.payload[name].eq(value) for name, value in values.items()]


class ProbeTop(Elaboratable):
    """The probe on a board.

    Parameters
    ----------
    board: its description, see `tickgate.hw.boards.Board`.
    """

    def __init__(self, board: Described):
        self._board = board

    def elaborate(self, platform):
        m, board = Module(), self._board
        add_domains(m, ("boot", "sync"))
        m.submodules.clocks = Clocks(
            family=board.part.family,
            oscillator=board.oscillator,
            oscillator_hz=board.oscillator_hz,
            core_hz=board.core_hz,
            gigabit=False,
        )
        m.submodules.device = device = Probe(board.probe, board.sizes)
        connect_uart(m, device, bit_cycles(board.core_hz, board.uart_baud), platform)
        m.submodules.lights = lights = Lights(tuple(led.meaning for led in board.leds), clock_hz=board.core_hz)
        m.d.comb += lights.status.message.eq(device.used)
        connect_leds(m, board.leds, lights.o, platform)
        return m
