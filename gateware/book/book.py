"""Stage `book`: from order events to the best bid and offer of every slot, with its validity and trading state."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.book.front import Front
from tickgate.gateware.book.hashing import table_shape
from tickgate.gateware.book.levels import LEVEL_ANSWER_STAGE, Levels
from tickgate.gateware.book.news import keep_slots
from tickgate.gateware.book.pace import APART_CYCLES
from tickgate.gateware.book.pricing import LEVEL_STAGES, PriceToLevel, shortened, window_layout
from tickgate.gateware.book.table import ANSWER_STAGE, OrderTable, order_layout
from tickgate.gateware.book.tell import Tags, tell
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import RowPort, counters, elastic, flow
from tickgate.gateware.lib.pipe import Pipe
from tickgate.gateware.lib.slots import exists
from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, EVENT, EventKind
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import LEVEL_QTY_BITS, Sizes
from tickgate.sw.spec.state import Anomaly, OrderClass

#: Stages counted from the cycle in which an event is taken: the verdict on its order, and the last one.
JUDGE_STAGE = ANSWER_STAGE
FINAL_STAGE = JUDGE_STAGE + LEVEL_ANSWER_STAGE
LATENCY_CYCLES = FINAL_STAGE + 1
#: The second half of a REPLACE enters this much later than the first.
HALF_CYCLES = 2

_PLACED = int(OrderClass.PLACED)
#: What an operation that is of no order has no use for.
_OF_ORDERS = ("qty", "price_e4")


class Book(wiring.Component):
    """Keeps the order table and the price levels of every slot, and tells its best bid and offer after every event.

    An event is taken every second cycle, one of every slot behind another one in every cycle, a REPLACE every fourth:
    it runs as two operations, the old order's removal and the new one's addition, but counts as one message: one update
    and one trace record, after both. Every event takes `LATENCY_CYCLES` from the cycle in which it is taken to its
    update, a REPLACE `HALF_CYCLES` more. Nothing else holds an event up, but for one operation each for news that have
    no event: a lost event and a clear command.

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
    #: Whether an event may be taken depends on whether it is of every slot; the record says the cycle of its own.
    combinational_paths = (("i__payload", "i__ready"), ("now", "trace__payload"))
    latency_cycles = {
        ("i", "o", "any"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("i", "o", "replace"): (LATENCY_CYCLES + HALF_CYCLES, LATENCY_CYCLES + HALF_CYCLES),
    }

    def __init__(self, sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        self._sizes, self._faults = sizes, checked_faults(faults, self.FAULTS)
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
        pipe = Pipe(m, valid="valid")
        m.submodules.front = front = Front(self._sizes)
        m.submodules.table = self._table = OrderTable(self._sizes, self._parts(OrderTable))
        m.submodules.pricing = self._pricing = PriceToLevel(self._sizes, self._parts(PriceToLevel))
        m.submodules.levels = self._levels = Levels(self._sizes, self._parts(Levels))
        self._front = front
        self._enter(m, pipe)
        self._windows(m, pipe)
        self._judge(m, pipe)
        self._count(m, pipe)
        bests = self._best(m, pipe)
        news = keep_slots(m, pipe, FINAL_STAGE, self._sizes, self.cfg_symbol, self._levels.best, self._faults)
        tell(m, pipe, FINAL_STAGE, self, self._levels, bests, self._tags, news)
        return m

    def _enter(self, m, pipe):
        """Stage 0: the operation that the front end lets in."""
        front = self._front
        wiring.connect(m, front.i, wiring.flipped(self.i))
        select = self.cfg_symbol.select
        commit = self.cfg_symbol.commit & exists(select, self._sizes.slots)
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
        # The first registers load a little too often, so that they need not wait for whether an operation enters.
        pipe.put("enters", front.enters, 0, reset=True)
        for name in front.op.shape().members:
            if name not in ("add", "take"):
                pipe.put(name, front.op[name], 0, ahead="enters", rests=APART_CYCLES if name in _OF_ORDERS else 1)
        # While tables are swept an order event is nobody's.
        for name in ("add", "take"):
            pipe.put(f"wants_{name}", front.op[name], 0, ahead="enters")
            pipe.put(name, pipe.get(f"wants_{name}", 1) & ~pipe.get("dropped", 1), 1)
        m.d.comb += [
            self._table.i_valid.eq(valid & ~front.op.every_slot),  # which may come in every cycle
            self._table.enters.eq(front.enters),
            self._table.use.eq(pipe.get("add", 1) | pipe.get("take", 1)),
            self._table.i_reference.eq(front.reference),
            self._table.i_second.eq(front.second),
            self._table.second_follows.eq(front.second_follows),
            self._table.i_second_reference.eq(front.second_reference),
        ]
        # Sequence number, stamp and type of a message wait in a small ring, one for each stage at most.
        bits = FINAL_STAGE.bit_length()
        ring = Memory(shape=data.StructLayout({"seq": 64, "stamp": 64, "itch_type": 8}), depth=1 << bits, init=[])
        m.submodules.tags = ring
        write, read = ring.write_port(), ring.read_port(domain="comb")
        taken = self.i.valid & self.i.ready
        put_at, get_at = Signal(bits), Signal(bits)
        self._tags = Tags(read.data, get_at)
        m.d.comb += [
            write.addr.eq(put_at),
            write.en.eq(taken),
            write.data.seq.eq(self.i.payload.seq),
            write.data.stamp.eq(self.i.payload.stamp),
            write.data.itch_type.eq(self.i.payload.itch_type),
            read.addr.eq(get_at),
        ]
        m.d.sync += put_at.eq(put_at + taken)

        # Stages 1 and 2: what is wrong with the message by itself.
        pipe.put("no_qty", pipe.get("qty", 1) == 0, 1)
        pipe.put("no_price", pipe.get("price_e4", 1) == 0, 1)
        kind, no_qty, no_price = pipe.get("kind", 2), pipe.get("no_qty", 2), pipe.get("no_price", 2)
        priced = (kind == EventKind.ADD) | (kind == EventKind.REPLACE)
        order = (kind <= EventKind.REPLACE) & (pipe.get("add", 2) | pipe.get("take", 2))
        early = Signal(range(len(Anomaly)))
        with m.If(order):
            with m.If((kind == EventKind.ADD) & pipe.get("bad_side", 2)):
                m.d.comb += early.eq(Anomaly.BAD_SIDE)
            with m.Elif((kind != EventKind.DELETE) & no_qty):
                m.d.comb += early.eq(Anomaly.ZERO_QUANTITY)
            with m.Elif(priced & no_price):
                m.d.comb += early.eq(Anomaly.ZERO_PRICE)
        pipe.put("early", early, 2)

    def _windows(self, m, pipe):
        """Symbol rows; read for a price in stage 1, and for the price of a level in stage 8."""
        row, select = self.cfg_symbol.row, self.cfg_symbol.select
        windows = Memory(shape=window_layout(self._sizes), depth=self._sizes.slots, init=[])
        m.submodules.windows = windows
        write = windows.write_port()
        reads = [windows.read_port(domain="comb") for _ in range(2)]
        committed = Signal()
        late = {name: Signal.like(row[name], name=f"committed_{name}", reset_less=True)
                for name in ("base_e4", "span_e4", "tick_e4", "reciprocal")}  # fmt: skip
        late_slot = Signal(self._sizes.slot_bits, reset_less=True)
        m.d.sync += [committed.eq(self.cfg_symbol.commit & exists(select, self._sizes.slots)), late_slot.eq(select)]
        m.d.sync += [signal.eq(row[name]) for name, signal in late.items()]
        m.d.comb += [
            write.en.eq(committed),
            write.addr.eq(late_slot),
            write.data.base_e4.eq(late["base_e4"]),
            write.data.span_e4.eq(late["span_e4"]),
            write.data.tick_e4.eq(late["tick_e4"]),
            write.data.reciprocal.eq(shortened(late["reciprocal"], self._sizes)),
            reads[0].addr.eq(pipe.get("slot", 1)),
            reads[1].addr.eq(pipe.get("slot", FINAL_STAGE - 2)),
        ]
        # The row is captured between stages 1 and 2, so that the price's pipeline begins at a register.
        first = JUDGE_STAGE - LEVEL_STAGES
        m.d.comb += [
            self._pricing.valid.eq(pipe.get("valid", first)),
            self._pricing.price_e4.eq(pipe.get("price_e4", first)),
            self._pricing.window.eq(reads[0].data),
        ]
        pipe.put("tick_e4", reads[1].data.tick_e4, FINAL_STAGE - 2)
        pipe.put("base_e4", reads[1].data.base_e4, FINAL_STAGE - 2, rests=APART_CYCLES)
        m.d.comb += [
            self._levels.tick_e4.eq(pipe.get("tick_e4", FINAL_STAGE - 1)),
            self._levels.base_e4.eq(pipe.get("base_e4", FINAL_STAGE)),
        ]

    def _judge(self, m, pipe):
        """Stage 5: is the message's order there, and what becomes of it? The level follows in stages 5 and 6."""
        table, pricing, levels, at = self._table, self._pricing, self._levels, JUDGE_STAGE
        # Left by the first half of a REPLACE for the second: it is there when that one is a stage before this.
        first_taken, first_side = Signal(), Signal()
        before = at - 1
        second, early, kind = pipe.get("second", before), pipe.get("early", before), pipe.get("kind", before)
        fine = pipe.get("valid", before) & (early == 0)
        goes_on = pipe.put("goes_on", ~second | first_taken, before)
        side = 0 if "replace_side_lost" in self._faults else first_side
        pipe.put("new_side", Mux(second, side, pipe.get("side", before)), before)
        pipe.put("may_add", fine & pipe.get("add", before) & goes_on, before, always=True)
        pipe.put("may_take", fine & pipe.get("take", before), before, always=True)
        pipe.put("whole", (kind != EventKind.EXECUTE) & (kind != EventKind.CANCEL), before)

        add, may_add, may_take = pipe.get("add", at), pipe.get("may_add", at), pipe.get("may_take", at)
        slot, qty, side, whole = (pipe.get(name, at) for name in ("slot", "qty", "new_side", "whole"))
        old = table.order
        wrong, enough = Signal(), Signal()
        m.d.comb += [wrong.eq(old.slot != slot), enough.eq(qty >= old.qty)]
        if "excess_wraps" in self._faults:
            m.d.comb += enough.eq(qty == old.qty)
        taken, adds = Signal(), Signal()
        m.d.comb += [
            taken.eq(may_take & table.found & ~wrong),
            adds.eq(may_add & ~table.found),
            table.add.eq(may_add),
            table.take.eq(taken),
        ]
        with m.If(pipe.get("valid", at) & pipe.get("take", at)):
            m.d.sync += [first_taken.eq(taken), first_side.eq(old.side)]

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
            levels.valid.eq(pipe.get("valid", at) & ~pipe.get("every_slot", at)),
            levels.slot.eq(slot),
            # An add's level number is right wherever it is used: then the price is placed.
            levels.side.eq(Mux(add, side, old.side)),
            levels.level.eq(Mux(add, pricing.level, old.level)),
        ]

        pipe.put("found", table.found, at)
        pipe.put("wrong", wrong, at)
        pipe.put("excess", ~whole & (qty > old.qty), at)
        pipe.put("other_slot", old.slot, at)
        pipe.put("overflow", adds & ~table.room, at)
        pipe.put("taken", taken, at)
        pipe.put("added", adds & table.room, at)
        pipe.put("order_px_e4", after.price_e4, at, rests=APART_CYCLES)
        pipe.put("order_side", after.side, at)
        pipe.put("order_class", after.klass, at)
        pipe.put("order_level", after.level, at, rests=APART_CYCLES)
        pipe.put("order_qty_before", old.qty, at, rests=APART_CYCLES)
        pipe.put("order_qty_left", after.qty, at, rests=APART_CYCLES)
        # The next stage says whether the order goes: a carry is enough for one.
        pipe.put("enough", enough, at)
        whole = pipe.get("whole", at + 1) | pipe.get("enough", at + 1)
        all_of_it = pipe.get("take", at + 1) & whole
        gone = pipe.put("gone", pipe.get("taken", at + 1) & whole, at + 1)
        m.d.comb += table.drop.eq(pipe.get("valid", at + 1) & gone)
        pipe.put("order_qty", Mux(all_of_it, 0, pipe.get("order_qty_left", at + 1)), at + 1, rests=APART_CYCLES)
        moved = Mux(all_of_it, pipe.get("order_qty_before", at + 1), pipe.get("qty", at + 1))
        pipe.put("moved", moved, at + 1, rests=APART_CYCLES)

        anomaly = Signal(range(len(Anomaly)))
        early, take, found = (pipe.get(name, at + 1) for name in ("early", "take", "found"))
        with m.If(early != 0):
            m.d.comb += anomaly.eq(early)
        with m.Elif(take & ~found):
            m.d.comb += anomaly.eq(Anomaly.UNKNOWN_REFERENCE)
        with m.Elif(take & pipe.get("wrong", at + 1)):
            m.d.comb += anomaly.eq(Anomaly.WRONG_LOCATE)
        with m.Elif(take & pipe.get("excess", at + 1)):
            m.d.comb += anomaly.eq(Anomaly.EXCESS_QUANTITY)
        with m.Elif(pipe.get("add", at + 1) & found & pipe.get("goes_on", at + 1)):
            m.d.comb += anomaly.eq(Anomaly.DUPLICATE_REFERENCE)
        pipe.put("anomaly", anomaly, at + 1)
        pipe.put("other", pipe.get("may_take", at + 1) & found & pipe.get("wrong", at + 1), at + 1)

        placed = (pipe.get("taken", at + 1) | pipe.get("added", at + 1)) & (pipe.get("order_class", at + 1) == _PLACED)
        pipe.put("placed", placed, at + 1)
        m.d.comb += [
            levels.go.eq(pipe.get("valid", at + 1) & pipe.get("placed", at + 1)),
            levels.add.eq(pipe.get("added", at + 1)),
            levels.qty.eq(pipe.get("moved", at + 1)),
        ]

    def _count(self, m, pipe):
        """Stage 8: orders without a level, counted a side; wide enough that a count never wraps."""
        at = FINAL_STAGE - 2
        bits = (table_shape(self._sizes).entries + self._sizes.stash).bit_length()
        counts = data.StructLayout({"far": bits, "off": bits})
        slot = pipe.get("slot", at)
        before = at - 1
        classes = {"far": OrderClass.FAR, "off": OrderClass.OFF}
        for side, short in enumerate(("bid", "ask")):
            here = pipe.get("order_side", before) == side
            changes = here & (pipe.get("added", before) | pipe.get("gone", before))
            pipe.put(f"counts_{short}_change", pipe.get("valid", before) & changes, before, always=True)
            for name, of in classes.items():
                concerns = here & (pipe.get("order_class", before) == of)
                more, less = concerns & pipe.get("added", before), concerns & pipe.get("gone", before)
                if name == "far" and "far_not_uncounted" in self._faults:
                    less = Const(0)
                # What is added to the count: 1, or -1, or 0.
                pipe.put(f"{name}_{short}_step", Cat(more | less, less.replicate(bits - 1)), before)
            memory = Memory(shape=counts, depth=self._sizes.slots, init=[])
            m.submodules[f"counts_{short}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [read.addr.eq(slot), write.addr.eq(Mux(self._front.sweep, self._front.sweep_row, slot))]
            for name in classes:
                more = read.data[name] + pipe.get(f"{name}_{short}_step", at)
                pipe.put(f"{name}_{short}", more[:bits], at, rests=APART_CYCLES)
                pipe.put(f"no_{name}_{short}", pipe.get(f"{name}_{short}", at + 1) == 0, at + 1)
                m.d.comb += write.data[name].eq(Mux(self._front.sweep, 0, pipe.get(f"{name}_{short}", at)))
            m.d.comb += write.en.eq(self._front.sweep | pipe.get(f"counts_{short}_change", at))

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
        """Stage 10: the best bid and offer after the operation, as a list of the two."""
        at, levels = FINAL_STAGE, self._levels
        slot, side, placed = pipe.get("slot", at), pipe.get("order_side", at), pipe.get("placed", at)
        best = data.StructLayout({"px_e4": 32, "qty": LEVEL_QTY_BITS, "any": 1})
        bests = []
        for number, short in enumerate(("bid", "ask")):
            memory = Memory(shape=best, depth=self._sizes.slots, init=[])
            m.submodules[f"best_{short}"] = memory
            write, read = memory.write_port(), memory.read_port(domain="comb")
            here = placed & (side == number)
            found = data.View(best, Signal(best.size, name=f"found_{short}"))
            now = data.View(best, Signal(best.size, name=f"now_{short}"))
            m.d.comb += [
                found.px_e4.eq(Mux(levels.wins, pipe.get("order_px_e4", at), Mux(levels.other, levels.other_px_e4, 0))),
                found.qty.eq(Mux(levels.wins, levels.after, Mux(levels.other, levels.other_qty, 0))),
                found.any.eq(levels.some),
                now.eq(Mux(here, found.as_value(), read.data.as_value())),
                read.addr.eq(slot),
                write.addr.eq(Mux(self._front.sweep, self._front.sweep_row, slot)),
                write.data.eq(Mux(self._front.sweep, 0, now.as_value())),
                write.en.eq(self._front.sweep | (pipe.get("valid", at) & here)),
            ]
            bests.append(now)
        return bests
