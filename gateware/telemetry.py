"""Stage `telemetry`: the stages' trace records to the host in Ethernet frames, and latency histograms on the device."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.histogram import Histogram
from tickgate.gateware.lib.layouts import counters, elastic, flow, layout
from tickgate.gateware.lib.logic import one_hot_mux
from tickgate.gateware.lib.packet import message_bytes, words
from tickgate.sw.spec import net, telemetry
from tickgate.sw.spec.events import FRAME_WORD, NO_SLOT, TRACES, FeedItem, OrderItem, TriggerFlag, TriggerStatus
from tickgate.sw.spec.units import WORD_BYTES

#: Fields that the head of a record adds to those of the trace.
_OWN_FIELDS = ("telemetry_class", "words", "slot", "telemetry_flags", "number", "padding")
_HEADER_WORDS = telemetry.RECORDS_OFFSET // WORD_BYTES
_FRAME_WORDS = telemetry.FRAME_SIZE_MAX // WORD_BYTES
_ROOM = _FRAME_WORDS - _HEADER_WORDS
_LONGEST = max(record.size for record in telemetry.RECORDS.values()) // WORD_BYTES


def _is_intent(record):
    """A trigger record in which an intent fired, waited, left or was dropped."""
    return (record.status != TriggerStatus.NONE) | (record.flags & ~int(TriggerFlag.EVAL | TriggerFlag.DONE)).any()


#: Which records of a stage are sent whatever the mask says.
_ALWAYS = {"trigger": _is_intent, "risk": lambda record: Const(1), "orders": lambda record: Const(1)}
#: Which records of a stage tell a latency.
_TIMED = {
    "feed": lambda record: record.item == FeedItem.MESSAGE,
    "itch": lambda record: record.itch_type != 0,
    "book": lambda record: record.itch_type != 0,
    "trigger": lambda record: record.flags[0],
    "risk": lambda record: Const(1),
    "orders": lambda record: record.item == OrderItem.ORDER,
}


class RecordQueue(wiring.Component):
    """Keeps the records of one class, whole, and gives them word by word.

    A row is written wherever one is there, to the next free place; keeping it only counts that place. So whether a
    record is wanted is known to one register, not to all of the memory.

    Parameters
    ----------
    row: what is kept of a record.
    words: the record's words, made of its row; more than one.
    depth: records, a power of two.

    Members
    -------
    i_valid: In(1), a row is there. i: In(row).
    keep: In(1), it is kept, where there is room; only where `i_valid` is.
    missed: Out(1), a cycle later: there was none.
    r_rdy: Out(1), there is a word; those of a record follow each other. r_data: Out(64), the next one.
    r_last: Out(1), it is the record's last one. r_en: In(1), it is taken.
    """

    def __init__(self, row: data.StructLayout, words: Callable[[data.View], Sequence[Value]], depth: int):
        self._row, self._words, self._depth = row, words, depth
        super().__init__(
            {
                "i_valid": In(1),
                "i": In(row),
                "keep": In(1),
                "missed": Out(1),
                "r_rdy": Out(1),
                "r_data": Out(64),
                "r_last": Out(1),
                "r_en": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self._row, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        put, take = Signal(range(self._depth)), Signal(range(self._depth))
        level, kept = Signal(range(self._depth + 1)), Signal()
        full = level[-1]
        m.d.comb += [kept.eq(self.keep & ~full), write.addr.eq(put), write.data.eq(self.i)]
        m.d.comb += write.en.eq(self.i_valid & ~full)
        m.d.sync += [put.eq(put + kept), self.missed.eq(self.keep & full)]

        # A register behind the memory and the choice of the word.
        found = self._words(read.data)
        number, free, fetches, ends = Signal(range(len(found))), Signal(), Signal(), Signal()
        m.d.comb += [
            read.addr.eq(take),
            free.eq(~self.r_rdy | self.r_en),
            fetches.eq(free & (level != 0)),
            ends.eq(number == len(found) - 1),
        ]
        with m.If(free):
            m.d.sync += self.r_rdy.eq(fetches)
        with m.If(fetches):
            m.d.sync += [self.r_data.eq(Array(found)[number]), self.r_last.eq(ends)]
            m.d.sync += [number.eq(Mux(ends, 0, number + 1)), take.eq(take + ends)]
        m.d.sync += level.eq(level + kept - (fetches & ends))
        return m


class Telemetry(wiring.Component):
    """Sends trace records to the host and counts their latencies; it takes whatever comes and never holds a stage up.

    Intents, verdicts and orders are always sent; other records of a stage when its bit of `mask` is set, and of these
    one in `every`. Each class keeps `class_depth` records, and all together up to `depth` words of others; a record
    that finds its class full is lost and counted. A frame takes what is there when the one before has left, at most
    `telemetry.FRAME_SIZE_MAX` bytes, whole records only.

    Parameters
    ----------
    depth: words kept between the classes and the frames, a power of two of 32 or more.
    class_depth: records that wait in each class, a power of two of 2 or more; up to 16 take the same room.
    sampled: whether the classes of feed, itch and book are there, of which nothing is sent but what the mask selects.
        Without them the mask means nothing for these; histograms count all stages either way.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i_<stage>: In(flow(record)), the trace of each stage.
    mask: In(8), bit a stage. every: In(16), 0 sends none of the masked records.
    bin_select: In(8), stage and bin of `bin_count`, the bin in the low 5 bits.
    bin_count: Out(32), one cycle later.
    o: Out(elastic(FRAME_WORD)), frames of `tickgate.sw.spec.telemetry`.
    counters: Out(counters(COUNTERS)).

    Raises
    ------
    ValueError: a depth that is no such power of two, or a fault that is not in `FAULTS`.
    """

    COUNTERS = ("telemetry_lost",)
    FAULTS = {
        "loss_not_counted": "a record that finds its class full is not counted when another class loses one as well",
        "every_one_more": "one in N + 1 records is sent instead of one in N",
        "little_endian": "the price of a verdict is sent with its bytes turned round",
        "intents_masked": "intents are sent only when the mask says so",
        **Histogram.FAULTS,
    }
    latency_cycles = {("bin_select", "bin_count", "read"): (1, 1)}

    def __init__(
        self, *, depth: int = 512, class_depth: int = 16, sampled: bool = True, faults: frozenset[str] = frozenset()
    ):
        if depth < 32 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two of 32 or more, not {depth}")
        if class_depth < 2 or class_depth & (class_depth - 1):
            raise ValueError(f"class_depth must be a power of two of 2 or more, not {class_depth}")
        self._depth, self._class_depth, self._sampled = depth, class_depth, sampled
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                **{f"i_{stage}": In(flow(record)) for stage, record in TRACES.items()},
                "mask": In(8),
                "every": In(16),
                "bin_select": In(8),
                "bin_count": Out(32),
                "o": Out(elastic(FRAME_WORD)),
                "counters": Out(counters(self.COUNTERS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        queues, counts = [], []
        self._again = Signal(17)
        m.d.sync += self._again.eq(self.every - (1 if "every_one_more" in self._faults else 2))
        for number, stage in enumerate(telemetry.CLASSES):
            seen = Signal(layout(TRACES[stage]), name=f"seen_{stage}", reset_less=True)
            valid = Signal(name=f"valid_{stage}")
            port = getattr(self, f"i_{stage}")
            m.d.sync += valid.eq(port.valid)
            with m.If(port.valid):
                m.d.sync += seen.eq(port.payload)
            if self._sampled or stage in telemetry.ALWAYS:
                queues.append(self._class(m, stage, number, port.payload, valid, seen))
            counts.append(self._count(m, stage, valid, seen))
        chosen = [Mux(self.bin_select[5:] == number, count, 0) for number, count in enumerate(counts)]
        m.d.sync += self.bin_count.eq(reduce(or_, chosen))

        lost = [queue.missed for queue in queues]
        missing = Signal(range(len(lost) + 1))
        m.d.sync += missing.eq(
            sum(lost[1:], start=lost[0]) if "loss_not_counted" not in self._faults else Cat(lost).any()
        )
        with m.If(missing.any()):
            m.d.sync += self.counters.telemetry_lost.eq(self.counters.telemetry_lost + missing)

        m.submodules.fifo = fifo = SyncFIFOBuffered(width=65, depth=self._depth)
        self._serialise(m, queues, fifo)
        self._frames(m, fifo)
        return m

    def _count(self, m, stage, valid, seen):
        """The histogram of a stage; returns the count that the bus looks at."""
        histogram = Histogram(faults=self._faults)
        m.submodules[f"histogram_{stage}"] = histogram
        timed = Signal(name=f"timed_{stage}")
        late = Signal(32, name=f"late_{stage}", reset_less=True)
        m.d.sync += timed.eq(valid & _TIMED[stage](seen))
        with m.If(valid):
            m.d.sync += late.eq(seen.cycle[:32] - seen.stamp[:32])
        m.d.comb += [
            histogram.valid.eq(timed),
            histogram.latency_cycles.eq(late),
            histogram.select.eq(self.bin_select[:5]),
        ]
        return histogram.count

    def _class(self, m, stage, number, told, came, seen):
        """Choose and keep the records of one class, of which `seen` came in the cycle before; returns its queue."""
        record = telemetry.RECORDS[stage]
        kept = [f.name for f in record.fields if f.name not in _OWN_FIELDS]
        has_slot = "slot" in TRACES[stage].tuple_type._fields
        before = Signal(32, name=f"number_{stage}")
        with m.If(came):
            m.d.sync += before.eq(before + 1)
        always = Const(0)
        if stage in _ALWAYS and "intents_masked" not in self._faults:
            always = Signal(name=f"always_{stage}")
            m.d.sync += always.eq(_ALWAYS[stage](told))
        # Records to leave out before the next one that is sent, less one; below 0 that is the next.
        left, offered, selected = (
            Signal(17, init=-1, name=f"left_{stage}"),
            Signal(name=f"offered_{stage}"),
            Signal(name=f"selected_{stage}"),
        )
        m.d.sync += selected.eq(self.mask[number] & (self.every != 0))
        m.d.comb += offered.eq(came & ~always & selected)
        with m.If(offered):
            m.d.sync += left.eq(Mux(left[-1], self._again, left - 1))
        fields = {"number": before, **{name: seen[name][: 8 * record.field(name).size] for name in kept}}
        if has_slot:
            fields["slot"] = seen.slot

        def record_words(row) -> list[Value]:
            values = {"slot": NO_SLOT, **{name: row[name] for name in fields}}
            if "little_endian" in self._faults and stage == "risk":
                price = values["price_e4"]
                values["price_e4"] = Cat(price[24:], price[16:24], price[8:16], price[:8])
            values |= {"telemetry_class": number, "words": record.size // WORD_BYTES, "telemetry_flags": 0}
            if "padding" in record.names:
                values["padding"] = bytes(record.field("padding").size)
            return words(message_bytes(record, values))

        row = data.StructLayout({name: len(value) for name, value in fields.items()})
        m.submodules[f"queue_{stage}"] = queue = RecordQueue(row, record_words, self._class_depth)
        m.d.comb += [queue.i[name].eq(value) for name, value in fields.items()]
        m.d.comb += [queue.i_valid.eq(came), queue.keep.eq(came & always | offered & left[-1])]
        return queue

    def _serialise(self, m, queues, fifo):
        """Words of one record after the other, later stages first, a record only where all of it has room."""
        # A register at each end of the way: queues lie by their stages. What is on it is less than one record.
        room, may = Signal(), Signal()
        m.d.sync += [room.eq(fifo.w_level <= self._depth - 2 * _LONGEST), may.eq(room)]
        pick, begins = Signal(len(queues)), Signal()
        word, first, put = Signal(64, reset_less=True), Signal(reset_less=True), Signal()
        waiting, lasts = Cat(queue.r_rdy for queue in queues), Cat(queue.r_last for queue in queues)
        m.d.sync += begins.eq(0)
        with m.If(pick.any()):
            with m.If((pick & lasts).any()):
                m.d.sync += pick.eq(0)
        with m.Elif(may):
            m.d.sync += pick.eq(Cat(waiting[n] & ~waiting[n + 1 :].any() for n in range(len(queues))))
            m.d.sync += begins.eq(1)
        for chosen, queue in zip(pick, queues, strict=True):
            m.d.comb += queue.r_en.eq(chosen)
        m.d.sync += put.eq(pick.any())
        with m.If(pick.any()):
            m.d.sync += [word.eq(one_hot_mux(pick, [queue.r_data for queue in queues])), first.eq(begins)]
        came, comes = Signal(65, reset_less=True), Signal()
        m.d.sync += [came.eq(Cat(word, first)), comes.eq(put)]
        m.d.comb += [fifo.w_data.eq(came), fifo.w_en.eq(comes)]

    def _frames(self, m, fifo):
        """Whole records of the words that are there to frames."""
        m.submodules.buffer = buffer = Memory(shape=64, depth=16, init=[])
        write, read = buffer.write_port(), buffer.read_port(domain="comb")
        used, left, count = Signal(range(_ROOM + 1)), Signal(8), Signal(8)
        sequence, lost = Signal(32), Signal(32, reset_less=True)
        index = Signal(range(_FRAME_WORDS + 1))
        header = words(
            [
                *message_bytes(
                    net.ETHERNET,
                    {
                        "destination_mac": telemetry.DESTINATION_MAC,
                        "source_mac": telemetry.SOURCE_MAC,
                        "ethertype": telemetry.ETHERTYPE,
                    },
                ),
                *message_bytes(
                    telemetry.HEADER,
                    {"version": telemetry.VERSION, "count": count, "frame_sequence": sequence, "lost": lost},
                ),
            ]
        )
        # A register behind the memory, which answers late in the cycle.
        head, have, take = Signal(65, reset_less=True), Signal(), Signal()
        m.d.comb += fifo.r_en.eq(~have | take)
        with m.If(fifo.r_en):
            m.d.sync += [head.eq(fifo.r_data), have.eq(fifo.r_rdy)]
        starts = head[64]
        length = head[8:12]  # the byte `words` of a record's first word
        if telemetry.RECORDS["feed"].field("words").offset != 1 or _LONGEST > 15:
            raise ValueError("the length of a record is not where frames look for it")
        m.d.comb += [write.addr.eq(used), write.data.eq(head[:64])]
        judged, fits = Signal(), Signal()  # whether the record that begins fits is known, a cycle after its first word
        payload = self.o.payload
        free = Signal()
        m.d.comb += [free.eq(~self.o.valid | self.o.ready), read.addr.eq(index - _HEADER_WORDS)]
        with m.FSM():
            with m.State("Collect"):
                with m.If(have):
                    m.d.sync += [judged.eq(starts & ~judged), fits.eq(used + length <= _ROOM)]
                    with m.If(starts & judged & ~fits):
                        m.next = "Send"
                    with m.Elif(~starts | judged):
                        m.d.comb += [take.eq(1), write.en.eq(1)]
                        m.d.sync += [used.eq(used + 1), left.eq(Mux(starts, length, left) - 1)]
                        m.d.sync += count.eq(count + starts)
                with m.Elif((used != 0) & (left == 0)):
                    m.next = "Send"
                m.d.sync += [index.eq(0), lost.eq(self.counters.telemetry_lost)]
                with m.If(free):
                    m.d.sync += self.o.valid.eq(0)
            with m.State("Send"):
                last = index == used + (_HEADER_WORDS - 1)
                with m.If(free):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        payload.data.eq(Mux(index < _HEADER_WORDS, Array(header)[index[:2]], read.data)),
                        payload.count.eq(WORD_BYTES),
                        payload.last.eq(last),
                        index.eq(index + 1),
                    ]
                    with m.If(last):
                        m.d.sync += [used.eq(0), left.eq(0), count.eq(0), sequence.eq(sequence + 1)]
                        m.next = "Collect"
