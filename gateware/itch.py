"""Stage `itch`: from marked words of messages to normalised events."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.counting import counter
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.fifo import Elasticity
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow, layout
from tickgate.gateware.lib.logic import encoded, one_hot_mux
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import EVENT, FEED_WORD, ITCH_TRACE, NO_SLOT, EventKind, ItchStatus, Notice
from tickgate.sw.spec.normalise import ANY, RULES
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes

#: Registers from the word that ends a message to its trace record, and to its event.
TRACE_CYCLES = 3
LATENCY_CYCLES = 4
FIFO_DEPTH = 16

_FIELDS = ("reference", "new_reference", "quantity", "price_e4", "side")
_HEADER_BYTES = 3  # type and locate
_WORDS = 7  # words of a message whose number is told apart

#: A message or notice on its way to trace and buffer: the event, what became of it (a bit for each `ItchStatus`), and
#: whether anything of it goes to the book.
_RECORD = data.StructLayout({"event": layout(EVENT), "became": len(ItchStatus), "leaves": 1, "itch_type": 8})


def _field_offsets():
    """Event field to {offset in the message: (size, types)}, from the rules."""
    table: dict[str, dict[tuple[int, int], list[int]]] = {name: {} for name in _FIELDS}
    for code, rule in RULES.items():
        for name, source in rule.fields:
            field = rule.message.field(source)
            table[name].setdefault((field.offset, field.size), []).append(code)
    return table


def _any_of(bits, codes):
    """Whether the type is one of `codes`."""
    return Cat(bits[code] for code in codes).any()


class Itch(wiring.Component):
    """Parses ITCH 5.0 messages where they lie: only the word at hand is rotated, every byte is kept as it passes.

    Which field of which type goes where is `tickgate.sw.spec.normalise.RULES`. A message yields its event
    `LATENCY_CYCLES` after the word with its last byte, when the buffer in front of the book is empty and the book is
    ready; each further event in the buffer adds its wait. An event that finds the buffer full is lost and
    `event_overflow` tells. A notice that lies in a word comes behind the message that ends there. Words are never held
    up.

    Parameters
    ----------
    sizes: `slots` is used.
    depth: words of the buffer, a power of two of 4 or more.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i: In(flow(FEED_WORD)).
    cfg_symbol: In(RowPort(SYMBOL_ROW)): `valid` and `locate` are used; a locate that another slot has moves to the new
        slot; a slot beyond the last is ignored.
    o: Out(elastic(EVENT)).
    event_overflow: Out(1), pulse: an event was lost.
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(ITCH_TRACE)), `TRACE_CYCLES` after the word, or one more where a notice is in the way.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`, or a depth that is not a power of two of 4 or more.

    References
    ----------
    Nasdaq TotalView-ITCH 5.0, sections 1.1 to 1.9.
    """

    COUNTERS = ("drop_unknown_type", "drop_wrong_length", "drop_unsubscribed")
    FAULTS = {
        "wrong_lane": "a byte that falls into lane 0 of the next word is looked for in the word before",
        "type_early": "the type of a message that begins in the word is taken for the one that ends there",
        "length_unchecked": "a known type of any length passes",
        "locate_low_byte": "only the low byte of a locate is compared",
        "replace_price_of_add": "the price of a U is taken from where an A has it",
        "notice_first": "a notice overtakes the message that ends in its word",
        "sequence_cut": "events carry 14 bits of the sequence number: shows after 16,384 messages",
        "buffer_overwrites": "a full buffer loses its oldest event and does not tell: shows under back-pressure",
    }
    latency_cycles = {
        ("i", "trace", "message"): (TRACE_CYCLES, TRACE_CYCLES + 1),
        ("i", "o", "event"): (LATENCY_CYCLES, LATENCY_CYCLES + 1),
    }

    def __init__(self, sizes: Sizes, *, depth: int = FIFO_DEPTH, faults: frozenset[str] = frozenset()):
        self._sizes, self._depth, self._faults = sizes, depth, checked_faults(faults, self.FAULTS)
        self._buffer = Elasticity(layout(EVENT), depth, overwrites="buffer_overwrites" in faults)
        super().__init__(
            {
                "now": In(64),
                "i": In(flow(FEED_WORD)),
                "cfg_symbol": In(RowPort(SYMBOL_ROW)),
                "o": Out(elastic(EVENT)),
                "event_overflow": Out(1),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(ITCH_TRACE)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Stages 1 and 2 (fields) or 1 to 3 (type, locate, length): a header stands when the message's end is in
        # stage 2, and the header of a message that begins in that same word comes a cycle later.
        rotated = self._rotate(m)
        kept, stamp, head = self._capture(m, rotated)
        slot = self._slots(m, head)
        self._leave(m, *self._normalise(m, rotated, kept, stamp, head, slot))
        return m

    def _rotate(self, m):
        """Stage 1: the word turned so that byte b of the message lies in lane b modulo 8."""
        word, valid = self.i.payload, self.i.valid
        lanes = [word.data.word_select(lane, 8) for lane in range(8)]
        starts = valid & word.start
        shift, number = Signal(8), Signal(_WORDS)  # both one-hot, of the message in progress
        with m.If(valid):
            m.d.sync += number.eq(Cat(Const(0, 1), number[:-1]))
            with m.If(word.start):
                m.d.sync += [shift.eq(Cat(word.start_lane == lane for lane in range(8))), number.eq(0b10)]

        turned = Signal(64)
        m.d.sync += turned.eq(one_hot_mux(shift, [word.data.rotate_right(8 * by) for by in range(8)]))

        # Bytes whose lane wraps around come a word later.
        needed = {1, 2} | {rule.deciding_offset for rule in RULES.values() if rule.deciding}
        needed |= {offset for rule in RULES.values() for offset in rule.state_offsets}
        for choices in _field_offsets().values():
            needed |= {offset + byte for offset, size in choices for byte in range(size)}
        if "replace_price_of_add" in self._faults:
            needed |= set(range(32, 36))
        enable = {}
        for byte in sorted(needed):
            lane, late = byte % 8, byte // 8 + 1
            wraps = shift[8 - lane :].any() if lane else Const(0, 1)
            if "wrong_lane" in self._faults and lane:
                wraps = shift[9 - lane :].any() if lane > 1 else Const(0, 1)
            enable[byte] = Signal(name=f"enable_{byte}")
            m.d.sync += enable[byte].eq(valid & Mux(wraps, number[late], number[late - 1]))

        # The first bytes of a message that begins in this word, beside the tail of the one that ends there.
        first = [Signal(8, name=f"first_{byte}") for byte in range(_HEADER_BYTES)]
        has = [Signal(name=f"has_first_{byte}") for byte in range(_HEADER_BYTES)]
        begins, ends, length, seq = Signal(), Signal(), Signal(16), Signal(64)
        notice, notice_seq, stamp = Signal(3), Signal(64), Signal(64)
        for byte in range(_HEADER_BYTES):
            with m.Switch(word.start_lane):
                for lane in range(8 - byte):
                    with m.Case(lane):
                        m.d.sync += first[byte].eq(lanes[lane + byte])
            m.d.sync += has[byte].eq(starts & (word.start_lane <= 7 - byte))
        m.d.sync += [
            begins.eq(starts),
            ends.eq(valid & word.end),
            notice.eq(Mux(valid, word.notice, Notice.NONE)),
        ]
        with m.If(valid):
            m.d.sync += [
                length.eq(word.length),
                seq.eq(word.seq),
                notice_seq.eq(word.notice_seq),
                stamp.eq(word.stamp),
            ]
        return SimpleNamespace(
            turned=turned, enable=enable, first=first, has=has, begins=begins, ends=ends, length=length, seq=seq,
            notice=notice, notice_seq=notice_seq, stamp=stamp,
        )  # fmt: skip

    def _capture(self, m, rotated):
        """Stages 2 and 3: bytes of the message, its type, length and sequence number."""
        kept = {byte: Signal(8, name=f"byte_{byte}") for byte in rotated.enable}
        for byte, value in kept.items():
            with m.If(rotated.enable[byte]):
                m.d.sync += value.eq(rotated.turned.word_select(byte % 8, 8))
            if byte < _HEADER_BYTES:
                with m.If(rotated.has[byte]):
                    m.d.sync += value.eq(rotated.first[byte])

        lengths = sorted(set(itch.LENGTHS.values()))
        early = {code: Signal(name=f"early_{chr(code)}") for code in RULES}
        same = {size: Signal(name=f"length_is_{size}") for size in lengths}
        type_early, seq_early, begun = Signal(8), Signal(64), Signal()
        m.d.sync += begun.eq(rotated.begins)
        with m.If(rotated.begins):
            m.d.sync += [type_early.eq(rotated.first[0]), seq_early.eq(rotated.seq)]
            m.d.sync += [bit.eq(rotated.first[0] == code) for code, bit in early.items()]
            m.d.sync += [bit.eq(rotated.length == size) for size, bit in same.items()]

        types = {code: Signal(name=f"type_{chr(code)}") for code in RULES}
        known, right, type_byte, seq = Signal(), Signal(), Signal(8), Signal(64)
        fits = Cat(early[code] & same[size] for code, size in itch.LENGTHS.items()).any()
        if "length_unchecked" in self._faults:
            fits = Const(1, 1)
        with m.If(begun):
            m.d.sync += [bit.eq(early[code]) for code, bit in types.items()]
            m.d.sync += [known.eq(Cat(*early.values()).any()), right.eq(fits)]
            m.d.sync += [type_byte.eq(type_early), seq.eq(seq_early)]
        if "type_early" in self._faults:
            types = early

        # The deciding byte's word; a type without one is decided by its end.
        decided, by_offset = Const(0, 1), {}
        for code, rule in RULES.items():
            if rule.deciding:
                by_offset.setdefault(rule.deciding_offset, []).append(early[code])
        for offset, bits in by_offset.items():
            decided = decided | (Cat(*bits).any() & rotated.enable[offset])
        undecided = ~Cat(early[code] for code, rule in RULES.items() if rule.deciding).any()
        stamp = Signal(64)
        with m.If(decided | (undecided & rotated.ends)):
            m.d.sync += stamp.eq(rotated.stamp)
        head = SimpleNamespace(
            types=types, known=known, right=right, type_byte=type_byte, seq=seq, locate=Cat(kept[2], kept[1])
        )
        return kept, stamp, head

    def _slots(self, m, head):
        """Stage 3: which slot has the locate; one comparator a slot."""
        matches = Signal(self._sizes.slots)
        commit, row = self.cfg_symbol.commit, self.cfg_symbol.row
        mask = 0xFF if "locate_low_byte" in self._faults else 0xFFFF
        for number in range(self._sizes.slots):
            valid, locate = Signal(name=f"valid_{number}"), Signal(16, name=f"locate_{number}")
            with m.If(commit & (self.cfg_symbol.select == number)):
                m.d.sync += [valid.eq(row.valid), locate.eq(row.locate)]
            with m.Elif(commit & row.valid & (locate == row.locate)):
                m.d.sync += valid.eq(0)
            m.d.sync += matches[number].eq(valid & ((locate ^ head.locate) & mask == 0))
        number = Cat(
            Cat(matches[slot] for slot in range(self._sizes.slots) if slot >> bit & 1).any()
            for bit in range(self._sizes.slot_bits)
        )
        return SimpleNamespace(found=matches.any(), number=number)

    def _normalise(self, m, rotated, kept, stamp, head, slot):
        """Stage 3: the record of the message that ended, and the one of a notice, which may have to wait."""
        ends, told, notice, notice_seq, notice_stamp = Signal(), Signal(), Signal(3), Signal(64), Signal(64)
        m.d.sync += [ends.eq(rotated.ends), told.eq(rotated.notice != Notice.NONE), notice.eq(rotated.notice)]
        with m.If(rotated.notice != Notice.NONE):
            m.d.sync += [notice_seq.eq(rotated.notice_seq), notice_stamp.eq(rotated.stamp)]
        types = head.types
        message, news = Signal(_RECORD), Signal(_RECORD)
        event = message.event
        every = _any_of(types, [code for code, rule in RULES.items() if rule.every_slot])
        wrong = head.known & ~head.right
        subscribed = every | slot.found
        m.d.comb += message.itch_type.eq(head.type_byte)
        fits = head.known & head.right
        m.d.comb += [
            message.became[ItchStatus.UNKNOWN_TYPE].eq(~head.known),
            message.became[ItchStatus.WRONG_LENGTH].eq(wrong),
            message.became[ItchStatus.UNSUBSCRIBED].eq(fits & ~subscribed),
            message.became[ItchStatus.EVENT].eq(fits & subscribed),
            message.leaves.eq(wrong | (fits & subscribed)),
        ]

        kind = Const(0, 4)
        for value in EventKind:
            codes = [code for code, rule in RULES.items() if rule.kind is value]
            if codes and value:
                kind = kind | Mux(_any_of(types, codes), Const(value.value, 4), 0)
        seq = head.seq[:14] if "sequence_cut" in self._faults else head.seq
        m.d.comb += [
            event.kind.eq(kind),
            event.slot.eq(Mux(every, 0, slot.number)),
            event.every_slot.eq(every),
            event.itch_type.eq(head.type_byte),
            event.seq.eq(seq),
            event.stamp.eq(stamp),
        ]
        self._fields(m, event, types, kept)
        self._state(m, event, types, kept)
        m.d.comb += [
            news.became[ItchStatus.NOTICE].eq(1),
            news.leaves.eq(1),
            news.event.notice.eq(notice),
            news.event.seq.eq(notice_seq),
            news.event.stamp.eq(notice_stamp),
        ]

        both, either = ends & told, ends | told
        order = (news, message) if "notice_first" in self._faults else (message, news)
        chosen = told if "notice_first" in self._faults else ends
        first = Mux(chosen, order[0].as_value(), order[1].as_value())
        held, held_valid = Signal(_RECORD), Signal()
        record, valid = Signal(_RECORD), Signal()
        # What decides about the record stands in registers of its own, which tell nothing where there is no record.
        became, leaves = Signal(len(ItchStatus)), Signal()
        following = data.View(_RECORD, Mux(held_valid, held.as_value(), first))
        m.d.sync += [
            valid.eq(held_valid | either),
            held_valid.eq(Mux(held_valid, either, both)),
            became.eq(0),
            leaves.eq(0),
        ]
        with m.If(held_valid | either):
            m.d.sync += [
                record.eq(following),
                held.eq(Mux(held_valid, first, order[1].as_value())),
                became.eq(following.became),
                leaves.eq(following.leaves),
            ]
        return record.event, record.itch_type, valid, became, leaves

    def _fields(self, m, event, types, kept):
        """Each event field from the place where the type has it."""
        for name, choices in _field_offsets().items():
            if name == "price_e4" and "replace_price_of_add" in self._faults:
                choices = {(32, 4): [code for codes in choices.values() for code in codes]}
            value = Const(0)
            for (offset, size), codes in choices.items():
                taken = Cat(kept[offset + byte] for byte in reversed(range(size)))
                value = value | Mux(_any_of(types, codes), taken, 0)
            if name == "side":
                has = _any_of(types, [code for codes in choices.values() for code in codes])
                sell, buy = value == itch.SELL[0], value == itch.BUY[0]
                m.d.comb += [event.side.eq(sell), event.bad_side.eq(has & ~sell & ~buy)]
            else:
                m.d.comb += event[name].eq(value)

    def _state(self, m, event, types, kept):
        """What the message does to the trading state."""
        op, bits = Const(0, 1), Const(0, 5)
        for code, rule in RULES.items():
            if rule.kind is not EventKind.STATE:
                continue
            change_op, change_bits = Const(rule.state_else.op.value, 1), Const(int(rule.state_else.bits), 5)
            for choice, change in reversed(rule.state_changes):  # the first that fits counts
                pairs = zip(choice, rule.state_offsets, strict=True)
                here = Cat(kept[offset] == byte for byte, offset in pairs if byte != ANY).all()
                change_op = Mux(here, Const(change.op.value, 1), change_op)
                change_bits = Mux(here, Const(int(change.bits), 5), change_bits)
            op = op | (types[code] & change_op)
            bits = bits | Mux(types[code], change_bits, 0)
        m.d.comb += [event.state_op.eq(op), event.state_bits.eq(bits)]

    def _leave(self, m, found, itch_type, valid, became, leaves):
        """Trace and counters of the record, and its event into the buffer."""
        is_event, is_notice = became[ItchStatus.EVENT], became[ItchStatus.NOTICE]
        event = Signal(layout(EVENT))
        m.d.comb += event.eq(Mux(is_event, found.as_value(), 0))
        m.d.comb += [event.seq.eq(found.seq), event.stamp.eq(found.stamp)]
        with m.If(is_notice | became[ItchStatus.WRONG_LENGTH]):
            m.d.comb += [event.kind.eq(EventKind.NOTICE), event.every_slot.eq(1)]
            m.d.comb += event.notice.eq(Mux(is_notice, found.notice, Notice.NONE))

        m.submodules.buffer = buffer = self._buffer
        m.d.comb += [buffer.i.payload.eq(event), buffer.i.valid.eq(leaves)]
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        m.d.comb += self.event_overflow.eq(buffer.lost)

        clock = Signal(64)
        trace = self.trace.payload
        m.d.sync += clock.eq(self.now + 1)
        m.d.comb += [
            self.trace.valid.eq(valid),
            trace.cycle.eq(clock),
            trace.itch_type.eq(Mux(is_notice, 0, itch_type)),
            trace.status.eq(encoded(became)),
            trace.slot.eq(Mux(is_event & ~event.every_slot, event.slot, NO_SLOT)),
            trace.side.eq(Cat(event.side, event.bad_side)),
        ]
        copied = ("stamp", "seq", "reference", "new_reference", "quantity", "price_e4", "kind", "notice",
                  "state_op", "state_bits")  # fmt: skip
        m.d.comb += [trace[name].eq(event[name]) for name in copied]

        for name, value in zip(
            self.COUNTERS,
            (ItchStatus.UNKNOWN_TYPE, ItchStatus.WRONG_LENGTH, ItchStatus.UNSUBSCRIBED),
            strict=True,
        ):
            number = counter(m, self.counters, name)
            with m.If(became[value]):
                m.d.sync += number.eq(number + 1)
