"""Stage `risk`: the verdict on every order intent, from limits that reject until they are configured."""

from collections.abc import Callable, Mapping

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.checks import CHECKS, VERDICT_STAGE, WHOLE_BPS, Check
from tickgate.gateware.lib.counting import count
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow
from tickgate.gateware.lib.pipe import Pipe
from tickgate.gateware.lib.slots import exists, is_slot, keep_row_bits, track_state, track_told, track_validity
from tickgate.gateware.lib.tokens import TokenBucket
from tickgate.sw.spec.events import BOOK_UPDATE, INTENT, ORDER, RISK_TRACE
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import GATE_ROW, LIMITS_ROW, SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Validity

LATENCY_CYCLES = VERDICT_STAGE + 1
#: Cycles from an intent to the next, at least: what is only reported or sent rests as long. What a check looks at late
#: moves on from stage to stage, so that the registers on its way are as many as the latency says.
_APART_CYCLES = LATENCY_CYCLES

#: Limits that flip-flops declare valid, and the fields beside them that a memory keeps.
VALID_FIELDS = ("max_quantity_valid", "max_notional_valid", "collar_valid")
_LIMITS = data.StructLayout(
    {
        "max_quantity": 32,
        "max_notional_e4": 64,
        "collar_abs_e4": 32,
        "collar_low": 14,
        "collar_high": 17,
    }
)
_SYMBOL = data.StructLayout({"symbol": 64, "reciprocal": 43})
_TOP = data.StructLayout({"reference": 32, "both": 1, "crossed": 1})


def _bit(reason: Reason) -> int:
    """Number of a reason's bit in the mask."""
    return int(reason).bit_length() - 1


