"""Stage `orders`: accepted orders and the host's messages to TCP segments of one order session.

What stands in a frame is in `tickgate.gateware.lib.segments`; here is which frame leaves when, and under which number.
"""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.counting import count
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.inject import InjectStore
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow, layout
from tickgate.gateware.lib.segments import (
    APPENDAGE_SIZE,
    HEADERS_SIZE,
    PAYLOAD_LANE,
    PAYLOAD_SIZE,
    PAYLOAD_WORD,
    Segments,
    with_checksums,
)
from tickgate.sw.spec import net
from tickgate.sw.spec.control import INJECT_SIZE_MAX
from tickgate.sw.spec.events import FRAME_WORD, NO_SLOT, ORDER, ORDERS_TRACE, OrderItem
from tickgate.sw.spec.rows import PEER_ROW, SESSION_ROW
from tickgate.sw.spec.units import WORD_BYTES

#: Cycles for which checksums are added up after their last change: more than any of their trees takes.
_SUMS_MOVE_CYCLES = 31


class Orders(wiring.Component):
    """Turns accepted orders and the host's messages into frames of one TCP connection, numbered by one arbiter.

    An order's first word is presented in the cycle after its transfer: the words in front of the checksums leave while
    these are summed. Orders go first; a frame that has begun is never interrupted, and frames are one idle word apart.
    Sequence numbers advance when a first word is presented. `o` may be held up at any word.

    Kill: in a cycle in which `kill` is high, no first word of an order is presented that was not presented before; the
    order is dropped, and so is one that waits at `i`. A frame of which the first word was presented completes. The
    host's messages are not stopped. An order that finds the session closed is dropped in the same way.

    Void: an order for which `is_void` is high in the cycle of its first word is dropped in the same way. Where it is
    high in the cycle before the last word is presented, that word carries `error`, so that nobody takes the frame; its
    numbers are those of the next one then, which waits up to `RESTORE_CYCLES` for them. A last word that was presented
    before is not changed any more, and the order counts.

    A session row takes effect between two frames, at the latest `SETTLE_CYCLES` behind the end of the one that is
    leaving; until then `session_ok` is 0. A host message waits for an open session and for room in the window; one
    longer than `INJECT_SIZE_MAX` is dropped. Frames below 60 bytes are not padded: the transmitter does that.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i: In(elastic(ORDER)).
    i_inject: In(elastic(FRAME_WORD)), SoupBinTCP bytes of one TCP segment; `count` is 8 except on the last word.
    cfg_session: In(RowPort(SESSION_ROW)).
    cfg_peer: In(RowPort(PEER_ROW)).
    kill: In(1), level of the kill switch.
    is_void: In(1), level: the order under way was decided by a frame that had an error.
    o: Out(elastic(FRAME_WORD)); bytes beyond `count` are 0.
    o_copy: Out(flow(FRAME_WORD)), every word transferred on `o`, one cycle later.
    session_ok: Out(1), open, and the peer's window has room for one more order.
    session_open: Out(1).
    done: Out(1), pulse: in the cycle before, the last word of an order was transferred, or an order was dropped.
    refund: Out(1), with `done`: it was poisoned, or dropped because it is void.
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(ORDERS_TRACE)), in the cycle in which the first word is presented for the first time, and in that
        in which a poisoned last word is.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    RFC 791, RFC 9293, RFC 1071 (checksums), SoupBinTCP 3.00 section 2, OUCH 5.0 section 2.
    """

    COUNTERS = ("orders", "orders_poisoned", "intents_void", "injects", "intents_killed", "completed_after_kill")
    FAULTS = {
        "checksum_carry_lost": "the TCP checksum forgets the carries out of its 16 bits",
        "ip_carry_lost": "the IP header checksum forgets its carry",
        "appendage_not_numbered": "the sequence number does not advance by the appendage",
        "kill_late": "a first word that kill finds in the output register is presented all the same",
        "user_ref_again": "an order that follows a host message carries the user reference of the one before",
        "count_needs_ready": "an order is counted only when its last word was not held up",
        "payload_slips": "the output loads the next word although the one before was held up at the payload's start",
        "inject_sum_misses_last": "the last word of a host message is left out of the checksum",
        "verdict_ignored": "the last word of a void order carries no `error`",
        "void_begins": "an order that is void begins all the same",
        "number_consumed": "a poisoned order keeps its TCP sequence number",
        "user_ref_consumed": "a poisoned order keeps its user reference",
        "sums_unsettled": "a frame may begin before the sums over restored numbers are ready",
        "poison_counts": "a poisoned order is counted as sent",
        "refund_silent": "nobody is told that a poisoned order has consumed nothing",
    }
    #: The kill switch acts at the last register; the trace record is of the cycle in which the first word is presented.
    combinational_paths = (
        ("kill", "o__valid"),
        ("kill", "trace__payload"),
        ("is_void", "o__valid"),
        ("is_void", "trace__payload"),
        ("now", "trace__payload"),
    )
    unused_inputs = ("cfg_session__select", "cfg_peer__select")
    #: Cycles from a session row's commit between frames until orders are taken.
    SETTLE_CYCLES = 8
    #: Cycles from the one before a poisoned last word is presented until the next frame may begin.
    RESTORE_CYCLES = SETTLE_CYCLES
    #: From the transfer of a host message's last word to its first word on `o`, where nothing else leaves.
    INJECT_CYCLES = 5
    latency_cycles = {
        ("i", "o", "idle"): (1, 1),
        # From `valid` on `i`; a host message of up to 16 words has begun, `o` is not held up.
        ("i", "o", "behind_inject"): (2, 17),
        ("o", "o_copy", "any"): (1, 1),
        ("o", "done", "any"): (1, 1),
        ("is_void", "o", "dropped"): (0, 0),
        ("is_void", "o", "poisoned"): (1, 1),
    }

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "now": In(64),
                "i": In(elastic(ORDER)),
                "i_inject": In(elastic(FRAME_WORD)),
                "cfg_session": In(RowPort(SESSION_ROW)),
                "cfg_peer": In(RowPort(PEER_ROW)),
                "kill": In(1),
                "is_void": In(1),
                "o": Out(elastic(FRAME_WORD)),
                "o_copy": Out(flow(FRAME_WORD)),
                "session_ok": Out(1),
                "session_open": Out(1),
                "done": Out(1),
                "refund": Out(1),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(ORDERS_TRACE)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = self._store = InjectStore(
            size_max=INJECT_SIZE_MAX, shift_bytes=WORD_BYTES - PAYLOAD_LANE, faults=self._faults
        )
        wiring.connect(m, wiring.flipped(self.i_inject), self._store.i)
        self._registers(m)
        self._session(m)
        self._arbiter(m)
        with m.If(self._sums_move(m)):
            segments = Segments(
                m,
                row=self.active,
                has_firm=self.has_firm,
                next_seq=self.next_seq,
                user_ref=self.user_ref,
                inject_total=self._store.total,
                inject_length=self._store.length,
                faults=self._faults,
            )
            base = Signal(max(len(segments.order_base), len(segments.inject_base)), reset_less=True)
            frame_words = segments.frame(
                m,
                is_order=self.is_order,
                base=base,
                order=self.order,
                seq=self.frame_seq,
                user_ref=self.frame_user_ref,
                ack=self.frame_ack,
                window=self.frame_window,
                total=self.frame_total,
            )
        with m.If(self.idle):
            m.d.sync += base.eq(Mux(self.i.valid, segments.order_base, segments.inject_base))
        self._output(m, *frame_words)
        self._observe(m)
        return m

    def _sums_move(self, m):
        """Whether checksums may have something new to add: for a time after what they add has changed.

        What changes it is a session's row, a host message and a frame under way, whose number counts on. Far more
        flip-flops wait for it than for anything else here: it is one itself.
        """
        left = Signal(range(_SUMS_MOVE_CYCLES + 1), init=_SUMS_MOVE_CYCLES)
        some = Signal(init=1)
        with m.If(self.cfg_session.commit | (self.settling != 0) | self.i_inject.valid | self.starts | ~self.idle):
            m.d.sync += [left.eq(_SUMS_MOVE_CYCLES), some.eq(1)]
        with m.Elif(some):
            m.d.sync += [left.eq(left - 1), some.eq(left != 1)]
        return some

    def _registers(self, m):
        self.row = Signal(layout(SESSION_ROW))  # as committed
        self.active = Signal(layout(SESSION_ROW), reset_less=True)  # of the frames; numbers are kept apart
        self.peer = Signal(layout(PEER_ROW))
        self.order = Signal(layout(ORDER), reset_less=True)
        self.next_seq = Signal(32)
        self.user_ref = Signal(32)
        self.has_firm = Signal()
        self.idle = Signal(init=1)  # no frame, output register empty
        self.settled = Signal()
        self.settling = Signal(range(self.SETTLE_CYCLES + 1))
        self.is_order = Signal()
        self.fresh = Signal()  # word 0 is in the output register for its first cycle
        self.doomed = Signal()  # kill was up while the order was taken or waited
        self.dropped = Signal()
        self.voided = Signal()  # dropped, and not because of the kill switch
        self.poisons = Signal()  # the last word of an order is loaded, with `error`
        self.poisoned = Signal()  # and presented for its first cycle
        self.restoring = Signal(range(self.RESTORE_CYCLES + 1))
        self.starts = Signal()
        self.goes_on = Signal()  # a frame began two cycles ago, and was not dropped
        # What the frame keeps while the numbers above move on.
        self.frame_seq = Signal(32, reset_less=True)
        self.frame_user_ref = Signal(32, reset_less=True)
        self.frame_ack = Signal(32, reset_less=True)
        self.frame_window = Signal(16, reset_less=True)
        self.frame_payload = Signal(8, reset_less=True)
        self.frame_total = Signal(8, reset_less=True)  # IP total length
        self.last_index = Signal(4, reset_less=True)
        self.last_count = Signal(4, reset_less=True)

    def _session(self, m):
        """Rows, the numbers that follow from them, and whether one more order may be sent."""
        pending = Signal()
        with m.If(self.settling != 0):
            m.d.sync += self.settling.eq(self.settling - 1)
        with m.If(self.settling == 1):
            m.d.sync += self.settled.eq(1)
        with m.If(self.cfg_session.commit):
            m.d.sync += [self.row.eq(self.cfg_session.row), pending.eq(1), self.settled.eq(0), self.settling.eq(0)]
        with m.Elif(pending & self.idle):
            m.d.sync += [
                pending.eq(0),
                self.active.eq(self.row),
                self.next_seq.eq(self.row.next_seq),
                self.user_ref.eq(self.row.user_ref),
                self.has_firm.eq(self.row.firm != 0),
                self.settling.eq(self.SETTLE_CYCLES - 2),
            ]
        with m.If(self.cfg_peer.commit):
            m.d.sync += self.peer.eq(self.cfg_peer.row)

        payload = Mux(self.has_firm, PAYLOAD_SIZE + APPENDAGE_SIZE, PAYLOAD_SIZE)
        self.order_payload = Signal(8)
        m.d.sync += self.order_payload.eq(payload)
        # The window travels with the number that it is compared to, so that a peer row acts whole.
        room = {}
        for name, size in (("order", self.order_payload), ("inject", self._store.length)):
            flight = Signal(32, name=f"{name}_flight")
            window = Signal(32, name=f"{name}_window")
            room[name] = Signal(name=f"{name}_room")
            m.d.sync += [
                flight.eq(self.next_seq - self.peer.ack_in + size),
                window.eq(self.peer.window_in),
                room[name].eq(flight <= window),
            ]
        self.inject_room = room["inject"]
        m.d.comb += [
            self.session_open.eq(self.row.open),
            self.session_ok.eq(self.row.open & self.settled & room["order"]),
        ]

        # Whether a frame goes on comes from far away, and what it says has time: the next one begins cycles later.
        m.d.sync += self.goes_on.eq(self.fresh & ~self.dropped)
        with m.If(self.goes_on):
            step = Signal(8)
            m.d.comb += step.eq(self.frame_payload)
            if "appendage_not_numbered" in self._faults:
                m.d.comb += step.eq(Mux(self.is_order, PAYLOAD_SIZE, self.frame_payload))
            m.d.sync += self.next_seq.eq(self.next_seq + step)
            advance = self.is_order
            if "user_ref_again" in self._faults:
                after_inject = Signal()
                m.d.sync += after_inject.eq(~self.is_order)
                advance = self.is_order & ~after_inject
            m.d.sync += self.user_ref.eq(self.user_ref + advance)
        with m.If(self.restoring != 0):
            m.d.sync += self.restoring.eq(self.restoring - 1)
        if "sums_unsettled" not in self._faults:
            with m.If(self.poisons):
                m.d.sync += self.restoring.eq(self.RESTORE_CYCLES - 1)
        with m.If(self.poisoned):
            if "number_consumed" not in self._faults:
                m.d.sync += self.next_seq.eq(self.frame_seq)
            if "user_ref_consumed" not in self._faults:
                m.d.sync += self.user_ref.eq(self.frame_user_ref)

    def _arbiter(self, m):
        """Which frame begins: an order before a host message."""
        room = self._store.filled & self.inject_room & self.row.open
        waits_killed = Signal()
        with m.If(self.i.valid & self.kill):
            m.d.sync += waits_killed.eq(1)
        free = self.idle & (self.restoring == 0)
        m.d.comb += self.i.ready.eq(free & (self.settled | ~self.row.open))
        takes_order = self.i.valid & self.i.ready
        takes_inject = ~self.i.valid & free & self.settled & room
        m.d.comb += self.starts.eq(takes_order | takes_inject)
        m.d.comb += self._store.take.eq(takes_inject)
        m.d.sync += self.fresh.eq(self.starts)
        with m.If(self.starts):
            m.d.sync += waits_killed.eq(0)
        # Whatever is there between two frames: which of these cycles a frame begins in, few registers need to know.
        with m.If(self.idle):
            order_total = HEADERS_SIZE - net.ETHERNET_SIZE + self.order_payload
            inject_total = HEADERS_SIZE - net.ETHERNET_SIZE + self._store.length
            order_end = Mux(self.has_firm, HEADERS_SIZE + PAYLOAD_SIZE + APPENDAGE_SIZE - 1,
                            HEADERS_SIZE + PAYLOAD_SIZE - 1)  # fmt: skip
            end = Signal(8)
            m.d.comb += end.eq(Mux(self.i.valid, order_end, HEADERS_SIZE - 1 + self._store.length))
            m.d.sync += [
                self.is_order.eq(self.i.valid),
                self.doomed.eq(self.i.valid & (self.kill | waits_killed | ~self.row.open)),
                self.order.eq(self.i.payload),
                self.frame_seq.eq(self.next_seq),
                self.frame_user_ref.eq(self.user_ref),
                self.frame_ack.eq(self.peer.ack_out),
                self.frame_window.eq(self.peer.window_out),
                self.frame_payload.eq(Mux(self.i.valid, self.order_payload, self._store.length)),
                self.frame_total.eq(Mux(self.i.valid, order_total, inject_total)),
                self.last_index.eq(end[3:]),
                self.last_count.eq(end[:3] + 1),
            ]
        strike = self.kill
        if "kill_late" in self._faults:
            strike = Const(0)
        void = self.is_void
        if "void_begins" in self._faults:
            void = Const(0)
        m.d.comb += [
            self.voided.eq(self.fresh & self.is_order & void),
            self.dropped.eq(self.fresh & self.is_order & (self.doomed | strike | void)),
        ]

    def _output(self, m, order_words, header_words):
        """The output register and what is loaded into it."""
        self.valid = Signal()
        self.loading = Signal()  # words remain to be loaded
        self.word = Signal(layout(FRAME_WORD), reset_less=True)
        index = Signal(4)
        store = self._store
        # The word behind the next one is chosen a cycle ahead, from all over the frame, but for its checksum.
        whole = [*order_words, *[Const(0, 64)] * (16 - len(order_words))]
        behind, ahead = Signal(4), Signal(64, reset_less=True)
        order_word = Mux(self.idle, whole[0], with_checksums(order_words, ahead, index))
        straddle = header_words[PAYLOAD_WORD][: 8 * PAYLOAD_LANE]
        inject_word = Mux(
            index == PAYLOAD_WORD,
            Cat(straddle, store.word[8 * PAYLOAD_LANE :]),
            store.word,
        )
        data = Signal(64)
        of_order = Signal(init=1)  # the next word: of an order, or of headers
        m.d.comb += data.eq(Mux(of_order, order_word, inject_word))

        free = ~self.valid | self.o.ready
        if "payload_slips" in self._faults:
            free = free | (index == PAYLOAD_WORD + 1)
        m.d.comb += store.next.eq(self.loading & free & ~self.is_order & (index >= PAYLOAD_WORD))
        # The first word is that of every frame: it is there before one begins.
        final = self.loading & (index == self.last_index)
        with m.If(free):
            m.d.comb += self.poisons.eq(final & self.is_order & self.is_void)
            m.d.sync += [
                self.valid.eq(self.loading),
                self.word.data.eq(data),
                self.word.count.eq(Mux(final, self.last_count, WORD_BYTES)),
                self.word.last.eq(final),
                self.word.error.eq(self.poisons if "verdict_ignored" not in self._faults else 0),
            ]
            with m.If(self.loading):
                m.d.sync += ahead.eq(Array(whole)[behind])
                m.d.sync += [index.eq(index + 1), behind.eq(behind + 1), self.loading.eq(~final)]
                m.d.sync += of_order.eq(self.is_order | (index < PAYLOAD_WORD - 1))
            with m.Else():
                m.d.sync += [self.idle.eq(1), index.eq(0), of_order.eq(1)]
        with m.If(self.dropped):
            m.d.sync += [self.valid.eq(0), self.loading.eq(0), self.idle.eq(1), index.eq(0), of_order.eq(1)]
        with m.If(self.idle):
            m.d.sync += [ahead.eq(whole[1]), behind.eq(2)]
        with m.If(self.starts):
            m.d.sync += [self.valid.eq(1), self.loading.eq(1), self.idle.eq(0), index.eq(1)]
        m.d.comb += [self.o.valid.eq(self.valid & ~self.dropped), self.o.payload.eq(self.word)]
        self.moves = Signal()
        m.d.comb += self.moves.eq(self.o.valid & self.o.ready)
        # An order that is dropped has its first word here, so a last word goes where it is taken.
        self.ends = Signal()
        m.d.comb += self.ends.eq(self.valid & self.o.ready & self.word.last)
        m.d.comb += store.done.eq(self.ends & ~self.is_order)
        m.d.sync += [self.o_copy.valid.eq(self.moves), self.o_copy.payload.eq(self.word)]

    def _observe(self, m):
        """Trace, `done` and counters."""
        ends, struck = self.ends, Signal()
        m.d.sync += self.done.eq(ends & self.is_order | self.dropped)
        poisoned = ends & self.is_order & self.word.error
        m.d.sync += self.refund.eq(poisoned & ("refund_silent" not in self._faults) | self.voided)
        m.d.sync += self.poisoned.eq(self.poisons)
        with m.If(self.starts):
            m.d.sync += struck.eq(0)
        with m.Elif(self.kill & self.is_order & ~self.idle & ~self.dropped):
            m.d.sync += struck.eq(1)

        counted = ends
        if "count_needs_ready" in self._faults:
            held = Signal()
            m.d.sync += held.eq(self.o.valid & ~self.o.ready)
            counted = ends & ~held
        count(
            m,
            self.counters,
            {
                "orders": counted & self.is_order & ("poison_counts" in self._faults or ~self.word.error),
                "orders_poisoned": poisoned,
                "intents_void": self.voided,
                "injects": ends & ~self.is_order,
                "intents_killed": self.dropped & ~self.voided,
                "completed_after_kill": ends & self.is_order & ~self.word.error & (struck | self.kill),
            },
        )

        trace = self.trace.payload
        begun = Mux(self.dropped, Mux(self.voided, OrderItem.VOID, OrderItem.KILLED), OrderItem.ORDER)
        item = Mux(self.is_order, Mux(self.poisoned, OrderItem.POISONED, begun), OrderItem.INJECT)
        m.d.comb += [
            self.trace.valid.eq(self.fresh | self.poisoned),
            trace.cycle.eq(self.now),
            trace.stamp.eq(Mux(self.is_order, self.order.stamp, 0)),
            trace.seq.eq(Mux(self.is_order, self.order.seq, 0)),
            trace.user_ref.eq(Mux(self.is_order & ~self.dropped, self.frame_user_ref, 0)),
            trace.tcp_seq.eq(Mux(self.dropped, 0, self.frame_seq)),
            trace.length.eq(Mux(self.dropped, 0, self.frame_payload)),
            trace.item.eq(item),
            trace.slot.eq(Mux(self.is_order, self.order.slot, NO_SLOT)),
        ]
