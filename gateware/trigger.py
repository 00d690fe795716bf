"""Stage `trigger`: from the top of the book to order intents, by rows that the host wrote."""

from collections.abc import Callable, Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.conditions import CONDITION_STAGE, CONDITIONS, Condition
from tickgate.gateware.lib.counting import count
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import RowPort, counters, flow, layout
from tickgate.gateware.lib.logic import one_hot_mux
from tickgate.gateware.lib.pipe import Pipe
from tickgate.gateware.lib.slots import exists, track_validity
from tickgate.sw.spec.events import BOOK_UPDATE, INTENT, NO_SLOT, TRIGGER_TRACE, TriggerFlag, TriggerStatus
from tickgate.sw.spec.rows import GATE_ROW, TRIGGER_ROW, PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes

#: Stage in which a row that turned true fires and takes the port, or waits, or is dropped.
DECISION_STAGE = CONDITION_STAGE + 1
LATENCY_CYCLES = DECISION_STAGE + 1
#: Stage in which the cooldown of a row that has fired is looked at.
_EARLY_STAGE = CONDITION_STAGE - 1
#: Bits of a cycle that are compared at once.
_HALF = 32


class Trigger(wiring.Component):
    """Fires an order intent when the condition of a row turns from false to true.

    An update of one slot that carries a message and changed a best price, a best quantity or the slot's validity is
    evaluated against the two rows of the slot. A row fires when its condition is true, was false at the slot's last
    evaluation and the row is armed; a row that fired is armed again by `cooldown_cycles` or by being written. If both
    rows fire, row 0 (buy) wins. One intent may be on its way between `o_intents` and `done`; one more may wait.

    Every update leaves on `o_book` unchanged after `LATENCY_CYCLES`, in the same cycle as the intent that it fired,
    unless that had to wait. Updates may come in every cycle. A row written in cycle t is used by updates of cycle t + 1
    and later, whole.

    Parameters
    ----------
    sizes: `slots` is used.
    conditions: how a row of each kind turns true, `CONDITIONS` by default.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    now: In(64), core cycle.
    i: In(flow(BOOK_UPDATE)).
    cfg_trigger: In(RowPort(TRIGGER_ROW)); `select` is 2 x slot + side, beyond the last slot it is ignored.
    cfg_gate: In(RowPort(GATE_ROW)); the limit of waiting is used.
    kill: In(1), level of the kill switch.
    done: In(1), pulse: risk rejected the last intent, or its order has left or was dropped.
    o_book: Out(flow(BOOK_UPDATE)).
    o_intents: Out(flow(INTENT)).
    counters: Out(counters(COUNTERS)).
    trace: Out(flow(TRIGGER_TRACE)), one cycle after the decision, with `o_intents`.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    `tickgate.sw.spec.events.TriggerFlag`: what happens in which order within a cycle.
    """

    COUNTERS = (
        "intents",
        "intents_held",
        "intents_lower_row",
        "intents_busy",
        "intents_too_old",
        "intents_killed",
    )
    FAULTS = {
        "edge_lost": "a row that stays true fires at every evaluation",
        "one_shot_again": "a one-shot row fires again",
        "cooldown_early": "a cooldown ends one cycle early",
        "product_truncated": "the products of an imbalance are cut to 32 bits",
        "sell_wins": "the higher row wins",
        "busy_overwrites": "an intent that finds the waiting place taken replaces the one that waits",
        "expire_late": "an intent may wait one cycle longer than its limit",
        "kill_spares": "the kill switch leaves the waiting intent",
        "commit_keeps_condition": "writing a row does not forget its last condition",
    }
    combinational_paths = (("now", "trace__payload"),)  # the record says the cycle in which it is valid
    unused_inputs = ("cfg_gate__select",)  # one row
    latency_cycles = {
        ("i", "o_book", "any"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("i", "o_intents", "sent"): (LATENCY_CYCLES, LATENCY_CYCLES),
        ("done", "o_intents", "emit"): (1, 1),
    }

    def __init__(
        self,
        sizes: Sizes,
        *,
        conditions: Mapping[TriggerKind, Callable[[Condition], Value]] = CONDITIONS,
        faults: frozenset[str] = frozenset(),
    ):
        self._sizes, self._conditions, self._faults = sizes, dict(conditions), checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "now": In(64),
                "i": In(flow(BOOK_UPDATE)),
                "cfg_trigger": In(RowPort(TRIGGER_ROW)),
                "cfg_gate": In(RowPort(GATE_ROW)),
                "kill": In(1),
                "done": In(1),
                "o_book": Out(flow(BOOK_UPDATE)),
                "o_intents": Out(flow(INTENT)),
                "counters": Out(counters(self.COUNTERS)),
                "trace": Out(flow(TRIGGER_TRACE)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipe(m, valid="valid")
        self._entry(m, pipe)
        for side in (0, 1):
            self._row(m, pipe, side)
        # What is only passed on is not moved from stage to stage.
        quantities = [f"row{side}_quantity" for side in (0, 1)]
        pipe.carry(["seq", "stamp", *quantities], 0, DECISION_STAGE)
        pipe.carry(["bid_px_e4", "ask_px_e4", "bid_qty", "ask_qty"], 1, LATENCY_CYCLES)
        self._decide(m, pipe)

        m.d.comb += self.o_book.valid.eq(pipe.get("valid", LATENCY_CYCLES))
        for f in BOOK_UPDATE.fields:
            m.d.comb += self.o_book.payload[f.name].eq(pipe.get(f.name, LATENCY_CYCLES))
        return m

    def _entry(self, m, pipe):
        """Stage 0: the update, whether it is evaluated, and the row commit of the same cycle, which comes after it."""
        update = self.i.payload
        pipe.put("valid", self.i.valid, 0, reset=True)
        for f in BOOK_UPDATE.fields:
            pipe.put(f.name, update[f.name], 0)

        # The slot's validity after the update before, so that a message's own change is told from news of all slots.
        validity = track_validity(m, self._sizes.slots, self.i)
        changed = update.bbo_changed | (validity.at(update.slot) != update.validity)
        carries_message = ~update.every_slot & (update.itch_type != 0)
        pipe.put("evaluate", self.i.valid & carries_message & changed, 0, reset=True)

        select = self.cfg_trigger.select
        known = exists(select[1:], self._sizes.slots)
        pipe.put("commit", self.cfg_trigger.commit & known, 0, reset=True)
        pipe.put("commit_side", select[0], 0, when="commit")
        pipe.put("commit_slot", select[1 : 1 + self._sizes.slot_bits], 0, when="commit")

    def _row(self, m, pipe, side):
        """One side's rows: read in stage 0, true or false in stage 3, with what stage 4 needs to fire them."""
        slots, slot_bits = self._sizes.slots, self._sizes.slot_bits
        row_layout = layout(TRIGGER_ROW)
        rows = Memory(shape=row_layout, depth=slots, init=[])
        m.submodules[f"rows_{side}"] = rows
        read, write = rows.read_port(domain="comb"), rows.write_port()
        commit_0 = pipe.get("commit", 0) & (pipe.get("commit_side", 0) == side)
        m.d.comb += [
            read.addr.eq(self.i.payload.slot),
            write.addr.eq(pipe.get("commit_slot", 0)),
            write.data.eq(self.cfg_trigger.row),
            write.en.eq(commit_0),
        ]
        # The memory keeps its contents through a reset, these bits do not: without them a row is OFF.
        written = Signal(slots, name=f"written_{side}")
        with m.If(commit_0):
            m.d.sync += written.bit_select(pipe.get("commit_slot", 0), 1).eq(1)
        for f in TRIGGER_ROW.fields:
            pipe.put(f"row{side}_{f.name}", read.data[f.name], 0)
        slot_0 = self.i.payload.slot[:slot_bits]
        pipe.put(f"written_{side}", written.bit_select(slot_0, 1), 0)

        row = {f.name: f"row{side}_{f.name}" for f in TRIGGER_ROW.fields}
        kind = Mux(pipe.get(f"written_{side}", 1), pipe.get(row["kind"], 1), TriggerKind.OFF.value)
        pipe.put(f"kind_{side}", kind, 1)
        condition = Signal(name=f"condition_{side}")
        with m.Switch(pipe.get(f"kind_{side}", CONDITION_STAGE)):
            for kind, function in self._conditions.items():
                with m.Case(int(kind)):
                    name = kind.name.lower()
                    m.d.comb += condition.eq(function(Condition(pipe, side, name, self._faults)))
        pipe.put(f"condition_{side}", condition, CONDITION_STAGE)

        source = pipe.get(row["price_source"], 1)
        price = Signal(32, name=f"price_{side}")
        with m.Switch(source):
            with m.Case(PriceSource.BEST_BID):
                m.d.comb += price.eq(pipe.get("bid_px_e4", 1))
            with m.Case(PriceSource.BEST_ASK):
                m.d.comb += price.eq(pipe.get("ask_px_e4", 1))
            with m.Default():
                m.d.comb += price.eq(pipe.get(row["price_e4"], 1))
        pipe.put(f"price_{side}", price, 1)
        self._fire(m, pipe, side)

    def _fire(self, m, pipe, side):
        """Edge and re-arm memory of one side: written in stage 4, and passed from there to whoever has read it before.

        Whether a condition was true, and whether its row has fired, is read in stage 3. The cycle from which a row may
        fire again is read and compared in stage 2, in halves: behind a memory 64 bits have a long way.
        """
        slots, slot_bits = self._sizes.slots, self._sizes.slot_bits
        before = Signal(slots, name=f"before_{side}")  # the row's condition at the slot's last evaluation
        spent = Signal(slots, name=f"spent_{side}")  # the row has fired since it was written
        until = Memory(shape=64, depth=slots, init=[])  # cycle in stage 2 from which it may fire again
        m.submodules[f"until_{side}"] = until
        read, write = until.read_port(domain="comb"), until.write_port()

        slot_3 = pipe.get("slot", CONDITION_STAGE)[:slot_bits]
        slot_4 = pipe.get("slot", DECISION_STAGE)[:slot_bits]
        evaluate_4 = pipe.get("evaluate", DECISION_STAGE)
        condition_4 = pipe.get(f"condition_{side}", DECISION_STAGE)
        cools = pipe.get(f"row{side}_rearm", CONDITION_STAGE) == Rearm.COOLDOWN
        # One less than the row has: what is compared in stage 2 is the cycle before the one that counts.
        cooldown_2 = pipe.get(f"row{side}_cooldown_cycles", _EARLY_STAGE)
        pipe.put(f"cooldown_{side}", cooldown_2 - 1, _EARLY_STAGE)
        pipe.put(f"until_{side}", (self.now + pipe.get(f"cooldown_{side}", CONDITION_STAGE))[:64], CONDITION_STAGE)
        # For the next transaction, and for the one after it: they have read the memory before this one wrote it.
        for apart_cycles in (1, 2):
            pipe.put(f"cools_in_{apart_cycles}_{side}", cooldown_2 <= apart_cycles, _EARLY_STAGE)
        fired_4 = Signal(name=f"fired_{side}")

        committed = pipe.get("commit", DECISION_STAGE) & (pipe.get("commit_side", DECISION_STAGE) == side)
        commit_slot = pipe.get("commit_slot", DECISION_STAGE)
        slot_2 = pipe.get("slot", _EARLY_STAGE)[:slot_bits]
        m.d.comb += read.addr.eq(slot_2)
        now = self.now + 1 if "cooldown_early" in self._faults else self.now
        overtaken = fired_4 & (slot_4 == slot_2)
        late = pipe.get(f"cools_in_2_{side}", DECISION_STAGE)
        pipe.put(f"past_{side}", Mux(overtaken, late, now[_HALF:] > read.data[_HALF:]), _EARLY_STAGE)
        pipe.put(f"level_{side}", ~overtaken & (now[_HALF:] == read.data[_HALF:]), _EARLY_STAGE)
        pipe.put(f"low_{side}", now[:_HALF] >= read.data[:_HALF], _EARLY_STAGE)
        past, level, low = (pipe.get(f"{name}_{side}", CONDITION_STAGE) for name in ("past", "level", "low"))

        was, over, is_spent = Signal(), Signal(), Signal()
        m.d.comb += [
            was.eq(before.bit_select(slot_3, 1)),
            is_spent.eq(spent.bit_select(slot_3, 1)),
            over.eq(past | (level & low)),
        ]
        with m.If(evaluate_4 & (slot_4 == slot_3)):
            m.d.comb += was.eq(condition_4)
            with m.If(fired_4):
                m.d.comb += [is_spent.eq(1), over.eq(pipe.get(f"cools_in_1_{side}", DECISION_STAGE))]
        with m.If(committed & (commit_slot == slot_3)):
            m.d.comb += is_spent.eq(0)
            if "commit_keeps_condition" not in self._faults:
                m.d.comb += was.eq(0)
        armed = ~is_spent | (cools & over)
        if "one_shot_again" in self._faults:
            armed = ~is_spent | ~cools | over
        if "edge_lost" in self._faults:
            was = 0
        pipe.put(f"may_fire_{side}", armed & ~was, CONDITION_STAGE)

        m.d.comb += [
            fired_4.eq(evaluate_4 & condition_4 & pipe.get(f"may_fire_{side}", DECISION_STAGE)),
            write.addr.eq(slot_4),
            write.data.eq(pipe.get(f"until_{side}", DECISION_STAGE)),
            write.en.eq(fired_4),
        ]
        with m.If(evaluate_4):
            m.d.sync += before.bit_select(slot_4, 1).eq(condition_4)
        with m.If(fired_4):
            m.d.sync += spent.bit_select(slot_4, 1).eq(1)
        with m.If(committed):
            m.d.sync += spent.bit_select(commit_slot, 1).eq(0)
            if "commit_keeps_condition" not in self._faults:
                m.d.sync += before.bit_select(commit_slot, 1).eq(0)
        pipe.put(f"fired_{side}", fired_4, DECISION_STAGE)

    def _decide(self, m, pipe):
        """Stage 4: which row wins, whether its intent goes, waits or is dropped, and what becomes of a waiting one."""
        at = DECISION_STAGE
        fired = Cat(pipe.get("fired_0", at), pipe.get("fired_1", at))
        fires = fired.any()
        row = Signal()
        m.d.comb += row.eq(fired[1] if "sell_wins" in self._faults else ~fired[0])

        fresh = Signal(layout(INTENT))
        waiting, waits, age_cycles = Signal(layout(INTENT)), Signal(), Signal(33)
        m.d.comb += [
            fresh.slot.eq(pipe.get("slot", at)),
            fresh.side.eq(row),
            fresh.price_e4.eq(Mux(row, pipe.get("price_1", at), pipe.get("price_0", at))),
            fresh.seq.eq(pipe.get("seq", at)),
            fresh.stamp.eq(pipe.get("stamp", at)),
        ]
        for name in ("quantity", "tif", "display", "capacity"):
            m.d.comb += fresh[name].eq(Mux(row, pipe.get(f"row1_{name}", at), pipe.get(f"row0_{name}", at)))

        limit_cycles, next_limit_cycles = Signal(32), Signal(32)
        m.d.comb += next_limit_cycles.eq(limit_cycles)
        with m.If(self.cfg_gate.commit):
            gate = self.cfg_gate.row
            m.d.comb += next_limit_cycles.eq(Mux(gate.intent_limit_valid, gate.intent_limit_cycles, 0))
        m.d.sync += limit_cycles.eq(next_limit_cycles)

        # Nothing waits but for an intent that is under way, so that `done` alone lets a waiting one go.
        busy = Signal()
        emit, expire, killed = Signal(), Signal(), Signal()
        sent, held, dropped = Signal(), Signal(), Signal()
        # Compared a cycle ahead: an age above the limit in the next cycle is one at or above it in this.
        too_old = Signal()
        most_cycles = next_limit_cycles + (1 if "expire_late" in self._faults else 0)
        done = self.done
        kill = self.kill if "kill_spares" not in self._faults else Const(0)
        m.d.comb += [
            emit.eq(waits & done),
            expire.eq(waits & ~done & too_old),
            killed.eq(waits & ~done & ~too_old & kill),
            sent.eq(fires & ~waits & (~busy | done)),
            held.eq(fires & Mux(waits, done, busy & ~done)),
            dropped.eq(fires & waits & ~done),
        ]
        stays = ~too_old & ~kill
        if "busy_overwrites" in self._faults:
            stays = stays | fires
        m.d.sync += [busy.eq((busy & ~done) | waits | fires), waits.eq(held | (waits & ~done & stays))]
        # What is at the waiting place when nothing waits is nobody's, so that it need not wait for whether a row fires;
        # and what is sent does not wait for whether it is.
        vacant = ~waits | done
        if "busy_overwrites" in self._faults:
            vacant = vacant | dropped
        with m.If(vacant):
            m.d.sync += [age_cycles.eq(1), too_old.eq(most_cycles == 0)]
        with m.Else():
            m.d.sync += [age_cycles.eq(age_cycles + ~age_cycles.all()), too_old.eq(age_cycles >= most_cycles)]
        with m.If(pipe.get("evaluate", at) & vacant):
            m.d.sync += waiting.eq(fresh)

        m.d.sync += self.o_intents.valid.eq(sent | emit)
        with m.If(pipe.get("evaluate", at) | waits):  # which is known long before whether a row fires
            m.d.sync += self.o_intents.payload.eq(Mux(waits, waiting, fresh))
        self._report(m, pipe, fires, row, fresh, (waiting, waits), (sent, held, dropped), (emit, expire, killed))

    def _report(self, m, pipe, fires, row, fresh, wait, status, fate):
        """Trace record and counters of a decision, one cycle after it."""
        at = DECISION_STAGE
        evaluate = pipe.get("evaluate", at)
        (waiting, waits), (sent, held, dropped), (emit, expire, killed) = wait, status, fate
        flags = [
            (TriggerFlag.EVAL, evaluate),
            (TriggerFlag.DONE, self.done),
            (TriggerFlag.EMIT, emit),
            (TriggerFlag.EXPIRE, expire),
            (TriggerFlag.KILLED, killed),
        ]
        record = self.trace.payload
        fired = Cat(pipe.get("fired_0", at), pipe.get("fired_1", at))
        condition = Cat(pipe.get("condition_0", at), pipe.get("condition_1", at))
        values = {
            "stamp": Mux(evaluate, fresh.stamp, 0),
            "seq": Mux(evaluate, fresh.seq, 0),
            "slot": Mux(evaluate, fresh.slot, NO_SLOT),
            "condition": Mux(evaluate, condition, 0),
            "fired": fired,
            "status": Mux(sent, int(TriggerStatus.SENT), 0)
            | Mux(held, int(TriggerStatus.HELD), 0)
            | Mux(dropped, int(TriggerStatus.BUSY), 0),
        }
        # The intent that waited is named behind the register, by the flags that tell what became of it.
        was_slot, was_row, was_seq = (Signal.like(waiting[name], name=f"was_{name}", reset_less=True)
                                      for name in ("slot", "side", "seq"))  # fmt: skip
        named = (record.flags & int(TriggerFlag.EMIT | TriggerFlag.EXPIRE | TriggerFlag.KILLED)).any()
        m.d.comb += [
            record.cycle.eq(self.now),
            record.wait_seq.eq(Mux(named, was_seq, 0)),
            record.wait_slot.eq(Mux(named, was_slot, NO_SLOT)),
            record.wait_row.eq(named & was_row),
        ]
        # Price and quantity are chosen there too: there are many bits, and which row fires comes late.
        fired_row = Signal(2)
        m.d.sync += fired_row.eq(Cat(fires & ~row, fires & row))
        m.d.comb += record.row.eq(fired_row[1])
        for name, sources in (("price_e4", ("price_0", "price_1")), ("quantity", ("row0_quantity", "row1_quantity"))):
            m.d.comb += record[name].eq(one_hot_mux(fired_row, [pipe.get(source, at + 1) for source in sources]))
        # Whether something may happen is known earlier than what does. The record is emptied behind it, and by a reset.
        happens, happened = Signal(), Signal(init=1)
        m.d.comb += happens.eq(evaluate | waits)
        m.d.sync += [happened.eq(happens), record.flags.eq(Cat(signal for _, signal in flags))]
        with m.If(happens | happened):
            m.d.sync += [record[name].eq(value) for name, value in values.items()]
            m.d.sync += [was_slot.eq(waiting.slot), was_row.eq(waiting.side), was_seq.eq(waiting.seq)]
        m.d.sync += self.trace.valid.eq(Cat(signal for _, signal in flags).any())

        counted = {
            "intents": fires,
            "intents_held": held,
            "intents_lower_row": fired.all(),
            "intents_busy": dropped,
            "intents_too_old": expire,
            "intents_killed": killed,
        }
        count(m, self.counters, counted)
