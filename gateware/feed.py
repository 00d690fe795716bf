"""Stage `feed`: from the frames of two lines to the messages of one MoldUDP64 session, each exactly once, in order."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.blocks import BLOCK, Blocks
from tickgate.gateware.lib.counting import COUNT_STEP_MAX, LEAPING, counter
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.headers import CAUSES, Headers
from tickgate.gateware.lib.layouts import RowPort, counters, flow, layout
from tickgate.gateware.lib.lines import LINE_WORD, LineMerge
from tickgate.gateware.lib.logic import encoded
from tickgate.sw.spec import mold
from tickgate.sw.spec.events import FEED_TRACE, FEED_WORD, FRAME_WORD, FeedItem, Notice
from tickgate.sw.spec.rows import FEED_ROW, MARK_ROW
from tickgate.sw.spec.state import Drop

#: Registers from a word's input to its output.
LATENCY_CYCLES = 4
#: From the last word of a frame with an error until that is told, and from a frame's first word until its number is:
#: behind the verdict on the frame before, however close that was.
VERDICT_CYCLES = LATENCY_CYCLES + 1
FRAME_CYCLES = VERDICT_CYCLES + 1

_COUNTED_DROPS = (*(d for d in Drop if d <= Drop.DUPLICATE), Drop.ERROR_FRAME, Drop.LINE_BUSY)


def _kept(m, name, pulse, amount):
    """Registers of a pulse and, where it varies, of how much it counts."""
    pulsed = Signal(name=name)
    m.d.sync += pulsed.eq(pulse)
    if isinstance(amount, int):
        return pulsed, amount
    by = Signal(Shape.cast(Value.cast(amount).shape()), name=f"{name}_by")
    m.d.sync += by.eq(amount)
    return pulsed, by


class Feed(wiring.Component):
    """Takes MoldUDP64 packets out of frames and delivers their new messages, cut-through, at line rate.

    A word leaves `LATENCY_CYCLES` after it came, always; nothing is stored and nothing can be held up. Where it holds
    bytes of a message it is marked with the message's start and end. A message whose frame ends before it does has a
    start and no end. Frames are judged as `tickgate.sw.spec.state.Drop` says, each of the two lines on its own; a
    frame that begins while the other line is in one is dropped (`LINE_BUSY`).

    A committed feed row starts a new session: frames in progress are dropped without a cause, then the notice
    NEW_SESSION leaves. A committed mark row counts from the next packet header on.

    What the notice FCS tells in its place among the messages, `frame_bad` tells ahead of them: an order may be on its
    way that a message of the frame decided. Such a message has a stamp of `frame_stamp` or later.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i_a: In(flow(FRAME_WORD)), line A.
    i_b: In(flow(FRAME_WORD)), line B.
    cfg_feed: In(RowPort(FEED_ROW)).
    cfg_mark: In(RowPort(MARK_ROW)).
    o: Out(flow(FEED_WORD)).
    frame_stamp: Out(64), core cycle in which the first word of the frame that was begun last was valid at the input.
    frame_begins: Out(1), pulse: `frame_stamp` is another one from this cycle on.
    frame_bad: Out(1), pulse: the frame of `frame_stamp`, of which a message was delivered, ended with `error`.
    mark_pending: Out(1), a mark was committed and its sequence number has not come.
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(FEED_TRACE)), with the word, or one cycle later where two records fall together.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    MoldUDP64 1.00; RFC 768; RFC 791 section 3.1; IEEE 802.1Q clause 9.
    """

    COUNTERS = (
        *(f"drop_{d.name.lower()}" for d in _COUNTED_DROPS),
        "frames",
        "messages",
        "gaps",
        "gap_messages",
        "heartbeats",
        "session_ends",
        "marks_missed",
    )
    FAULTS = {
        "wrong_lane": "a message that begins in lane 0 is said to begin in lane 1",
        "checksum_carry_lost": "the carries of the IPv4 checksum are not added back",
        "tag_ignored": "blocks of a tagged frame are looked for where an untagged frame has them",
        "overlap_off_by_one": "the first new message of an overlapping packet is dropped too",
        "sequence_carry_lost": "the expected sequence number has no carry into bit 14: shows after 16,384 messages",
        "gap_silent": "a heartbeat ahead of the expected number is not told as a gap",
        "padding_counts": "a block may reach past the UDP length by up to 8 bytes",
        "end_ungated": "a message is delivered although its last byte is missing",
        "fcs_silent": "an error on the last word of a used frame is not told",
        "verdict_silent": "it is told as a notice only",
        "frame_kept": "the number of the first frame is told of all others",
        "line_b_cuts_in": "a frame of line B is taken although line A is in a frame",
    }
    unused_inputs = ("cfg_feed__select", "cfg_mark__select")  # one row each
    #: From the word that holds a byte, ends a message, completes a header that shows a gap (in a tagged frame told one
    #: cycle sooner, because the first message begins in that same word), or ends a frame with an error.
    latency_cycles = {
        (line, sink, what): bounds
        for line in ("i_a", "i_b")
        for sink, what, bounds in (
            ("o", "word", (LATENCY_CYCLES, LATENCY_CYCLES)),
            ("o", "gap", (LATENCY_CYCLES - 1, LATENCY_CYCLES)),
            ("o", "fcs", (LATENCY_CYCLES + 1, LATENCY_CYCLES + 1)),
            ("trace", "message", (LATENCY_CYCLES, LATENCY_CYCLES + 1)),
            ("trace", "gap", (LATENCY_CYCLES - 1, LATENCY_CYCLES)),
            ("trace", "fcs", (LATENCY_CYCLES + 1, LATENCY_CYCLES + 1)),
            ("frame_bad", "fcs", (VERDICT_CYCLES, VERDICT_CYCLES)),
            ("frame_begins", "frame", (FRAME_CYCLES, FRAME_CYCLES)),
        )
    }

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "now": In(64),
                "i_a": In(flow(FRAME_WORD)),
                "i_b": In(flow(FRAME_WORD)),
                "cfg_feed": In(RowPort(FEED_ROW)),
                "cfg_mark": In(RowPort(MARK_ROW)),
                "o": Out(flow(FEED_WORD)),
                "frame_stamp": Out(64),
                "frame_begins": Out(1),
                "frame_bad": Out(1),
                "mark_pending": Out(1),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(FEED_TRACE)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = Signal(layout(FEED_ROW))
        flush = self.cfg_feed.commit
        with m.If(flush):
            m.d.sync += row.eq(self.cfg_feed.row)

        # Stage 1: one line's word. Stage 2: its block lengths and header fields. Stage 3: its marks. Stage 4: output.
        m.submodules.lines = lines = LineMerge()
        m.submodules.headers = headers = Headers(self._faults)
        m.submodules.blocks = blocks = Blocks(self._faults)
        m.d.comb += [
            lines.now.eq(self.now),
            lines.flush.eq(flush),
            headers.word.eq(lines.o),
            headers.valid.eq(lines.o_valid),
            headers.row.eq(row),
            blocks.word.eq(lines.o),
            blocks.valid.eq(lines.o_valid),
            blocks.flush.eq(flush),
            blocks.tagged.eq(headers.tagged),
            blocks.room_behind.eq(headers.room_behind),
        ]
        wiring.connect(m, wiring.flipped(self.i_a), lines.i_a)
        wiring.connect(m, wiring.flipped(self.i_b), lines.i_b)
        if "line_b_cuts_in" in self._faults:
            with m.If(self.i_b.valid):
                m.d.comb += lines.i_a.valid.eq(0)

        s = SimpleNamespace(
            valid=Signal(),
            word=Signal(LINE_WORD),
            hit=Signal(),  # a block's low length byte is in the word
            first_here=Signal(),  # and so is the byte behind it
            block=Signal(BLOCK),
            flush=flush,
        )
        lane, mask = blocks.o.lane, blocks.o_word.mask
        m.d.sync += [s.valid.eq(blocks.o_valid & ~flush), s.hit.eq(blocks.o_hit & (lane & mask).any() & ~flush)]
        with m.If(blocks.o_valid):
            m.d.sync += [s.word.eq(blocks.o_word), s.block.eq(blocks.o)]
            m.d.sync += s.first_here.eq((lane[:7] & mask[1:]).any())

        events: list[tuple[str, Value, Value | int]] = [
            ("frames", lines.began.any(), lines.began),
            ("drop_line_busy", lines.busy.any(), lines.busy),
        ]
        packet = self._packet(m, s, headers, blocks.o_valid, blocks.o_valid & blocks.o_word.index[7], events)
        marks = self._blocks(m, s, packet, events)
        notice = self._sequence(m, s, packet, marks, events)
        self._output(m, s, marks, notice)
        self._verdict(m, lines, notice)
        self._trace(m, s, marks, notice)
        for name in self.COUNTERS:
            value = counter(m, self.counters, name)
            found = [(pulse, amount) for counted, pulse, amount in events if counted == name]
            varies = any(not isinstance(by, int) or by != 1 for _, by in found)
            if name not in LEAPING and (varies or len(found) > COUNT_STEP_MAX):
                raise ValueError(f"{name} may grow by more than {COUNT_STEP_MAX} in a cycle")
            for at, (pulse, amount) in enumerate(found):
                found[at] = _kept(m, f"{name}_pulse_{at}", pulse, amount)
            if len(found) > 1:  # gathered before they are counted
                if varies:
                    raise ValueError(f"{name} has several causes, which must count one each")
                pulses = [pulsed for pulsed, _ in found]
                found = [_kept(m, f"{name}_pulse", Cat(pulses).any(), sum(pulses))]
            for pulsed, by in found:
                with m.If(pulsed):
                    m.d.sync += value.eq(value + by)
        return m

    def _packet(self, m, s, headers, arrived, seq_whole, events):
        """Whether the frame is accepted and what its packet's header says, while its last word is in stage 2."""
        whole_plain, whole_tagged = headers.whole_plain, headers.whole_tagged
        whole = whole_plain | whole_tagged
        good = headers.good
        heartbeat = headers.count == mold.HEARTBEAT
        ends = headers.count == mold.END_OF_SESSION
        has_blocks = whole & good & ~heartbeat & ~ends

        accepted, seen, plain = Signal(), Signal(), Signal()  # with stage 3
        left = Signal(16)  # blocks still to come
        room = Signal(signed(18))  # bytes from the word's lane 0 to the end of the UDP datagram
        last = s.valid & s.word.last
        m.d.sync += plain.eq(whole_plain)
        with m.If(arrived):
            m.d.sync += room.eq(headers.room)
        with m.If(last):
            m.d.sync += [accepted.eq(0), seen.eq(0)]
        with m.If(whole):
            m.d.sync += [
                left.eq(headers.count),
                accepted.eq(good),
                seen.eq(1),
            ]
        with m.If(s.flush):
            m.d.sync += [accepted.eq(0), seen.eq(0)]

        events.append(("drop_runt", last & ~seen, 1))
        earlier = Const(0, 1)
        for number, cause in enumerate(CAUSES):
            events.append((f"drop_{cause.name.lower()}", whole & headers.bad[number] & ~earlier, 1))
            earlier = earlier | headers.bad[number]
        events += [
            ("heartbeats", whole & good & heartbeat, 1),
            ("session_ends", whole & good & ends, 1),
            ("drop_block_overrun", has_blocks & headers.empty, 1),
            ("drop_truncated", last & accepted & (room > s.word.count), 1),
            ("drop_error_frame", last & s.word.error, 1),
        ]
        # A gap is told with the header's last word in stage 3 or, where a tag puts the first message into that word
        # too, while it is in stage 2: then it leaves in front of it.
        gap_time = (s.valid & plain & accepted) | (good & whole_tagged)
        if "gap_silent" in self._faults:
            gap_time = gap_time & (headers.count != mold.HEARTBEAT)
        return SimpleNamespace(
            walks=has_blocks & ~headers.empty,
            whole=whole,
            left=left,
            room=room,
            last=last,
            gap_time=gap_time,
            gap_slot=plain | whole_tagged,
            seq=headers.seq,
            seq_whole=seq_whole,
        )

    def _blocks(self, m, s, packet, events):
        """Starts and ends of the packet's blocks, as far as they are well-formed and arrive."""
        block, mask, last = s.block, s.word.mask, packet.last
        walking = Signal()
        found = s.hit & walking
        overrun = block.overrun
        begins = found & ~block.short & ~overrun
        final = packet.left == 1
        more_fit = block.next_at < packet.room

        ending, ends_next, wait = Signal(), Signal(), Signal(14)  # a message waits for its last byte
        end_lane = Signal(8)
        overrun_at_end = Signal()
        postponed, length_held = Signal(), Signal(16)  # it begins in lane 0 of the next word
        end_here = s.valid & ending & ends_next
        if "end_ungated" not in self._faults:
            end_here = end_here & (end_lane & mask).any()
        # Words between a length and the last byte: the next length is two bytes behind it, perhaps a word later.
        distance = block.next_at[3:] - block.next_lane[:2].any()
        with m.If(s.valid):
            m.d.sync += [ends_next.eq(wait == 0), wait.eq(wait - 1), postponed.eq(0)]
            with m.If(end_here):
                m.d.sync += [ending.eq(0), overrun_at_end.eq(0)]
            with m.If(found & (block.short | overrun | final | ~more_fit)):
                m.d.sync += walking.eq(0)
            with m.If(begins):
                m.d.sync += [
                    packet.left.eq(packet.left - 1),
                    ending.eq(1),
                    ends_next.eq(distance == 1),
                    wait.eq(distance - 2),
                    end_lane.eq(block.next_lane.rotate_right(2)),
                    overrun_at_end.eq(~final & ~more_fit),
                    postponed.eq(block.lane[7]),
                    length_held.eq(block.length),
                ]
            with m.If(s.word.last):
                m.d.sync += [walking.eq(0), ending.eq(0), postponed.eq(0)]
        with m.If(packet.whole):
            m.d.sync += walking.eq(packet.walks)
        with m.If(s.flush):
            m.d.sync += [walking.eq(0), ending.eq(0), postponed.eq(0)]

        events += [
            ("drop_block_short", found & block.short, 1),
            ("drop_block_overrun", found & ~block.short & overrun, 1),
            ("drop_block_overrun", end_here & overrun_at_end, 1),
        ]
        starts = (begins & s.first_here) | (s.valid & postponed)
        lanes = (0, *range(1, 8)) if "wrong_lane" not in self._faults else (1, *range(1, 8))
        start_lane = Mux(postponed, lanes[0], encoded(Cat(Const(0, 1), block.lane[:7])))
        return SimpleNamespace(
            uses=s.valid & (begins | ending),
            start=starts,
            start_lane=start_lane,
            length=Mux(postponed, length_held, block.length),
            end=end_here,
            end_word=s.valid & ending & ends_next,
            end_lane=encoded(end_lane),
            last=last,
        )

    def _sequence(self, m, s, packet, marks, events):
        """Which messages are new, and the notices."""
        mark_seq, pending = Signal(64), Signal()
        expected, current, following = Signal(64), Signal(64), Signal(64)

        # Differences to the first message of the packet, worked out behind the word that completes its number ...
        compared = Signal()
        gap_size, behind, to_mark = Signal(65), Signal(65), Signal(65)
        mark_known = Signal()
        m.d.sync += compared.eq(packet.seq_whole)
        with m.If(packet.seq_whole):
            m.d.sync += [
                following.eq(packet.seq),
                gap_size.eq(packet.seq - expected),
                behind.eq(expected - packet.seq),
                to_mark.eq(mark_seq - packet.seq),
                mark_known.eq(pending),
            ]
        ahead = behind[64]

        # ... and counted down from message to message from then on.
        skip, skip_all, skipping = Signal(16), Signal(), Signal()
        near, mark_here, mark_passed, mark_used = Signal(16), Signal(), Signal(), Signal()
        mark_far = Signal()
        is_one, is_zero = Signal(), Signal()
        new = ~skipping
        with m.If(marks.start):
            m.d.sync += [current.eq(following), following.eq(following + 1)]
            m.d.sync += [is_one.eq(is_zero), is_zero.eq(0)]
            m.d.sync += skip.eq(skip - 1)
            off = 0 if "overlap_off_by_one" in self._faults else 1
            m.d.sync += skipping.eq(skipping & (skip_all | (skip != off)))
            m.d.sync += [near.eq(near - 1), mark_here.eq((near == 1) & ~mark_far & ~mark_passed & ~mark_here)]
            m.d.sync += mark_passed.eq(mark_passed | mark_here)
        with m.If(compared):
            m.d.sync += [
                skip.eq(behind[:16]),
                skip_all.eq(behind[16:64].any()),
                skipping.eq(gap_size[64]),
                near.eq(to_mark[:16]),
                mark_far.eq(to_mark[16:64].any()),
                mark_here.eq(~to_mark.any()),
                mark_passed.eq(to_mark[64]),
                mark_used.eq(mark_known),
                is_one.eq(following == 1),
                is_zero.eq(following == 0),
            ]

        fresh, told = Signal(), Signal()  # the message in progress is new; the frame's header was followed by one
        deliver = marks.end & fresh
        gap = packet.gap_time & ahead
        candidate = marks.start & new
        mark = candidate & pending & mark_used & mark_here
        missed = candidate & pending & mark_used & mark_passed
        sync = candidate & is_one & ~mark
        fcs_due, fcs_port, session_due = Signal(), Signal(), Signal()
        length = Signal(16)
        with m.If(marks.start):
            m.d.sync += [fresh.eq(new), length.eq(marks.length)]
        with m.If(deliver | gap):
            m.d.sync += expected.eq(following)
        if "sequence_carry_lost" in self._faults:
            with m.If(deliver):
                m.d.sync += expected.eq(Cat(following[:14], expected[14:]))
        m.d.sync += [fcs_due.eq(marks.last & s.word.error & (told | deliver)), session_due.eq(s.flush)]
        m.d.sync += fcs_port.eq(s.word.port)
        if "fcs_silent" in self._faults:
            m.d.sync += fcs_due.eq(0)
        with m.If(deliver):
            m.d.sync += told.eq(1)
        with m.If(marks.last):
            m.d.sync += told.eq(0)
        with m.If(mark | missed):
            m.d.sync += pending.eq(0)
        with m.If(self.cfg_mark.commit):
            m.d.sync += [mark_seq.eq(self.cfg_mark.row.seq), pending.eq(1), mark_known.eq(0), mark_used.eq(0)]
        with m.If(s.flush):
            m.d.sync += [expected.eq(self.cfg_feed.row.first_seq), told.eq(0), fcs_due.eq(0)]
        m.d.comb += self.mark_pending.eq(pending)

        events += [
            ("messages", deliver, 1),
            ("drop_duplicate", marks.end & ~fresh, 1),
            ("gaps", gap, 1),
            ("gap_messages", gap, gap_size[:32]),
            ("marks_missed", missed, 1),
        ]
        kinds = (
            (gap, Notice.GAP),
            (mark, Notice.MARK),
            (sync, Notice.SYNC),
            (fcs_due, Notice.FCS),
            (session_due, Notice.NEW_SESSION),
        )
        kind = Const(Notice.NONE.value, 3)
        for due, notice in kinds:
            kind = kind | Mux(due, Const(notice.value, 3), 0)
        return SimpleNamespace(
            due=gap | mark | sync | fcs_due | session_due,
            # What must be the case for one to be due, of registers alone.
            may_be_due=packet.gap_slot | (s.valid & (is_one | (mark_here & pending))) | fcs_due | session_due,
            fcs=fcs_due,
            kind=kind,
            # No message begins where a gap may be told: the place of the word tells which number is meant.
            seq=Mux(packet.gap_slot, expected, following) & ~(fcs_due | session_due).replicate(64),
            count=Mux(packet.gap_slot, gap_size[:64], 0),
            start=candidate,
            start_seq=following,
            deliver=deliver,
            fresh=fresh,
            deliver_seq=current,
            deliver_length=length,
            port=Mux(fcs_due, fcs_port, s.word.port & ~session_due),
        )

    def _output(self, m, s, marks, notice):
        """Stage 4."""
        o = self.o.payload
        valid = Signal()
        m.d.sync += valid.eq(marks.uses | notice.due)
        m.d.comb += self.o.valid.eq(valid)
        for name, value in (
            ("data", s.word.data),
            ("start", notice.start),
            ("start_lane", marks.start_lane),
            ("length", marks.length),
            ("seq", notice.start_seq),
            ("end", notice.deliver),
            ("end_lane", marks.end_lane),
            ("stamp", s.word.stamp),
            ("notice", notice.kind),
            ("notice_seq", notice.seq),
            ("notice_count", notice.count),
        ):
            m.d.sync += o[name].eq(value)

    def _verdict(self, m, lines, notice):
        """Which frame it is that may turn out bad, and that it did."""
        begins = lines.o_valid & lines.o.index[0]
        for at in range(FRAME_CYCLES - 2):
            later = Signal(name=f"begins_{at}")
            m.d.sync += later.eq(begins)
            begins = later
        m.d.sync += self.frame_begins.eq(begins)
        with m.If(begins if "frame_kept" not in self._faults else begins & (self.frame_stamp == 0)):
            m.d.sync += self.frame_stamp.eq(self.now - (FRAME_CYCLES - 1))
        m.d.sync += self.frame_bad.eq(notice.fcs if "verdict_silent" not in self._faults else 0)

    def _trace(self, m, s, marks, notice):
        """A record a cycle; where a message ends and a notice is due in one word, the second waits for a cycle."""
        shape = layout(FEED_TRACE)
        message, news = Signal(shape), Signal(shape)
        common = {"stamp": s.word.stamp, "port": s.word.port}
        told = {"seq": notice.deliver_seq, "item": FeedItem.MESSAGE, "length": notice.deliver_length}
        noted = {"seq": notice.seq, "item": FeedItem.NOTICE, "notice": notice.kind, "count": notice.count}
        m.d.comb += [message[name].eq(value) for name, value in (common | told).items()]
        m.d.comb += [news[name].eq(value) for name, value in (common | noted).items()]
        m.d.comb += news.port.eq(notice.port)

        held, held_valid = Signal(shape), Signal()
        record, valid, clock = Signal(shape), Signal(), Signal(64)
        first = Mux(marks.end_word & notice.fresh, message.as_value(), news.as_value())
        both, either = notice.deliver & notice.due, notice.deliver | notice.due
        m.d.sync += [
            clock.eq(self.now + 1),
            valid.eq(held_valid | either),
            held_valid.eq(Mux(held_valid, either, both)),
        ]
        # Loaded wherever there may be one: what enables so many registers is known early.
        with m.If(held_valid | (marks.end_word & notice.fresh) | notice.may_be_due):
            m.d.sync += [
                record.eq(Mux(held_valid, held.as_value(), first)),
                held.eq(Mux(held_valid, first, news.as_value())),
            ]
        m.d.comb += [self.trace.valid.eq(valid), self.trace.payload.eq(record), self.trace.payload.cycle.eq(clock)]
