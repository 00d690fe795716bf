"""One physical port for several senders."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import FRAME, elastic, flow
from tickgate.sw.spec.control import FRAME_SIZE_MAX
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.units import WORD_BYTES

#: Senders of a port, the most urgent one first: orders of the device, frames of the host to their port, copies of what
#: left there, answers, telemetry, and what came there for nobody.
PRIORITY = ("orders", "inject", "copy", "control", "telemetry", "punt")
#: Words that a frame of any but the first may have on a port that orders leave on.
LIMIT_WORDS = FRAME_SIZE_MAX // WORD_BYTES
#: Words of copies that may wait: a block RAM's. The longest frame before them has 190 words and takes the time of 193
#: with preamble, FCS and gap. In that time come at most 193 x 16/19 = 163 words of orders, 16 words and 3 for what is
#: between them each, and one frame more that began before. Copies then go before all else, as fast as they come.
COPY_WORDS = 512


class PortArbiter(wiring.Component):
    """Whole frames of several senders to one port, a cycle later; the most urgent sender that has a frame begins next.

    A frame that began is finished first. Where `limited`, a frame of any but the first sender is cut at `LIMIT_WORDS`:
    it leaves with `error`, its rest is swallowed, and `cut` tells.

    Parameters
    ----------
    sources: names of the senders, the most urgent one first.
    limited: whether long frames are cut, for the sake of the first sender.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i_<source>: In(elastic(FRAME_WORD)).
    o: Out(elastic(FRAME_WORD)).
    cut: Out(1), pulse.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`; no source.
    """

    FAULTS = {
        "least_urgent_first": "the order of the senders is turned round",
        "switches_inside": "a more urgent frame breaks into one that is leaving",
        "limit_ignored": "long frames are not cut",
        "cut_in_silence": "what is cut leaves without an error",
    }
    latency_cycles = {("i_<source>", "o", "idle"): (1, 1)}

    def __init__(self, sources: tuple[str, ...], *, limited: bool = True, faults: frozenset[str] = frozenset()):
        if not sources:
            raise ValueError("a port has one sender at least")
        self._sources, self._limited = tuple(sources), limited
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                **{f"i_{name}": In(elastic(FRAME_WORD)) for name in self._sources},
                "o": Out(elastic(FRAME_WORD)),
                "cut": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inputs = [getattr(self, f"i_{name}") for name in self._sources]
        first, others = inputs[0], inputs[1:]
        free = Signal()
        m.d.comb += free.eq(~self.o.valid | self.o.ready)
        # The first sender may withdraw its offer late in the cycle. So nothing but who moves looks at that: words wait
        # in a register for the first one and one for all others, and which of them leaves is told behind these.
        inside, held = Signal(), Signal()  # a frame of the first sender is leaving; one of the others
        keeps = Signal()
        m.d.comb += [keeps.eq(held), first.ready.eq(free & ~keeps)]
        moves, word = Signal(), Signal(FRAME, reset_less=True)
        m.d.comb += moves.eq(first.valid & first.ready)
        with m.If(free):
            m.d.sync += [word.eq(first.payload), self.o.valid.eq(moves)]
        with m.If(moves):
            m.d.sync += inside.eq(~first.payload.last)
        m.d.comb += self.o.payload.eq(word)
        if others:
            self._others(m, first, others, free=free, inside=inside, held=held, keeps=keeps, moves=moves, word=word)
        return m

    def _others(self, m, first, others, *, free, inside, held, keeps, moves, word):
        """Senders behind the first one, which take a turn where that offers nothing and is in no frame."""
        count = len(others)
        owner, best, chosen = (Signal(range(max(count, 2)), name=name) for name in ("owner", "best", "chosen"))
        skips = Signal(count)  # the rest of a frame that was cut
        offers = Cat(i.valid for i in others) & ~skips
        turned = "least_urgent_first" in self._faults
        for number in range(count) if turned else reversed(range(count)):
            with m.If(offers[number]):
                m.d.comb += best.eq(number)
        offered, may = Signal(), Signal()
        m.d.comb += [
            chosen.eq(Mux(keeps, owner, best)),
            offered.eq(offers.bit_select(chosen, 1)),
            may.eq(free & (keeps | ~(inside | first.valid))),
        ]
        if turned:
            m.d.comb += [first.ready.eq(free & ~keeps & (inside | ~offers.any())), may.eq(free & (keeps | ~inside))]
        if "switches_inside" in self._faults:
            m.d.comb += keeps.eq(held & offers.bit_select(owner, 1) & ~first.valid)

        at = Signal(range(LIMIT_WORDS + 1))  # the word's number in a frame that began
        too_long, ends = Signal(), Signal()
        came, kept = Signal(FRAME), Signal(FRAME, reset_less=True)
        m.d.comb += came.eq(Array(i.payload.as_value() for i in others)[chosen])
        if self._limited and "limit_ignored" not in self._faults:
            m.d.comb += too_long.eq(keeps & (at == LIMIT_WORDS - 1) & ~came.last)
        m.d.comb += ends.eq(came.last | too_long)
        others_move, cuts, of_first = Signal(), Signal(), Signal()
        m.d.comb += [others_move.eq(offered & may), cuts.eq(offered & free & too_long)]
        m.d.sync += self.cut.eq(cuts)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(moves | others_move), of_first.eq(moves), kept.eq(came), kept.last.eq(ends)]
            if "cut_in_silence" not in self._faults:
                m.d.sync += kept.error.eq(came.error | too_long)
        m.d.comb += self.o.payload.eq(Mux(of_first, word.as_value(), kept.as_value()))
        m.d.sync += owner.eq(chosen)
        with m.If(others_move):
            m.d.sync += held.eq(~ends)
        with m.If(~keeps):
            m.d.sync += at.eq(1)
        with m.Elif(offered & free & (at != LIMIT_WORDS)):
            m.d.sync += at.eq(at + 1)
        for number, source in enumerate(others):
            m.d.comb += source.ready.eq(skips[number] | may & (chosen == number))
            with m.If(skips[number] & source.valid & source.payload.last):
                m.d.sync += skips[number].eq(0)
            with m.If(cuts & (chosen == number)):
                m.d.sync += skips[number].eq(1)


class CopyStore(wiring.Component):
    """Frames that cannot wait, kept for a port that may be busy. One that finds no room is dropped whole and told.

    Where frames leave as fast as they come, none is lost at the depth of `COPY_WORDS`.

    Parameters
    ----------
    depth: words, more than `LIMIT_WORDS`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(flow(FRAME_WORD)), frames of up to `LIMIT_WORDS` words.
    o: Out(elastic(FRAME_WORD)).
    lost: Out(1), pulse for each frame.
    """

    FAULTS = {"torn": "a frame that finds room for its beginning only is stored in part"}

    def __init__(self, depth: int = COPY_WORDS, *, faults: frozenset[str] = frozenset()):
        if depth <= LIMIT_WORDS:
            raise ValueError(f"depth must be more than {LIMIT_WORDS}, not {depth}")
        self._depth, self._faults = depth, checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(flow(FRAME_WORD)), "o": Out(elastic(FRAME_WORD)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=FRAME.size, depth=self._depth)
        inside, drops = Signal(), Signal()
        room = fifo.w_level <= self._depth - LIMIT_WORDS
        if "torn" in self._faults:
            room = Const(1)
        takes = Mux(inside, ~drops, room)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid & takes),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        m.d.sync += self.lost.eq(self.i.valid & ~inside & ~takes)
        with m.If(self.i.valid):
            m.d.sync += [inside.eq(~self.i.payload.last), drops.eq(~takes)]
        return m