class Risk(wiring.Component):
    """Judges every intent by every check and lets those pass that no check rejects.

    The time of a verdict is the cycle in which its intent enters: it is judged on the updates, the kill switch and the
    session of that cycle and before, on rows written before that cycle, and on the tokens of that cycle. The verdict
    comes `LATENCY_CYCLES` later for every intent: an order on `o`, or a pulse on `rejected`. Only an order that every
    check lets pass takes its tokens.

    One intent at a time: the next one may enter when the order left `o` or `rejected` was up. Updates may come in every
    cycle.

    A frame may turn out bad when messages of it have been acted on. Its verdict comes here ahead of its notice: an
    intent that enters behind `frame_bad` and was decided before it is judged on a book with the bit `fcs`; if the
    intent under way was decided by that frame, `is_void` says so until the next one enters. An order that came to
    nothing gives its tokens back: both buckets are as if they had never been taken.

    Parameters
    ----------
    sizes: `slots` is used.
    checks: the function of each reason, `CHECKS` by default.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i_book: In(flow(BOOK_UPDATE)).
    i_intents: In(flow(INTENT)).
    cfg_symbol: In(RowPort(SYMBOL_ROW)); beyond the last slot `select` is ignored, as for `cfg_limits`.
    cfg_limits: In(RowPort(LIMITS_ROW)); a commit fills the slot's bucket.
    cfg_gate: In(RowPort(GATE_ROW)); a commit fills the session's bucket.
    kill: In(1), level of the kill switch.
    session_ok: In(1), the order session is open and has room for an order.
    frame_stamp: In(64), stamp of the first word of the frame begun last.
    frame_begins: In(1), pulse: `frame_stamp` is another one from this cycle on.
    frame_bad: In(1), pulse: the frame of `frame_stamp` has an error.
    refund: In(1), pulse, before the next intent enters: the order that passed last has consumed nothing.
    o: Out(elastic(ORDER)).
    rejected: Out(1), pulse: the verdict of this cycle is not 0.
    is_void: Out(1), level: the intent that entered last was decided by a frame that turned out bad since.
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(RISK_TRACE)), with the verdict.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    `tickgate.sw.spec.risk.Reason`: SEC 15c3-5, MiFID II RTS 6, FIA best practices 2024.
    """

    COUNTERS = (*(f"reject_{(r.name or '').lower()}" for r in Reason if r in ACTIVE_REASONS), "accepted", "rejected")
    FAULTS = {
        "quantity_less": "max quantity is compared with < where <= is meant",
        "notional_truncated": "the notional is cut to 32 bits",
        "collar_one_band": "the collar's band in basis points is not checked",
        "validity_ignored": "an order passes although the slot's book is not valid",
        "kill_leaks": "an order that only the kill switch rejects passes all the same",
        "never_refilled": "no token ever comes back",
        "rejected_takes": "an order that another check rejected takes its tokens",
        "limits_survive_reset": "limits stay valid through a reset",
        "row_mixed": "the notional's limit is read one cycle after the others",
        "book_late": "an intent does not see the update of its own cycle",
        "other_slot_kept": "a message of a wrong locate leaves the order's slot valid",
        "not_refunded": "an order that came to nothing keeps its tokens",
        "refund_overflows": "a token comes back into a full bucket",
        "verdict_late": "an intent decided before the verdict passes until the notice has come",
        "verdict_of_others": "an order that an earlier frame decided is void",
    }
    combinational_paths = (("now", "trace__payload"),)  # the record says the cycle in which it is valid
    unused_inputs = ("cfg_gate__select",)  # one row
    latency_cycles = {
        ("i_intents", "o", "accepted"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("i_intents", "rejected", "rejected"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("frame_bad", "is_void", "any"): (1, 1),
    }

    def __init__(
        self,
        sizes: Sizes,
        *,
        checks: Mapping[Reason, Callable[[Check], None]] = CHECKS,
        faults: frozenset[str] = frozenset(),
    ):
        self._sizes, self._checks, self._faults = sizes, dict(checks), checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "now": In(64),
                "i_book": In(flow(BOOK_UPDATE)),
                "i_intents": In(flow(INTENT)),
                "cfg_symbol": In(RowPort(SYMBOL_ROW)),
                "cfg_limits": In(RowPort(LIMITS_ROW)),
                "cfg_gate": In(RowPort(GATE_ROW)),
                "kill": In(1),
                "session_ok": In(1),
                "frame_stamp": In(64),
                "frame_begins": In(1),
                "frame_bad": In(1),
                "refund": In(1),
                "o": Out(elastic(ORDER)),
                "rejected": Out(1),
                "is_void": Out(1),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(RISK_TRACE)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipe(m, valid="valid")
        pipe.put("valid", self.i_intents.valid, 0, reset=True)
        for f in INTENT.fields:
            pipe.put(f.name, self.i_intents.payload[f.name], 0, rests=1 if f.name == "slot" else _APART_CYCLES)
        pipe.put("entry_cycle", self.now, 0, rests=_APART_CYCLES)
        pipe.put("kill", self.kill, 0)
        pipe.put("session_ok", self.session_ok, 0)
        self._frames(m)
        self._book(m, pipe)
        self._symbols(m, pipe)
        self._limits(m, pipe)
        price, quantity = pipe.get("price_e4", 1), pipe.get("quantity", 1)
        pipe.multiply("notional_e4", price, quantity, 1, rests=_APART_CYCLES)

        verdict = Signal()
        pipe.put("accept", verdict, VERDICT_STAGE, reset=True)
        self._buckets(m, pipe)
        checks = {}
        for reason, function in self._checks.items():
            checks[reason] = Check(pipe, f"check_{(reason.name or '').lower()}", self._faults)
            function(checks[reason])
        reasons = Signal(32)
        for reason, check in checks.items():
            m.d.comb += reasons[_bit(reason)].eq(check.rejects(VERDICT_STAGE))
        pipe.put("reasons", reasons, VERDICT_STAGE)
        # What is known two stages before the verdict is gathered one before it; what is known there only has a long
        # way to its register.
        deciding = [check for reason, check in checks.items() if not self._leaks(reason)]
        early, late = VERDICT_STAGE - 1, VERDICT_STAGE
        pipe.put("early", Cat(check.rejects(early, range(early)) for check in deciding).any(), early)
        reject = pipe.get("early", late) | Cat(check.rejects(late, (early, late)) for check in deciding).any()
        m.d.comb += verdict.eq(pipe.get("valid", late) & ~reject)
        pipe.put("reject", pipe.get("valid", late) & reject, late, reset=True)
        self._out(m, pipe)
        self._report(m, pipe)
        return m

    def _leaks(self, reason):
        """A planted fault: whether this check is reported but does not decide."""
        return reason == Reason.KILL and "kill_leaks" in self._faults

    def _memory(self, m, name, shape, slot):
        """A row for each slot in distributed memory, read in the cycle in which `slot` is known."""
        m.submodules[name] = memory = Memory(shape=shape, depth=self._sizes.slots, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        m.d.comb += read.addr.eq(slot)
        return read, write

    def _commit(self, port):
        """Whether a row of a slot that exists is committed, and of which."""
        return port.commit & exists(port.select, self._sizes.slots), port.select[: self._sizes.slot_bits]

    def _frames(self, m):
        """What the feed says of frames, ahead of the book: whether the intent under way is void, and one that enters.

        An intent that enters was decided by the frame of `frame_stamp` or by one before it: the next one's messages
        take longer to get here than its number does.
        """
        enters, stamp = self.i_intents.valid, self.i_intents.payload.stamp
        verdict_cycle = Signal(64)  # of the last one; no message of a later frame was there by then
        own = Signal()  # the intent under way was decided by the frame of `frame_stamp`
        of_frame = Signal()
        m.d.comb += of_frame.eq(Mux(enters, stamp >= self.frame_stamp, own))
        if "verdict_of_others" in self._faults:
            m.d.comb += of_frame.eq(1)
        m.d.sync += own.eq(of_frame & (enters | ~self.frame_begins))
        m.d.sync += self.is_void.eq((self.frame_bad & of_frame) | (self.is_void & ~enters))
        with m.If(self.frame_bad):
            m.d.sync += verdict_cycle.eq(self.now)
        self._decided_before = Signal()
        if "verdict_late" not in self._faults:
            m.d.comb += self._decided_before.eq(stamp < verdict_cycle)

    def _book(self, m, pipe):
        """What the slot's book says, with the update of the same cycle.

        Reference and crossing are computed when an update comes, so that an intent finds them ready.
        """
        slots = self._sizes.slots
        update, slot = self.i_book.payload, self.i_intents.payload.slot
        validity = track_validity(m, slots, self.i_book, keep_other="other_slot_kept" in self._faults)
        state = track_state(m, slots, self.i_book)
        # The memory of tops keeps what it has through a reset and a sweep of the tables; these bits do not.
        told = track_told(m, slots, self.i_book)
        read, write = self._memory(m, "tops", _TOP, slot)
        top = Signal(_TOP)
        has_both = (update.bid_px_e4 != 0) & (update.ask_px_e4 != 0)
        one = self.i_book.valid & ~update.every_slot
        m.d.comb += [
            top.reference.eq((update.bid_px_e4 + update.ask_px_e4) >> 1),
            top.both.eq(has_both),
            top.crossed.eq(has_both & (update.bid_px_e4 >= update.ask_px_e4)),
            write.addr.eq(update.slot),
            write.data.eq(top),
            write.en.eq(one),
        ]
        seen = Signal(_TOP)
        known, valid_now, state_now = told.after_at(slot), validity.after_at(slot), state.after_at(slot)
        same = is_slot(update.slot, slot[: self._sizes.slot_bits])
        m.d.comb += seen.eq(Mux(one & same, top, read.data))
        if "book_late" in self._faults:
            m.d.comb += seen.eq(read.data)
            known, valid_now, state_now = told.at(slot), validity.at(slot), state.at(slot)
        pipe.put("has_reference", known & seen.both, 0)
        pipe.put("reference", seen.reference, 0, rests=_APART_CYCLES)
        pipe.put("crossed", known & seen.crossed, 0)
        pipe.put("validity", valid_now | Mux(self._decided_before, int(Validity.FCS), 0), 0)
        pipe.put("state", state_now, 0)

        last_seq = Signal(64)
        as_of_seq = Mux(self.i_book.valid, update.seq, last_seq)
        m.d.sync += last_seq.eq(as_of_seq)
        pipe.put("as_of_seq", as_of_seq, 0, rests=_APART_CYCLES)

    def _symbols(self, m, pipe):
        """Name and tick of the slot's symbol."""
        slot = self.i_intents.payload.slot
        read, write = self._memory(m, "symbols", _SYMBOL, slot)
        commit, select = self._commit(self.cfg_symbol)
        row = self.cfg_symbol.row
        m.d.comb += [
            write.addr.eq(select),
            write.en.eq(commit),
            write.data.symbol.eq(row.symbol),
            write.data.reciprocal.eq(row.reciprocal),
        ]
        valid = keep_row_bits(m, self._sizes.slots, row.valid, commit, select, name="symbol_valid")
        pipe.put("symbol_valid", valid.at(slot), 0)
        pipe.put("symbol", read.data.symbol, 0, rests=_APART_CYCLES)
        pipe.put("reciprocal", read.data.reciprocal, 0)

    def _limits(self, m, pipe):
        """The slot's limits: values from a memory, valid bits from flip-flops that reset clears."""
        slot = self.i_intents.payload.slot
        read, write = self._memory(m, "limits", _LIMITS, slot)
        commit, select = self._commit(self.cfg_limits)
        row = self.cfg_limits.row
        bps = row.collar_bps
        m.d.comb += [
            write.addr.eq(select),
            write.en.eq(commit),
            write.data.max_quantity.eq(row.max_quantity),
            write.data.max_notional_e4.eq(row.max_notional_e4),
            write.data.collar_abs_e4.eq(row.collar_abs_e4),
            write.data.collar_low.eq(Mux(bps > WHOLE_BPS, 0, WHOLE_BPS - bps)),
            write.data.collar_high.eq(WHOLE_BPS + bps),
        ]
        valid = keep_row_bits(
            m,
            self._sizes.slots,
            Cat(row[name] for name in VALID_FIELDS),
            commit,
            select,
            name="limits_valid",
            reset_less="limits_survive_reset" in self._faults,
        )
        for n, name in enumerate(VALID_FIELDS):
            pipe.put(name, valid.at(slot)[n], 0)
        for name in _LIMITS.members:
            if name == "max_notional_e4" and "row_mixed" in self._faults:
                late, late_write = self._memory(m, "late", _LIMITS, pipe.get("slot", 1))
                m.d.comb += [late_write.addr.eq(select), late_write.en.eq(commit), late_write.data.eq(write.data)]
                pipe.put(name, late.data[name], 1)
            else:
                pipe.put(name, read.data[name], 0)

    def _buckets(self, m, pipe):
        """Token buckets of the slots and of the session.

        A bucket that is not configured is empty. They live `VERDICT_STAGE` cycles in the past, commits delayed with
        them, so that a verdict sees and takes the tokens of the cycle in which its intent entered.
        """
        commit, select = self._commit(self.cfg_limits)
        pipe.put("load", commit, 0, reset=True)
        pipe.put("load_slot", select, 0, when="load")
        pipe.put("session_load", self.cfg_gate.commit, 0, reset=True)
        for name, row in (("load", self.cfg_limits.row), ("session_load", self.cfg_gate.row)):
            burst = pipe.put(f"{name}_burst", Mux(row.rate_valid, row.rate_burst, 0), 0, when=name)
            pipe.put(f"{name}_burst_any", burst.any(), 0, when=name)
            pipe.put(f"{name}_period", Mux(row.rate_period_cycles == 0, 1, row.rate_period_cycles), 0, when=name)

        at, before = VERDICT_STAGE, VERDICT_STAGE - 1
        slot, slot_before = (pipe.get("slot", stage)[: self._sizes.slot_bits] for stage in (at, before))
        buckets = [self._bucket(m, pipe, f"bucket_{s}", "load") for s in range(self._sizes.slots)]
        session = self._bucket(m, pipe, "bucket_session", "session_load")
        pipe.put("symbol_ready", Array(b.ready for b in buckets)[slot_before], before)
        pipe.put("symbol_before", Array(b.tokens for b in buckets)[slot], at)
        pipe.put("session_ready", session.ready, before)
        pipe.put("session_before", session.tokens, at)

        after = LATENCY_CYCLES
        took = {}
        for name in ("symbol", "session"):
            took[name] = pipe.get("accept", after)
            if "rejected_takes" in self._faults:
                took[name] = pipe.get("valid", after) & pipe.get(f"{name}_ready", after)
            pipe.put(f"tokens_{name}", (pipe.get(f"{name}_before", after) - took[name])[:16], after)
        m.d.comb += [session.took.eq(took["session"]), session.load.eq(pipe.get("session_load", at))]
        # Nothing was taken since, and nothing will be before this is done: a cycle more or less does not matter.
        refund = self.refund if "not_refunded" not in self._faults else Const(0)
        last_slot = Signal(self._sizes.slot_bits)
        with m.If(self.i_intents.valid):
            m.d.sync += last_slot.eq(self.i_intents.payload.slot)
        m.d.sync += session.returned.eq(refund)
        for s, bucket in enumerate(buckets):
            pipe.put(f"of_{s}", slot == s, at)
            m.d.comb += [
                bucket.took.eq(took["symbol"] & pipe.get(f"of_{s}", after)),
                bucket.load.eq(pipe.get("load", at) & (pipe.get("load_slot", at) == s)),
            ]
            m.d.sync += bucket.returned.eq(refund & (last_slot == s))

    def _bucket(self, m, pipe, name, load):
        """A bucket that loads from the row of one commit."""
        m.submodules[name] = bucket = TokenBucket(faults=self._faults & set(TokenBucket.FAULTS))
        m.d.comb += [
            bucket.burst.eq(pipe.get(f"{load}_burst", VERDICT_STAGE)),
            bucket.burst_any.eq(pipe.get(f"{load}_burst_any", VERDICT_STAGE)),
            bucket.period_cycles.eq(pipe.get(f"{load}_period", VERDICT_STAGE)),
        ]
        return bucket

    def _out(self, m, pipe):
        """The accepted order, until it is taken."""
        held = self.o.valid & ~self.o.ready
        with m.If(~held):
            m.d.sync += self.o.valid.eq(pipe.get("accept", VERDICT_STAGE))
        # What stands in the pipeline's last registers stays there: the next intent enters when the order has left.
        for f in ORDER.fields:
            m.d.comb += self.o.payload[f.name].eq(pipe.get(f.name, LATENCY_CYCLES))
        m.d.comb += self.rejected.eq(pipe.get("reject", LATENCY_CYCLES))

    def _report(self, m, pipe):
        """Trace record and counters of a verdict, in the cycle in which it is out."""
        at = LATENCY_CYCLES
        record = self.trace.payload
        m.d.comb += [self.trace.valid.eq(pipe.get("valid", at)), record.cycle.eq(self.now)]
        for f in RISK_TRACE.fields:
            if f.name == "reference_e4":
                m.d.comb += record.reference_e4.eq(Mux(pipe.get("has_reference", at), pipe.get("reference", at), 0))
            elif f.name != "cycle":
                m.d.comb += record[f.name].eq(pipe.get(f.name, at))
        counted = {"accepted": pipe.get("accept", at), "rejected": pipe.get("reject", at)}
        for reason in self._checks:
            bit = pipe.get("reasons", at)[_bit(reason)]
            counted[f"reject_{(reason.name or '').lower()}"] = pipe.get("valid", at) & bit
        count(m, self.counters, counted)
