"""Stage `control`: the control protocol, from frames of the host to operations of the register bus and back."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import counters, elastic, flow
from tickgate.gateware.lib.logic import next_place
from tickgate.gateware.lib.packet import message_bytes, words
from tickgate.gateware.registers import READ_CYCLES, Bus
from tickgate.sw.spec import control, net
from tickgate.sw.spec.control import Operation, Status
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.registers import ADDRESS_BITS
from tickgate.sw.spec.units import WORD_BYTES

_HEADER_WORDS = control.ENTRIES_OFFSET // WORD_BYTES
_FRAME_WORDS = control.FRAME_SIZE_MAX // WORD_BYTES
_MESSAGE_WORDS = -(-control.INJECT_SIZE_MAX // WORD_BYTES)
_IDENTITY_WORDS = len(control.IDENTITY_ADDRESSES)
#: From a frame's last word to the first word of an answer that is known already.
_REPEAT_CYCLES = 5


def _number(parts) -> Value:
    """Big-endian bytes as a number."""
    return Cat(*reversed(list(parts)))


class Control(wiring.Component):
    """Serves the control protocol of `tickgate.sw.spec.control` on the register bus.

    One request is under way at a time: from the last word of its frame to the last word of its answer. A frame that
    begins meanwhile is dropped and counted, so `i` is never held up; the host waits for the answer or asks again. A
    request is judged when its frame has arrived whole, so that one that is refused has done nothing. The entries of a
    WRITE are written in consecutive cycles while `granted` is 1. The message of an INJECT goes out whole where
    `inject_free` is 1 when it is judged; else it is refused.

    Frames below 60 bytes are not padded: the transmitter does that.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(flow(FRAME_WORD)), frames of the control role, at least 3 idle cycles between them.
    armed: In(1), the kill switch is down: a session cannot be taken over by another address.
    bus: Out(Bus()), to the registers; reads are answered `READ_CYCLES` later, in order.
    granted: In(1), what `bus` asks for in this cycle is done.
    inject_claim: Out(1), from before `inject_free` is looked at until the request is done with: no other may begin.
    inject_free: In(1), a whole message would be taken at `o_inject`, and none is on its way.
    o_inject: Out(elastic(FRAME_WORD)), messages for the order session; `count` is 8 except on the last word.
    o: Out(elastic(FRAME_WORD)), answers; bytes beyond `count` are 0.
    counters: Out(counters(COUNTERS)).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    docs/reference/control.md; IEEE 802 clause 9.2.4 (EtherType).
    """

    COUNTERS = (
        "control_requests", "control_repeats", "control_foreign", "control_malformed", "control_stale", "control_busy",
    )  # fmt: skip
    FAULTS = {
        "repeat_executed": "a request that comes again is executed again",
        "source_ignored": "requests of any Ethernet address are served",
        "nonce_cut": "only the low half of the nonce counts",
        "stale_served": "a request of any sequence number is served",
        "address_unchecked": "an entry of no register does not refuse the request",
        "error_ignored": "a frame with an error is served",
        "takeover_armed": "another address takes the session over although the kill switch is down",
        "short_count": "more entries than the frame has are not refused",
        "busy_ignored": "a message is taken although the one before it still waits",
        "message_cut_unseen": "more bytes of a message than the frame has are not refused",
        "message_in_words": "the last word of a message counts as a full one",
    }
    latency_cycles = {
        ("i", "o", "repeat"): (_REPEAT_CYCLES, _REPEAT_CYCLES),
        ("i", "o", "refused"): (_REPEAT_CYCLES, _REPEAT_CYCLES),
        # One entry to as many as there may be; the bus is granted.
        ("i", "o", "write"): (_REPEAT_CYCLES + 2, _REPEAT_CYCLES + 1 + control.ENTRIES_MAX),
        ("i", "o", "read"): (_REPEAT_CYCLES + READ_CYCLES + 2, _REPEAT_CYCLES + READ_CYCLES + 1 + control.ENTRIES_MAX),
        ("i", "o", "hello"): (_REPEAT_CYCLES + READ_CYCLES + 1 + _IDENTITY_WORDS,) * 2,
        # One word to as many as a message may have; `o_inject` is not held up.
        ("i", "o", "inject"): (_REPEAT_CYCLES + 2, _REPEAT_CYCLES + 1 + _MESSAGE_WORDS),
        ("i", "o_inject", "inject"): (5, 5),
        ("i", "bus__w_en", "write"): (5, 5),
        ("i", "bus__r_en", "read"): (5, 5),
        ("bus__r_valid", "o", "read"): (2, 2),
    }

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "i": In(flow(FRAME_WORD)),
                "armed": In(1),
                "bus": Out(Bus()),
                "granted": In(1),
                "inject_claim": Out(1),
                "inject_free": In(1),
                "o_inject": Out(elastic(FRAME_WORD)),
                "o": Out(elastic(FRAME_WORD)),
                "counters": Out(counters(self.COUNTERS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # The request, as it arrived; steady from `arrived` until its answer has left.
        self.source = Signal(48, reset_less=True)
        self.ethertype = Signal(16, reset_less=True)
        self.version = Signal(8, reset_less=True)
        self.operation = Signal(8, reset_less=True)
        self.nonce = Signal(64, reset_less=True)
        self.sequence = Signal(32, reset_less=True)
        self.count = Signal(8, reset_less=True)
        self.whole_words = Signal(5, reset_less=True)
        self.size = Signal(8, reset_less=True)  # bytes of a frame that is not too long
        self.too_long = Signal(reset_less=True)
        self.error = Signal(reset_less=True)
        self.any_bad = Signal(reset_less=True)
        self.first_bad = Signal(4, reset_less=True)
        self.under_way = Signal()
        # The session, and the answer to its last request.
        self.open = Signal()
        self.owner = Signal(48, reset_less=True)
        self.session = Signal(64, reset_less=True)
        self.last_sequence = Signal(32, reset_less=True)
        self.next_sequence = Signal(32, reset_less=True)
        self.answer_operation = Signal(7, reset_less=True)
        self.answer_count = Signal(4, reset_less=True)
        self.status = Signal(8, reset_less=True)
        self.detail = Signal(4, reset_less=True)
        # Pulses: one stage of the decision behind the other.
        self.arrived, self.judged = Signal(), Signal()
        self.go_send, self.go_run = Signal(), Signal()
        self.released = Signal()
        self.events = {name: Signal(name=f"event_{name}") for name in self.COUNTERS}
        self._receive(m)
        self._judge(m)
        self._execute(m)
        self._inject(m)
        self._send(m)
        for name, event in self.events.items():
            m.d.sync += self.counters[name].eq(self.counters[name] + event)
        return m

    def _receive(self, m):
        """Words into the request's memory and registers."""
        m.submodules.request = request = Memory(shape=64, depth=_FRAME_WORDS, init=[])
        write, self._entry = request.write_port(), request.read_port(domain="comb")
        word = self.i.payload
        data = [word.data[8 * n : 8 * n + 8] for n in range(WORD_BYTES)]
        index = Signal(range(_FRAME_WORDS + 1))  # of the word that comes
        skips, taken = Signal(), Signal()
        # One-hot: the first word, the other ones of the header, and any behind them. Words come from far away: what
        # they are is known before they come.
        place = Signal(_HEADER_WORDS + 1, init=1)
        first, more = self.i.valid & place[0] & ~self.under_way, self.i.valid & ~skips
        m.d.comb += [
            taken.eq(first | more & ~place[0]),
            write.addr.eq(index),
            write.data.eq(word.data),
            write.en.eq(taken & (index < _FRAME_WORDS)),
        ]
        m.d.sync += self.arrived.eq(taken & word.last)
        m.d.sync += self.events["control_busy"].eq(self.i.valid & word.last & ~taken)
        with m.If(self.released):
            m.d.sync += self.under_way.eq(0)
        with m.If(self.i.valid):
            m.d.sync += index.eq(Mux(word.last, 0, Mux(index == _FRAME_WORDS, index, index + 1)))
            m.d.sync += place.eq(Mux(word.last, 1, next_place(place)))
            with m.If(place[0]):
                m.d.sync += skips.eq(self.under_way)
        with m.If(first):
            m.d.sync += [
                self.source[32:].eq(_number(data[6:8])),
                self.version.eq(0),
                self.ethertype.eq(0),
                self.any_bad.eq(0),
            ]
        with m.If(more & place[1]):
            m.d.sync += [
                self.source[:32].eq(_number(data[0:4])),
                self.ethertype.eq(_number(data[4:6])),
                self.version.eq(data[6]),
                self.operation.eq(data[7]),
            ]
            with m.If(word.count < 7):  # the version has not arrived
                m.d.sync += self.version.eq(0)
        with m.If(more & place[2]):
            m.d.sync += self.nonce.eq(_number(data))
        with m.If(more & place[3]):
            m.d.sync += [self.sequence.eq(_number(data[0:4])), self.count.eq(data[4])]
        with m.If(more & place[_HEADER_WORDS]):
            address = Signal(32)
            m.d.comb += address.eq(_number(data[0:4]))
            wrong = (address[:2] != 0) | (address[ADDRESS_BITS:] != 0)
            with m.If(wrong & ~self.any_bad):
                m.d.sync += [self.any_bad.eq(1), self.first_bad.eq(index - _HEADER_WORDS)]
        with m.If(taken & word.last):
            m.d.sync += [
                self.under_way.eq(1),
                self.error.eq(word.error),
                self.too_long.eq(index == _FRAME_WORDS),
                self.whole_words.eq(index + (word.count == WORD_BYTES)),
                self.size.eq((index << 3) + word.count),
            ]

    def _judge(self, m):
        """What the request is, in the cycle of `arrived`; what is to be done with it, in the next one."""
        m.d.sync += self.judged.eq(self.arrived)
        known = {}

        def fact(name, value):
            known[name] = Signal(name=f"is_{name}", reset_less=True)
            m.d.sync += known[name].eq(value)

        entries = self.whole_words - _HEADER_WORDS
        half = 32 if "nonce_cut" in self._faults else 64
        fits = (self.count <= control.ENTRIES_MAX) & (self.count <= entries)
        if "short_count" in self._faults:
            fits = self.count <= control.ENTRIES_MAX
        fact("control", (self.ethertype == control.ETHERTYPE) & (self.version == control.VERSION))
        fact("error", self.error if "error_ignored" not in self._faults else 0)
        fact("sized", (self.whole_words >= _HEADER_WORDS) & ~self.too_long)
        fact("source", self.source == self.owner if "source_ignored" not in self._faults else 1)
        fact("session", self.open & (self.nonce[:half] == self.session[:half]))
        fact("repeat", (self.sequence == self.last_sequence) if "repeat_executed" not in self._faults else 0)
        served = self.sequence == self.next_sequence
        if "repeat_executed" in self._faults:
            served |= self.sequence == self.last_sequence
        fact("next", served if "stale_served" not in self._faults else 1)
        fact("hello", self.operation == Operation.HELLO)
        fact("write", self.operation == Operation.WRITE)
        fact("known", (self.operation == Operation.READ) | (self.operation == Operation.WRITE))
        fact("inject", self.operation == Operation.INJECT)
        there = self.count + control.ENTRIES_OFFSET <= self.size
        if "message_cut_unseen" in self._faults:
            there = Const(1)
        fact("message_fits", (self.count <= control.INJECT_SIZE_MAX) & there)
        fact("empty", self.count == 0)
        fact("fits", fits)
        fact("bad", self.any_bad & (self.first_bad < self.count) if "address_unchecked" not in self._faults else 0)

        # The kill switch stands far away: whether it is up is a fact like the others, of the cycle of `arrived`.
        fact("disarmed", ~self.armed)

        own = known["source"] & known["session"]
        may_open = ~self.open | known["source"] | known["disarmed"]
        if "takeover_armed" in self._faults:
            may_open = Const(1)
        good = self.judged & known["control"] & known["sized"] & ~known["error"]
        opens, repeats, serves = Signal(), Signal(), Signal()
        m.d.comb += [
            opens.eq(good & ~own & known["hello"] & may_open & known["empty"]),
            repeats.eq(good & own & known["repeat"]),
            serves.eq(good & own & ~known["repeat"] & known["next"]),
        ]
        foreign = Mux(known["control"], known["sized"] & ~own & ~(known["hello"] & may_open), 1) & ~known["error"]
        malformed = known["error"] | known["control"] & (
            ~known["sized"] | ~own & known["hello"] & may_open & ~known["empty"]
        )
        m.d.sync += [
            self.events["control_foreign"].eq(self.judged & foreign),
            self.events["control_malformed"].eq(self.judged & malformed),
            self.events["control_stale"].eq(good & own & ~known["repeat"] & ~known["next"]),
            self.events["control_repeats"].eq(repeats),
            self.events["control_requests"].eq(opens | serves),
        ]

        refused = Signal()
        free = self.inject_free if "busy_ignored" not in self._faults else 1
        status = Mux(
            ~known["hello"] & ~known["known"],
            Status.OPERATION,
            Mux(
                Mux(known["hello"], ~known["empty"], ~known["fits"]),
                Status.COUNT,
                Mux(known["bad"] & ~known["hello"], Status.ADDRESS, Status.OK),
            ),
        )
        with_message = Mux(known["message_fits"], Mux(known["empty"] | free, Status.OK, Status.BUSY), Status.COUNT)
        status = Mux(known["inject"], with_message, status)
        m.d.comb += refused.eq(status != Status.OK)
        nothing = refused | ~known["hello"] & known["empty"]
        executes = opens | serves
        m.d.sync += [self.go_run.eq(executes & ~nothing), self.go_send.eq(repeats | executes & nothing)]
        m.d.comb += self.released.eq(self.judged & ~repeats & ~executes | self.sent)
        self.run_write, self.run_hello = Signal(reset_less=True), Signal(reset_less=True)
        self.run_inject = Signal(reset_less=True)
        self.run_count = Signal(4, reset_less=True)  # entries, or words of a message
        self.last_count = Signal(4, reset_less=True)  # bytes of the last of these
        with m.If(executes):
            m.d.sync += [
                self.open.eq(1),
                self.owner.eq(self.source),
                self.session.eq(self.nonce),
                self.last_sequence.eq(self.sequence),
                self.next_sequence.eq(self.sequence + 1),
                self.answer_operation.eq(self.operation),
                self.status.eq(status),
                self.detail.eq(Mux(status == Status.ADDRESS, self.first_bad, 0)),
                self.answer_count.eq(
                    Mux(
                        nothing | known["write"] | known["inject"],
                        0,
                        Mux(known["hello"], _IDENTITY_WORDS, self.count[:4]),
                    )
                ),
                self.run_write.eq(known["write"]),
                self.run_hello.eq(known["hello"]),
                self.run_inject.eq(known["inject"]),
                self.run_count.eq(
                    Mux(
                        known["inject"],
                        self.count[3:7] + self.count[:3].any(),
                        Mux(known["hello"], _IDENTITY_WORDS, self.count[:4]),
                    )
                ),
                self.last_count.eq(Mux(self.count[:3].any(), self.count[:3], WORD_BYTES)),
            ]

    @property
    def sent(self):
        """The last word of the answer goes to the output register in this cycle."""
        if not hasattr(self, "_sent"):
            self._sent = Signal(name="sent")
        return self._sent

    def _execute(self, m):
        """Entries to the bus, one a cycle; what was read to the answer's memories."""
        m.submodules.addresses = addresses = Memory(shape=32, depth=_FRAME_WORDS, init=[])
        m.submodules.values = values = Memory(shape=32, depth=_FRAME_WORDS, init=[])
        asked, read = addresses.write_port(), values.write_port()
        self._answer_address, self._answer_value = addresses.read_port(domain="comb"), values.read_port(domain="comb")
        bus = self.bus
        writing, reading, issued = Signal(), Signal(), Signal()
        at, got = Signal(4), Signal(4)
        left, due = Signal(4), Signal(4)  # to be put on the bus, and to be answered
        self._at, self._left = at, left  # a message goes by them too
        free, entry = Signal(), self._entry.data
        m.d.comb += [
            self._entry.addr.eq(at + _HEADER_WORDS),
            free.eq(~(bus.w_en | bus.r_en) | self.granted),
        ]
        address = Mux(self.run_hello, at << 2, _number([entry[0:8], entry[8:16], entry[16:24], entry[24:32]]))
        value = _number([entry[32:40], entry[40:48], entry[48:56], entry[56:64]])
        self.done_run = Signal()
        with m.If(self.go_run):
            m.d.sync += [writing.eq(self.run_write), reading.eq(~(self.run_write | self.run_inject))]
            m.d.sync += [issued.eq(0), at.eq(0), got.eq(0)]
            m.d.sync += [left.eq(self.run_count), due.eq(self.run_count)]
        with m.If(free):
            m.d.sync += [bus.w_en.eq(writing), bus.r_en.eq(reading)]
            m.d.sync += [bus.addr.eq(address), bus.w_data.eq(value)]
            with m.If(writing | reading):
                m.d.sync += [at.eq(at + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.d.sync += [writing.eq(0), reading.eq(0), issued.eq(1)]
        m.d.comb += [asked.addr.eq(at), asked.data.eq(address), asked.en.eq(reading)]
        m.d.comb += [read.addr.eq(got), read.data.eq(bus.r_data), read.en.eq(bus.r_valid)]
        with m.If(bus.r_valid):
            m.d.sync += [got.eq(got + 1), due.eq(due - 1)]
        m.d.comb += self.done_run.eq(issued & bus.w_en & self.granted | bus.r_valid & (due == 1))

    def _inject(self, m):
        """Words of a message to the order session, in consecutive cycles where they are taken."""
        injecting, free = Signal(), Signal()
        out = self.o_inject
        last = self._left == 1
        m.d.comb += free.eq(~out.valid | out.ready)
        with m.If(self.arrived & (self.operation == Operation.INJECT)):
            m.d.sync += self.inject_claim.eq(1)
        with m.If(self.released):
            m.d.sync += self.inject_claim.eq(0)
        with m.If(self.go_run):
            m.d.sync += injecting.eq(self.run_inject)
        with m.If(free):
            m.d.sync += [out.valid.eq(injecting), out.payload.data.eq(self._entry.data), out.payload.last.eq(last)]
            m.d.sync += out.payload.count.eq(Mux(last, self.last_count, WORD_BYTES))
            if "message_in_words" in self._faults:
                m.d.sync += out.payload.count.eq(WORD_BYTES)
            with m.If(injecting):
                m.d.sync += [self._at.eq(self._at + 1), self._left.eq(self._left - 1), injecting.eq(~last)]
        self.done_inject = Signal()
        m.d.comb += self.done_inject.eq(out.valid & out.ready & out.payload.last)

    def _send(self, m):
        """The answer: header words, then what was read."""
        header = words(
            [
                *message_bytes(
                    net.ETHERNET,
                    {
                        "destination_mac": self.owner,
                        "source_mac": control.DEVICE_MAC,
                        "ethertype": control.ETHERTYPE,
                    },
                ),
                *message_bytes(
                    control.HEADER,
                    {
                        "version": control.VERSION,
                        "operation": Cat(self.answer_operation, Const(1, 1)),
                        "nonce": self.session,
                        "sequence": self.last_sequence,
                        "count": self.answer_count,
                        "status": self.status,
                        "detail": self.detail,
                    },
                ),
            ]
        )
        sending, index = Signal(), Signal(range(_FRAME_WORDS + 1))
        payload = self.o.payload
        free = Signal()
        m.d.comb += free.eq(~self.o.valid | self.o.ready)
        entry_at = index - _HEADER_WORDS
        m.d.comb += [self._answer_address.addr.eq(entry_at), self._answer_value.addr.eq(entry_at)]
        found = words(
            [
                *(self._answer_address.data[8 * n : 8 * n + 8] for n in reversed(range(4))),
                *(self._answer_value.data[8 * n : 8 * n + 8] for n in reversed(range(4))),
            ]
        )[0]
        last_index = Signal(range(_FRAME_WORDS))
        last = index == last_index
        with m.If(self.go_send | self.done_run | self.done_inject):
            m.d.sync += [sending.eq(1), index.eq(0), last_index.eq(self.answer_count + (_HEADER_WORDS - 1))]
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(sending),
                payload.data.eq(Mux(index < _HEADER_WORDS, Array(header)[index[:2]], found)),
                payload.count.eq(WORD_BYTES),
                payload.last.eq(last),
            ]
            with m.If(sending):
                m.d.sync += index.eq(index + 1)
                with m.If(last):
                    m.d.sync += sending.eq(0)
        m.d.comb += self.sent.eq(sending & free & last)
