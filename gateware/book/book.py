"""Stage `book`: from order events to the best bid and offer of every slot, with its validity and trading state."""

from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.book.front import Front
from tickgate.gateware.book.levels import LEVEL_ANSWER_STAGE, Levels
from tickgate.gateware.book.pricing import LEVEL_STAGES, PriceToLevel, shortened, window_layout
from tickgate.gateware.book.table import ANSWER_STAGE, OrderTable, order_layout
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow
from tickgate.gateware.lib.pipe import Pipe
from tickgate.gateware.lib.slots import STATE_INIT, VALIDITY_INIT
from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, EVENT, NO_SLOT, EventKind, Notice, StateOp
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import LEVEL_QTY_BITS, Sizes
from tickgate.sw.spec.state import STICKY_VALIDITY, Anomaly, OrderClass, SymbolState, Validity

#: Stages counted from the cycle in which an event is taken: the verdict on its order, and the last one.
JUDGE_STAGE = ANSWER_STAGE
FINAL_STAGE = JUDGE_STAGE + LEVEL_ANSWER_STAGE
LATENCY_CYCLES = FINAL_STAGE + 1
#: The second half of a REPLACE enters this much later than the first.
HALF_CYCLES = 2

_MARKET_STATE = SymbolState.BREAKER | SymbolState.CLOSED
_PLACED = int(OrderClass.PLACED)


