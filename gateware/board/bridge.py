"""Frames from one port to another: what no role of the device claims."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from tickgate.gateware.board.filter import Destination, FrameFilter
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import FRAME, elastic, flow
from tickgate.sw.spec.control import ETHERTYPE
from tickgate.sw.spec.events import FRAME_WORD


class FrameQueue(wiring.Component):
    """Keeps whole good frames for a port that may be busy; what is bad or finds no room is dropped whole.

    A frame leaves when its last word has come, a word a cycle where `o` is not held up.

    Parameters
    ----------
    depth: words of memory, a power of two; one of them stays free.
    words_max: of a frame; longer ones are dropped. None takes any that fit.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(flow(FRAME_WORD)).
    o: Out(elastic(FRAME_WORD)); `error` is never set.
    lost: Out(1), pulse for each frame that was too long or found no room, and was not bad.

    Raises
    ------
    ValueError: a depth that is no power of two; a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "bad_kept": "frames with an error leave too",
        "torn": "a frame that finds room for its beginning only is stored in part",
        "long_kept": "frames longer than may be leave too",
        "leaves_early": "a frame leaves before its last word has come",
    }
    #: From a frame's last word to its first one.
    latency_cycles = {("i", "o", "idle"): (3, 3)}

    def __init__(self, *, depth: int = 512, words_max: int | None = None, faults: frozenset[str] = frozenset()):
        if depth < 2 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, not {depth}")
        self._depth, self._words_max = depth, words_max
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(flow(FRAME_WORD)), "o": Out(elastic(FRAME_WORD)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=FRAME, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        bits = range(self._depth)
        put, good, take = Signal(bits), Signal(bits), Signal(bits)
        behind = Signal(bits)
        word, drops, fits = self.i.payload, Signal(), Const(1)
        if self._words_max is not None and "long_kept" not in self._faults:
            at = Signal(range(self._words_max + 1))  # words of the frame so far
            with m.If(self.i.valid):
                m.d.sync += at.eq(Mux(word.last, 0, Mux(at == self._words_max, at, at + 1)))
            fits = at != self._words_max
        takes = ~drops & fits & (behind != take)
        m.d.comb += [
            behind.eq(put + 1),
            write.addr.eq(put),
            write.data.eq(word),
            write.en.eq(self.i.valid & takes),
        ]
        bad = word.error if "bad_kept" not in self._faults else Const(0)
        m.d.sync += self.lost.eq(self.i.valid & word.last & ~takes & ~bad)
        with m.If(self.i.valid):
            m.d.sync += drops.eq(~takes & ~word.last)
            with m.If(takes):
                m.d.sync += put.eq(behind)
            with m.If(word.last):
                with m.If(takes & ~bad):
                    m.d.sync += good.eq(behind)
                with m.Elif(1 if "torn" not in self._faults else bad):
                    m.d.sync += put.eq(good)
                with m.Else():
                    m.d.sync += good.eq(put)

        # The memory's output is slow: a register stands behind it.
        fetched = Signal()
        waits = take != (put if "leaves_early" in self._faults else good)
        moves, fetches = Signal(), Signal()
        m.d.comb += [
            moves.eq(~self.o.valid | self.o.ready),
            fetches.eq(~fetched | moves),
            read.addr.eq(take),
            read.en.eq(fetches),
        ]
        with m.If(fetches):
            m.d.sync += [fetched.eq(waits), take.eq(take + waits)]
        with m.If(moves):
            m.d.sync += [self.o.valid.eq(fetched), self.o.payload.eq(read.data)]
            if "bad_kept" not in self._faults:
                m.d.sync += self.o.payload.error.eq(0)
        return m


class Bridge(wiring.Component):
    """One direction between the order port and the host's: frames that are neither a feed's nor the device's.

    Those are the whole and good ones to a unicast or the broadcast address whose EtherType is not the device's own.
    Multicast is the feed's.

    Parameters
    ----------
    words_max: of a frame; longer ones are dropped. None takes any that fit `FrameQueue`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(flow(FRAME_WORD)), at least one idle cycle between frames.
    o: Out(elastic(FRAME_WORD)); `error` is never set.
    lost: Out(1), pulse for each frame that was too long or found no room, and was not bad.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = FrameQueue.FAULTS | {
        "multicast_passed": "multicast frames pass too",
        "own_type_passed": "frames of the device's own EtherType pass too",
    }
    #: From a frame's last word to its first one.
    latency_cycles = {
        ("i", "o", "idle"): (
            FrameFilter.latency_cycles["i", "o", "last"][0] + FrameQueue.latency_cycles["i", "o", "idle"][0],
        )
        * 2
    }

    def __init__(self, *, words_max: int | None = None, faults: frozenset[str] = frozenset()):
        self._words_max, self._faults = words_max, checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(flow(FRAME_WORD)), "o": Out(elastic(FRAME_WORD)), "lost": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.filter = only = FrameFilter(
            *(() if "own_type_passed" in self._faults else (ETHERTYPE,)),
            others=True,
            destination=Destination.ANY if "multicast_passed" in self._faults else Destination.NODE,
        )
        m.submodules.queue = queue = FrameQueue(
            words_max=self._words_max, faults=self._faults & frozenset(FrameQueue.FAULTS)
        )
        connect(m, flipped(self.i), only.i)
        connect(m, only.o, queue.i)
        connect(m, queue.o, flipped(self.o))
        m.d.comb += self.lost.eq(queue.lost)
        return m
