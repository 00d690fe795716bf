"""Where the MoldUDP64 blocks of a frame begin, found at one word a cycle without moving a byte.

The loop holds one thing: in which lane of which word the low byte of the next block's length lies. What a length byte
in a lane would mean (the lane and the word distance of the length byte after it) is worked out for all eight lanes a
cycle before the loop chooses one of them, so the loop itself is a selection.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.headers import LAST_WORD, LAST_WORD_TAGGED
from tickgate.gateware.lib.lines import LINE_WORD
from tickgate.gateware.lib.logic import one_hot_mux
from tickgate.sw.spec import itch, mold

#: Lane of the first block's low length byte, without a tag and with one.
FIRST_LANE, FIRST_LANE_TAGGED = 7, 3

#: A block whose low length byte lies in a word. `next_at`: bytes from the word's lane 0 to the low length byte behind
#: the block; `next_lane` the same modulo 8, one-hot. `overrun`: it ends beyond the UDP datagram.
BLOCK = data.StructLayout({"lane": 8, "length": 16, "next_at": 17, "next_lane": 8, "short": 1, "overrun": 1})


class Blocks(wiring.Component):
    """Finds block lengths in the words of a frame.

    It runs freely: it does not know whether the frame is accepted, how many blocks the packet has or where it ends.

    Members
    -------
    word: In(LINE_WORD).
    valid: In(1), `word` is a new one.
    flush: In(1), pulse: forget the word.
    tagged: In(1), with stage 1: the frame has a tag.
    room_behind: In(17), with stage 1: bytes from the word's lane 0 to two behind the end of the UDP datagram.
    o_valid: Out(1), with stage 1: there is a word.
    o_word: Out(LINE_WORD), with stage 1: the word.
    o: Out(BLOCK), with stage 1: the block whose low length byte lies in the word.
    o_hit: Out(1), with stage 1: there is one.
    """

    def __init__(self, faults: frozenset[str] = frozenset()):
        self._faults = faults
        super().__init__(
            {
                "word": In(LINE_WORD),
                "valid": In(1),
                "flush": In(1),
                "tagged": In(1),
                "room_behind": In(17),
                "o_valid": Out(1),
                "o_word": Out(LINE_WORD),
                "o": Out(BLOCK),
                "o_hit": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        before = Signal(8)  # byte in front of the word's lane 0
        with m.If(self.valid):
            m.d.sync += [before.eq(self.word.data[56:]), self.o_word.eq(self.word)]
        m.d.sync += self.o_valid.eq(self.valid & ~self.flush)

        lengths, places, lanes, nexts, shorts = [], [], [], [], []
        stream = Cat(before, self.word.data)
        for lane in range(8):
            high, low = stream.word_select(lane, 8), stream.word_select(lane + 1, 8)
            ahead = lane + mold.BLOCK_LENGTH_SIZE
            length = Signal(16, name=f"length_{lane}")
            place = Signal(17, name=f"place_{lane}")
            next_lane = Signal(8, name=f"next_lane_{lane}")
            next_word = Signal(name=f"next_word_{lane}")
            short = Signal(name=f"short_{lane}")
            total = Cat(low, high) + ahead
            with m.If(self.valid):
                m.d.sync += [
                    length.eq(Cat(low, high)),
                    place.eq(total),
                    next_lane.eq((Const(1) << low[:3]).rotate_left(ahead % 8)),
                    next_word.eq((high == 0) & (low >= 8 - ahead if ahead < 8 else 1) & (low < 16 - ahead)),
                    short.eq((high == 0) & (low < itch.MIN_BLOCK)),
                ]
            lengths.append(length)
            places.append(place)
            lanes.append(next_lane)
            nexts.append(next_word)
            shorts.append(short)

        lane, hit, wait = Signal(8), Signal(), Signal(14)
        next_lane = one_hot_mux(lane, lanes)
        next_at = one_hot_mux(lane, places)
        distance = next_at[3:17]
        index = self.o_word.index
        tagged = Const(0, 1) if "tag_ignored" in self._faults else self.tagged
        with m.If(self.o_valid):
            m.d.sync += wait.eq(wait - 1)
            m.d.sync += hit.eq(wait == 0)
            with m.If(hit):
                m.d.sync += [lane.eq(next_lane), wait.eq(distance - 2), hit.eq(one_hot_mux(lane, nexts))]
            # The header's last word, or the one in front of it, says where the first block is.
            with m.If(index[:LAST_WORD_TAGGED].any()):
                m.d.sync += [
                    hit.eq(Mux(tagged, index[LAST_WORD_TAGGED - 1], index[LAST_WORD - 1])),
                    lane.eq(Mux(tagged, 1 << FIRST_LANE_TAGGED, 1 << FIRST_LANE)),
                ]
            with m.If(index[LAST_WORD] & ~tagged):
                m.d.sync += [lane.eq(next_lane), wait.eq(distance - 2), hit.eq(one_hot_mux(lane, nexts))]
        m.d.comb += [
            self.o_hit.eq(self.o_valid & hit),
            self.o.lane.eq(lane),
            self.o.length.eq(one_hot_mux(lane, lengths)),
            self.o.next_at.eq(next_at),
            self.o.next_lane.eq(next_lane),
            self.o.short.eq(one_hot_mux(lane, shorts)),
            # All lanes are compared while the loop chooses; the last byte lies two in front of `next_at`.
            self.o.overrun.eq(one_hot_mux(lane, [place >= self.room_behind for place in places])),
        ]
        return m