class Book(wiring.Component):
    """Keeps the order table and the price levels of every slot, and tells its best bid and offer after every event.

    An event is taken every second cycle, a REPLACE every fourth: it runs as two operations, the old order's removal and
    the new one's addition, but counts as one message: one update and one trace record, after both. Every event takes
    `LATENCY_CYCLES` from the cycle in which it is taken to its update, a REPLACE `HALF_CYCLES` more. Nothing else holds
    an event up, but for one operation each for news that have no event: a lost event and a clear command.

    After reset, a NEW_SESSION notice and `clear`, order table and levels are swept; this begins when the operations
    before it are done and takes as many cycles as the longest swept memory has rows. Order events taken meanwhile
    change nothing but leave their slot incomplete. When a sweep has ended, and when a symbol row was committed, every
    slot concerned gets an update of its own with `itch_type` 0 and the sequence number of the last event, in a cycle
    pair that no event wants; the slot is free of CLEARING from that update on. Such updates have no trace record.

    Levels use the slot's symbol row as it is when the order is added: after a commit they are right from the next sweep
    on. A commit also resets the slot's trading state.

    Parameters
    ----------
    sizes: all fields are used.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i: In(elastic(EVENT)).
    cfg_symbol: In(RowPort(SYMBOL_ROW)); `select` is the slot, beyond the last one it is ignored.
    clear: In(1), pulse: sweep; every slot turns unsynced.
    event_overflow: In(1), pulse: an event was lost in front of the book; every slot turns overflow.
    o: Out(flow(BOOK_UPDATE)).
    clearing: Out(1), the tables are being swept or a slot has not been told yet that this has ended.
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(BOOK_TRACE)), with `o`.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    `docs/architecture.md`: price windows, validity, anomalies. `tickgate.gateware.book.dump`: names of the memories.
    """

    COUNTERS = (
        *(f"anomaly_{anomaly.name.lower()}" for anomaly in Anomaly if anomaly),
        "events",
        "overflows",
        "drop_clearing",
        "drop_event_overflow",
    )
    FAULTS = {
        **OrderTable.FAULTS,
        **PriceToLevel.FAULTS,
        **Levels.FAULTS,
        "replace_side_lost": "the new order of a REPLACE is always a bid",
        "far_not_uncounted": "a far order that goes stays counted",
        "excess_wraps": "an execution above what remains leaves an order of the wrapped difference",
        "other_slot_spared": "an order named by a message of another locate leaves its own slot complete",
    }
    combinational_paths = (("now", "trace__payload"),)
    latency_cycles = {
        ("i", "o", "any"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("i", "o", "replace"): (LATENCY_CYCLES + HALF_CYCLES, LATENCY_CYCLES + HALF_CYCLES),
    }

    def __init__(self, sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        if unknown := sorted(faults - set(self.FAULTS)):
            raise ValueError(f"fault must be one of {', '.join(self.FAULTS)}, not {unknown[0]!r}")
        self._sizes, self._faults = sizes, faults
        super().__init__(
            {
                "now": In(64),
                "i": In(elastic(EVENT)),
                "cfg_symbol": In(RowPort(SYMBOL_ROW)),
                "clear": In(1),
                "event_overflow": In(1),
                "o": Out(flow(BOOK_UPDATE)),
                "clearing": Out(1),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(BOOK_TRACE)),
            }
        )

    def _parts(self, kind) -> frozenset[str]:
        """The faults that concern a part."""
        return self._faults & frozenset(kind.FAULTS)

    def elaborate(self, platform):
        m = Module()
        pipe = Pipe(m)
        m.submodules.front = front = Front(self._sizes)
        m.submodules.table = self._table = OrderTable(self._sizes, self._parts(OrderTable))
        m.submodules.pricing = self._pricing = PriceToLevel(self._sizes, self._parts(PriceToLevel))
        m.submodules.levels = self._levels = Levels(self._sizes, self._parts(Levels))
        self._front = front
        self._enter(m, pipe)
        self._windows(m, pipe)
        self._judge(m, pipe)
        self._count(m, pipe)
        self._best(m, pipe)
        self._news(m, pipe)
        self._tell(m, pipe)
        return m

    def _enter(self, m, pipe):
        """Stage 0: the operation that the front end lets in."""
        front = self._front
        wiring.connect(m, front.i, wiring.flipped(self.i))
        select = self.cfg_symbol.select
        commit = self.cfg_symbol.commit & (select < self._sizes.slots)
        m.d.comb += [
            front.clear.eq(self.clear),
            front.event_overflow.eq(self.event_overflow),
            front.refresh.eq(commit),
            front.refresh_slot.eq(select),
            self.clearing.eq(front.clearing),
            self._table.sweep.eq(front.sweep),
            self._table.sweep_row.eq(front.sweep_row),
            self._levels.sweep.eq(front.sweep),
            self._levels.sweep_row.eq(front.sweep_row),
        ]
        valid = pipe.put("valid", front.valid, 0, reset=True)
        for name in front.op.shape().members:
            if name not in ("add", "take"):
                pipe.put(name, front.op[name], 0)
        # While tables are swept an order event is nobody's.
        for name in ("add", "take"):
            pipe.put(f"wants_{name}", front.op[name], 0)
            pipe.put(name, pipe.get(f"wants_{name}", 1) & ~pipe.get("dropped", 1), 1)
        m.d.comb += [
            self._table.i_valid.eq(valid),
            self._table.use.eq(pipe.get("add", 1) | pipe.get("take", 1)),
            self._table.i_reference.eq(front.reference),
            self._table.i_second.eq(front.second),
            self._table.i_second_reference.eq(front.second_reference),
        ]
        # Price and sequence number of a message wait in a small ring; no more than half as many are under way as there
        # are stages.
        ring = Memory(shape=data.StructLayout({"seq": 64, "stamp": 64, "itch_type": 8}), depth=8, init=[])
        m.submodules.tags = ring
        write, self._tag = ring.write_port(), ring.read_port(domain="comb")
        taken = self.i.valid & self.i.ready
        put_at, self._get_at = Signal(3), Signal(3)
        m.d.comb += [
            write.addr.eq(put_at),
            write.en.eq(taken),
            write.data.seq.eq(self.i.payload.seq),
            write.data.stamp.eq(self.i.payload.stamp),
            write.data.itch_type.eq(self.i.payload.itch_type),
            self._tag.addr.eq(self._get_at),
        ]
        m.d.sync += put_at.eq(put_at + taken)

        # Stage 1: what is wrong with the message by itself.
        kind, no_qty, no_price = pipe.get("kind", 1), pipe.get("qty", 1) == 0, pipe.get("price_e4", 1) == 0
        priced = (kind == EventKind.ADD) | (kind == EventKind.REPLACE)
        order = (kind <= EventKind.REPLACE) & (pipe.get("add", 1) | pipe.get("take", 1))
        early = Signal(range(len(Anomaly)))
        with m.If(order):
            with m.If((kind == EventKind.ADD) & pipe.get("bad_side", 1)):
                m.d.comb += early.eq(Anomaly.BAD_SIDE)
            with m.Elif((kind != EventKind.DELETE) & no_qty):
                m.d.comb += early.eq(Anomaly.ZERO_QUANTITY)
            with m.Elif(priced & no_price):
                m.d.comb += early.eq(Anomaly.ZERO_PRICE)
        pipe.put("early", early, 1)

    def _windows(self, m, pipe):
        """Symbol rows; read for a price in stage 1, and for the price of a level in stages 9 and 10."""
        row, select = self.cfg_symbol.row, self.cfg_symbol.select
        windows = Memory(shape=window_layout(self._sizes), depth=self._sizes.slots, init=[])
        m.submodules.windows = windows
        write = windows.write_port()
        reads = [windows.read_port(domain="comb") for _ in range(2)]
        committed = Signal()
        late = {name: Signal.like(row[name], name=f"committed_{name}", reset_less=True)
                for name in ("base_e4", "span_e4", "tick_e4", "reciprocal")}  # fmt: skip
        late_slot = Signal(self._sizes.slot_bits, reset_less=True)
        m.d.sync += [committed.eq(self.cfg_symbol.commit & (select < self._sizes.slots)), late_slot.eq(select)]
        m.d.sync += [signal.eq(row[name]) for name, signal in late.items()]
        m.d.comb += [
            write.en.eq(committed),
            write.addr.eq(late_slot),
            write.data.base_e4.eq(late["base_e4"]),
            write.data.span_e4.eq(late["span_e4"]),
            write.data.tick_e4.eq(late["tick_e4"]),
            write.data.reciprocal.eq(shortened(late["reciprocal"], self._sizes)),
            reads[0].addr.eq(pipe.get("slot", 1)),
            reads[1].addr.eq(pipe.get("slot", FINAL_STAGE - 1)),
        ]
        # The row is captured between stages 1 and 2, so that the price's pipeline begins at a register.
        first = JUDGE_STAGE - LEVEL_STAGES
        m.d.comb += [self._pricing.price_e4.eq(pipe.get("price_e4", first)), self._pricing.window.eq(reads[0].data)]
        pipe.put("tick_e4", reads[1].data.tick_e4, FINAL_STAGE - 1)
        pipe.put("base_e4", reads[1].data.base_e4, FINAL_STAGE - 1)
        m.d.comb += [
            self._levels.tick_e4.eq(pipe.get("tick_e4", FINAL_STAGE - 1)),
            self._levels.base_e4.eq(pipe.get("base_e4", FINAL_STAGE)),
        ]

    def _judge(self, m, pipe):
        """Stage 5: is the message's order there, and what becomes of it? The level follows in stages 5 and 6."""
        table, pricing, levels, at = self._table, self._pricing, self._levels, JUDGE_STAGE
        valid, add, take = pipe.get("valid", at), pipe.get("add", at), pipe.get("take", at)
        second, slot, qty = pipe.get("second", at), pipe.get("slot", at), pipe.get("qty", at)
        kind, early = pipe.get("kind", at), pipe.get("early", at)
        old = table.order

        # Left by the first half of a REPLACE for the second.
        first_taken, first_side = Signal(), Signal()

        wrong = old.slot != slot
        partial = (kind == EventKind.EXECUTE) | (kind == EventKind.CANCEL)
        excess = partial & (qty > old.qty)
        all_of_it = ~partial | (qty >= old.qty)
        if "excess_wraps" in self._faults:
            all_of_it = ~partial | (qty == old.qty)
        fine = valid & (early == 0)
        taken = Signal()
        adds = Signal()
        m.d.comb += [
            taken.eq(fine & take & table.found & ~wrong),
            adds.eq(fine & add & ~table.found & (~second | first_taken)),
            table.add.eq(adds & table.room),
            table.keep.eq(taken & ~all_of_it),
            table.drop.eq(taken & all_of_it),
        ]
        with m.If(valid & take):
            m.d.sync += [first_taken.eq(taken), first_side.eq(old.side)]

        side = Mux(second, first_side, pipe.get("side", at))
        if "replace_side_lost" in self._faults:
            side = Mux(second, 0, pipe.get("side", at))
        klass = Mux(side, pricing.sell_class, pricing.buy_class)
        new_level = Mux(klass == _PLACED, pricing.level, 0)
        after = data.View(order_layout(self._sizes), Signal(order_layout(self._sizes).size, name="after"))
        m.d.comb += [
            after.slot.eq(slot),
            after.side.eq(Mux(add, side, old.side)),
            after.klass.eq(Mux(add, klass, old.klass)),
            after.level.eq(Mux(add, new_level, old.level)),
            after.price_e4.eq(Mux(add, pipe.get("price_e4", at), old.price_e4)),
            after.qty.eq(Mux(add, qty, old.qty - qty)),
            table.after.eq(after),
            levels.slot.eq(slot),
            # An add's level number is right wherever it is used: then the price is placed.
            levels.side.eq(Mux(add, side, old.side)),
            levels.level.eq(Mux(add, pricing.level, old.level)),
        ]

        anomaly = Signal(range(len(Anomaly)))
        with m.If(early != 0):
            m.d.comb += anomaly.eq(early)
        with m.Elif(take & ~table.found):
            m.d.comb += anomaly.eq(Anomaly.UNKNOWN_REFERENCE)
        with m.Elif(take & wrong):
            m.d.comb += anomaly.eq(Anomaly.WRONG_LOCATE)
        with m.Elif(take & excess):
            m.d.comb += anomaly.eq(Anomaly.EXCESS_QUANTITY)
        with m.Elif(add & table.found & (~second | first_taken)):
            m.d.comb += anomaly.eq(Anomaly.DUPLICATE_REFERENCE)
        pipe.put("anomaly", anomaly, at)
        pipe.put("other", fine & take & table.found & wrong, at)
        pipe.put("other_slot", old.slot, at)
        pipe.put("overflow", adds & ~table.room, at)
        pipe.put("taken", taken, at)
        pipe.put("added", table.add, at)
        pipe.put("gone", table.drop, at)
        pipe.put("order_px_e4", after.price_e4, at)
        pipe.put("order_side", after.side, at)
        pipe.put("order_class", after.klass, at)
        pipe.put("order_level", after.level, at)
        pipe.put("order_qty_before", old.qty, at)
        pipe.put("all_of_it", take & all_of_it, at)
        pipe.put("order_qty_left", after.qty, at)
        all_of_it = pipe.get("all_of_it", at + 1)
        pipe.put("order_qty", Mux(all_of_it, 0, pipe.get("order_qty_left", at + 1)), at + 1)
        pipe.put("moved", Mux(all_of_it, pipe.get("order_qty_before", at + 1), pipe.get("qty", at + 1)), at + 1)

        placed = (pipe.get("taken", at + 1) | pipe.get("added", at + 1)) & (pipe.get("order_class", at + 1) == _PLACED)
        pipe.put("placed", placed, at + 1)
        m.d.comb += [
            levels.go.eq(pipe.get("placed", at + 1)),
            levels.add.eq(pipe.get("added", at + 1)),
            levels.qty.eq(pipe.get("moved", at + 1)),
        ]

    def _count(self, m, pipe):
        """Stage 8: orders without a level, counted a side; wide enough that a count never wraps."""
        at = FINAL_STAGE - 2
        bits = (self._sizes.orders + self._sizes.stash).bit_length()
        counts = data.StructLayout({"far": bits, "off": bits})
        slot, klass = pipe.get("slot", at), pipe.get("order_class", at)
        less = pipe.get("gone", at)
        if "far_not_uncounted" in self._faults:
            less = less & (klass != OrderClass.FAR)
        for side, short in enumerate(("bid", "ask")):
            memory = Memory(shape=counts, depth=self._sizes.slots, init=[])
            m.submodules[f"counts_{short}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [read.addr.eq(slot), write.addr.eq(Mux(self._front.sweep, self._front.sweep_row, slot))]
            here = pipe.get("order_side", at) == side
            for name, of in (("far", OrderClass.FAR), ("off", OrderClass.OFF)):
                concerns = here & (klass == of)
                more = read.data[name] + (concerns & pipe.get("added", at)) - (concerns & less)
                pipe.put(f"{name}_{short}", more[:bits], at)
                pipe.put(f"no_{name}_{short}", pipe.get(f"{name}_{short}", at + 1) == 0, at + 1)
                m.d.comb += write.data[name].eq(Mux(self._front.sweep, 0, pipe.get(f"{name}_{short}", at)))
            change = pipe.get("valid", at) & here & (pipe.get("added", at) | pipe.get("gone", at))
            m.d.comb += write.en.eq(self._front.sweep | change)

        # A REPLACE that takes and adds the same shares at the same level leaves the best as it was.
        kept = {name: Signal.like(pipe.get(name, at), name=f"first_{name}", reset_less=True)
                for name in ("placed", "order_level", "moved")}  # fmt: skip
        same = Const(1)
        for name, signal in kept.items():
            with m.If(pipe.get("valid", at) & pipe.get("first", at)):
                m.d.sync += signal.eq(pipe.get(name, at))
            same = same & (signal == pipe.get(name, at))
        pipe.put("same", same & pipe.get("second", at), at)

    def _best(self, m, pipe):
        """Stage 10: the best bid and offer after the operation."""
        at, levels = FINAL_STAGE, self._levels
        slot, side, placed = pipe.get("slot", at), pipe.get("order_side", at), pipe.get("placed", at)
        best = data.StructLayout({"px_e4": 32, "qty": LEVEL_QTY_BITS, "any": 1})
        wins = levels.any & levels.best
        self._bests = []
        for number, short in enumerate(("bid", "ask")):
            memory = Memory(shape=best, depth=self._sizes.slots, init=[])
            m.submodules[f"best_{short}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            here = placed & (side == number)
            found = data.View(best, Signal(best.size, name=f"found_{short}"))
            now = data.View(best, Signal(best.size, name=f"now_{short}"))
            m.d.comb += [
                found.px_e4.eq(Mux(wins, pipe.get("order_px_e4", at), Mux(levels.other, levels.other_px_e4, 0))),
                found.qty.eq(Mux(wins, levels.after, Mux(levels.other, levels.other_qty, 0))),
                found.any.eq(wins | levels.other),
                now.eq(Mux(here, found.as_value(), read.data.as_value())),
                read.addr.eq(slot),
                write.addr.eq(Mux(self._front.sweep, self._front.sweep_row, slot)),
                write.data.eq(Mux(self._front.sweep, 0, now.as_value())),
                write.en.eq(self._front.sweep | (pipe.get("valid", at) & here)),
            ]
            self._bests.append(now)

    def _news(self, m, pipe):
        """Stage 10: validity and trading state of every slot."""
        at, slots = FINAL_STAGE, self._sizes.slots
        valid, every, kind = pipe.get("valid", at), pipe.get("every_slot", at), pipe.get("kind", at)
        last = pipe.get("valid", at) & ~pipe.get("first", at)

        set_bits, clear_bits = Signal(7), Signal(7)
        notice = pipe.get("notice", at)
        with m.If(pipe.get("lost", at)):
            m.d.comb += set_bits.eq(Validity.OVERFLOW)
        with m.Elif(pipe.get("cleared", at)):
            m.d.comb += set_bits.eq(Validity.CLEARING | Validity.UNSYNCED)
        with m.Elif(kind == EventKind.NOTICE):
            with m.Switch(notice):
                with m.Case(Notice.GAP):
                    m.d.comb += set_bits.eq(Validity.GAP)
                with m.Case(Notice.FCS):
                    m.d.comb += set_bits.eq(Validity.FCS)
                with m.Case(Notice.NEW_SESSION):
                    m.d.comb += [set_bits.eq(Validity.UNSYNCED | Validity.CLEARING), clear_bits.eq(STICKY_VALIDITY)]
                with m.Case(Notice.MARK):
                    m.d.comb += clear_bits.eq(STICKY_VALIDITY | Validity.UNSYNCED)
                with m.Case(Notice.SYNC):
                    m.d.comb += clear_bits.eq(Validity.UNSYNCED)
                with m.Default():
                    m.d.comb += set_bits.eq(Validity.INCOMPLETE)
        self._set_bits, self._clear_bits = set_bits, clear_bits
        wrong_length = (kind == EventKind.NOTICE) & (notice == Notice.NONE) & every & ~pipe.get("lost", at)
        wrong_length = wrong_length & ~pipe.get("cleared", at)

        validity = [Signal(7, init=int(VALIDITY_INIT), name=f"validity_{number}") for number in range(slots)]
        state = [Signal(5, init=int(STATE_INIT), name=f"state_{number}") for number in range(slots)]
        # The first half of a REPLACE leaves its findings for the whole message.
        first_anomaly, first_other, first_other_slot = Signal(4), Signal(), Signal(self._sizes.slot_bits)
        first_touched = Signal()
        second, anomaly = pipe.get("second", at), pipe.get("anomaly", at)
        touched = pipe.get("placed", at) & self._levels.best
        with m.If(valid & pipe.get("first", at)):
            m.d.sync += [
                first_anomaly.eq(anomaly),
                first_other.eq(pipe.get("other", at)),
                first_other_slot.eq(pipe.get("other_slot", at)),
                first_touched.eq(touched),
            ]
        # A slot that is being swept has no orders, whatever its memories still hold.
        pipe.put("kept_validity", Array(validity)[pipe.get("slot", at - 1)], at - 1)
        clearing = pipe.get("kept_validity", at - 1)[Validity.CLEARING.bit_length() - 1]
        pipe.put("hide", pipe.get("every_slot", at - 1) | clearing, at - 1)
        pipe.put("kept_state", Array(state)[pipe.get("slot", at - 1)], at - 1)
        self._anomaly = Signal(4)
        with m.If(wrong_length):
            m.d.comb += self._anomaly.eq(Anomaly.WRONG_LENGTH)
        with m.Elif(second & (first_anomaly != 0)):
            m.d.comb += self._anomaly.eq(first_anomaly)
        with m.Else():
            m.d.comb += self._anomaly.eq(anomaly)
        self._other = Mux(second, first_other, pipe.get("other", at))
        self._other_slot = Mux(second, first_other_slot, pipe.get("other_slot", at))
        self._changed = Mux(second, (first_touched | touched) & ~pipe.get("same", at), touched)
        self._changed = self._changed | pipe.get("swept", at)

        slot = pipe.get("slot", at)
        spoiled = (self._anomaly != 0) | pipe.get("dropped", at)
        new_bits = Mux(spoiled, Const(Validity.INCOMPLETE, 7), 0) | Mux(
            pipe.get("overflow", at), Const(Validity.OVERFLOW, 7), 0
        )
        old_bits = Mux(pipe.get("swept", at), Const(Validity.CLEARING, 7), 0)
        self._kept = (pipe.get("kept_validity", at) | new_bits) & ~old_bits
        state_bits, op = pipe.get("state_bits", at), pipe.get("state_op", at)
        state_event = last & (kind == EventKind.STATE)
        state_set = Mux(op == StateOp.SET, state_bits, 0)
        state_clear = Mux(op == StateOp.CLEAR, state_bits, 0)
        self._state = pipe.get("kept_state", at) & ~Mux(kind == EventKind.STATE, state_clear, 0)
        self._state = self._state | Mux(kind == EventKind.STATE, state_set, 0)
        self._state_set = Mux(kind == EventKind.STATE, state_set, 0)
        self._state_clear = Mux(kind == EventKind.STATE, state_clear, 0)
        commit, select = self.cfg_symbol.commit, self.cfg_symbol.select
        fresh = Mux(self.cfg_symbol.row.assume_trading, Const(0, 5), Const(SymbolState.NO_STATE, 5))
        for number in range(slots):
            with m.If(last & every):
                m.d.sync += validity[number].eq(validity[number] & ~clear_bits | set_bits)
            with m.Elif(last & (slot == number)):
                m.d.sync += validity[number].eq(self._kept)
            with m.Elif(last & self._other & (self._other_slot == number)):
                if "other_slot_spared" not in self._faults:
                    m.d.sync += validity[number].eq(validity[number] | int(Validity.INCOMPLETE))
            with m.If(commit & (select == number)):
                m.d.sync += state[number].eq(fresh)
            with m.Elif(state_event & (every | (slot == number))):
                m.d.sync += state[number].eq(state[number] & ~state_clear | state_set)
        market = Signal(5)
        self._market = Signal(5)
        m.d.comb += self._market.eq((market & ~self._state_clear | self._state_set) & int(_MARKET_STATE))
        with m.If(last & every):
            m.d.sync += market.eq(self._market)

    def _tell(self, m, pipe):
        """Stage 10 to 11: the update, the trace record and the counters."""
        at = FINAL_STAGE
        every, hide, own = pipe.get("every_slot", at), pipe.get("hide", at), pipe.get("own", at)
        last = pipe.get("valid", at) & ~pipe.get("first", at)
        bid, ask = self._bests
        sound = Const(1)
        for best, short in ((bid, "bid"), (ask, "ask")):
            no_far, no_off = pipe.get(f"no_far_{short}", at), pipe.get(f"no_off_{short}", at)
            sound = sound & no_off & (best.any | no_far)
        validity = self._kept | Mux(sound | hide, 0, Const(Validity.WINDOW, 7))
        update = self.o.payload
        last_seq = Signal(64)
        seq = Mux(own, last_seq, self._tag.data.seq)
        itch_type = Mux(own, 0, self._tag.data.itch_type)
        stamp = Mux(own, 0, self._tag.data.stamp)
        m.d.sync += [
            self.o.valid.eq(last),
            self._get_at.eq(self._get_at + (last & ~own)),
            update.slot.eq(Mux(every, 0, pipe.get("slot", at))),
            update.every_slot.eq(every),
            update.every_set.eq(Mux(every, self._set_bits, 0)),
            update.every_clear.eq(Mux(every, self._clear_bits, 0)),
            update.state_set.eq(Mux(every, self._state_set, 0)),
            update.state_clear.eq(Mux(every, self._state_clear, 0)),
            update.other.eq(self._other),
            update.other_slot.eq(Mux(self._other, self._other_slot, 0)),
            update.bid_px_e4.eq(Mux(hide, 0, bid.px_e4)),
            update.bid_qty.eq(Mux(hide, 0, bid.qty)),
            update.ask_px_e4.eq(Mux(hide, 0, ask.px_e4)),
            update.ask_qty.eq(Mux(hide, 0, ask.qty)),
            update.bbo_changed.eq(self._changed & ~every),
            update.validity.eq(Mux(every, 0, validity)),
            update.state.eq(Mux(every, 0, self._state)),
            update.itch_type.eq(itch_type),
            update.seq.eq(seq),
            update.stamp.eq(stamp),
        ]
        with m.If(last):
            m.d.sync += last_seq.eq(seq)
        self._trace(m, pipe, last & ~own, sound)
        self._counters(m, pipe, last)

    def _trace(self, m, pipe, valid, sound):
        """The trace record: the update's own fields, and what was taken and added."""
        at, levels, trace, update = FINAL_STAGE, self._levels, self.trace.payload, self.o.payload
        placed = pipe.get("placed", at)
        values = {
            "level_before": Mux(placed, levels.before, 0),
            "level_after": Mux(placed, levels.after, 0),
            "price_e4": pipe.get("order_px_e4", at),
            "level": pipe.get("order_level", at),
            "side": pipe.get("order_side", at),
            "class": pipe.get("order_class", at),
        }
        old = values | {"qty_before": pipe.get("order_qty_before", at), "qty_after": pipe.get("order_qty", at)}
        new = values | {"qty": pipe.get("order_qty", at)}
        taken, second = pipe.get("taken", at), pipe.get("second", at)
        for name, value in old.items():
            kept = Signal(len(value) if not isinstance(value, int) else 1, name=f"first_{name}", reset_less=True)
            found = Mux(taken, value, 0)
            with m.If(pipe.get("valid", at) & pipe.get("first", at)):
                m.d.sync += kept.eq(found)
            m.d.sync += trace[f"old_{name}"].eq(Mux(second, kept, found))
        for name, value in new.items():
            m.d.sync += trace[f"new_{name}"].eq(Mux(pipe.get("added", at), value, 0))
        hide = pipe.get("hide", at)
        for short in ("bid", "ask"):
            for name in ("far", "off"):
                count = pipe.get(f"{name}_{short}", at)
                top = (1 << 16) - 1
                shown = Mux(count > top, top, count) if len(count) > 16 else count
                m.d.sync += trace[f"{name}_{short}"].eq(Mux(hide, 0, shown))
        every_set = Signal(7, reset_less=True)
        m.d.sync += [
            self.trace.valid.eq(valid),
            trace.kind.eq(pipe.get("kind", at)),
            trace.anomaly.eq(self._anomaly),
            trace.overflow.eq(pipe.get("overflow", at)),
            every_set.eq(self._set_bits & ~int(Validity.CLEARING)),
        ]
        market = Signal(5, reset_less=True)
        m.d.sync += market.eq(self._market)
        m.d.comb += [
            trace.cycle.eq(self.now),
            trace.stamp.eq(update.stamp),
            trace.seq.eq(update.seq),
            trace.itch_type.eq(update.itch_type),
            trace.bbo_changed.eq(update.bbo_changed),
            trace.slot.eq(Mux(update.every_slot, NO_SLOT, update.slot)),
            trace.validity.eq(Mux(update.every_slot, every_set, update.validity)),
            trace.state.eq(Mux(update.every_slot, market, update.state)),
        ]
        for name in ("bid_px_e4", "bid_qty", "ask_px_e4", "ask_qty"):
            m.d.comb += trace[name].eq(update[name])

    def _counters(self, m, pipe, last):
        """One pulse a counter, registered, then counted: nothing on the data path waits for a carry."""
        at, own = FINAL_STAGE, pipe.get("own", FINAL_STAGE)
        pulses = {f"anomaly_{a.name.lower()}": self._anomaly == a for a in Anomaly if a}
        pulses |= {"events": ~own, "overflows": pipe.get("overflow", at), "drop_clearing": pipe.get("dropped", at)}
        for name, pulse in pulses.items():
            struck = Signal(name=f"struck_{name}")
            m.d.sync += struck.eq(last & pulse)
            m.d.sync += self.counters[name].eq(self.counters[name] + struck)
        m.d.sync += self.counters.drop_event_overflow.eq(self.counters.drop_event_overflow + self.event_overflow)
