"""In front of the book's pipeline: one operation at a time, the sweep, and news that no event brings."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.book.hashing import table_shape
from tickgate.gateware.book.levels import group_bits
from tickgate.gateware.book.pace import APART_CYCLES
from tickgate.gateware.lib.layouts import elastic
from tickgate.gateware.lib.logic import first_one
from tickgate.sw.spec.events import EVENT, EventKind, Notice
from tickgate.sw.spec.sizes import Sizes

#: Cycles after which an operation no longer writes; a sweep waits as long.
DRAIN_CYCLES = 15


def operation_layout(sizes: Sizes) -> data.StructLayout:
    """What travels with an operation: fields of its event, and what it is."""
    return data.StructLayout(
        {
            "kind": 4,
            "notice": 3,
            "slot": sizes.slot_bits,
            "every_slot": 1,
            "side": 1,
            "bad_side": 1,
            "qty": 32,
            "price_e4": 32,
            "state_op": 1,
            "state_bits": 5,
            "add": 1,  # adds an order, unless dropped
            "take": 1,  # takes from an order, unless dropped
            "first": 1,  # first half of a REPLACE
            "second": 1,
            "dropped": 1,  # an order event while the tables are swept
            "own": 1,  # of no event:
            "lost": 1,  # an event was lost
            "cleared": 1,  # the host's clear command
            "swept": 1,  # the slot's sweep has ended
        }
    )


def sweep_rows(sizes: Sizes) -> int:
    """Rows of the longest memory that is swept."""
    return max(1 << table_shape(sizes).index_bits, 2 * sizes.slots * group_bits(sizes))


class Front(wiring.Component):
    """Turns events and news into operations for the pipeline, at least two cycles apart.

    Only an event of every slot may follow another one in the next cycle: neither looks at an order, a level or one
    slot's state, and the shortest messages, which come every 14 bytes, are of that kind.

    News of a lost event and of a clear command go before events; an update of a slot (after a sweep or a commit) waits
    for a cycle in which no event does.

    Parameters
    ----------
    sizes: all fields are used.

    Members
    -------
    i: In(elastic(EVENT)).
    clear: In(1), pulse.
    event_overflow: In(1), pulse.
    refresh: In(1), pulse: tell the state of `refresh_slot` when there is room.
    refresh_slot: In(7).
    valid: Out(1), an operation enters.
    enters: Out(1), one may: it is 1 wherever `valid` is, and known earlier.
    op: Out(operation_layout(sizes)), the operation.
    second: Out(1), it is the second half of a REPLACE.
    second_follows: Out(1), in the next cycle it is one.
    reference: Out(64), the order's reference that it looks for, but for a second half.
    second_reference: Out(64), the one that a second half looks for.
    clearing: Out(1), from reset, a NEW_SESSION or a clear until every slot's `swept` operation has entered.
    sweep: Out(1), every memory empties its row `sweep_row`.
    sweep_row: Out(bits of the longest swept memory's row number).
    """

    def __init__(self, sizes: Sizes):
        self._sizes = sizes
        super().__init__(
            {
                "i": In(elastic(EVENT)),
                "clear": In(1),
                "event_overflow": In(1),
                "refresh": In(1),
                "refresh_slot": In(7),
                "valid": Out(1),
                "enters": Out(1),
                "op": Out(operation_layout(sizes)),
                "second": Out(1),
                "second_follows": Out(1),
                "reference": Out(64),
                "second_reference": Out(64),
                "clearing": Out(1),
                "sweep": Out(1),
                "sweep_row": Out((sweep_rows(sizes) - 1).bit_length()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        slots, event, op = self._sizes.slots, self.i.payload, self.op
        order = event.kind <= EventKind.REPLACE
        wait = Signal(2)  # cycles until the next operation may enter, where it may not now
        wide = Signal()  # the operation before was an event of every slot
        halved = Signal()  # the second half of a REPLACE is to follow
        second = self.second
        held = Signal(operation_layout(self._sizes), reset_less=True)
        lost_due, clear_due = Signal(), Signal()
        refresh_due = Signal(slots)
        busy = Signal(slots, init=(1 << slots) - 1)  # the slot has not been told that the sweep is over
        sweeping = Signal(init=1)
        drain = Signal(range(DRAIN_CYCLES + 1))
        urgent = Signal()  # lost_due | clear_due, in a register of its own: much waits for it
        open_ = Signal(init=1)
        m.d.comb += self.i.ready.eq((open_ | (wide & event.every_slot)) & ~urgent)
        taken = self.i.valid & self.i.ready
        # A refresh can wait: its slot is chosen a cycle ahead. The one before is no longer due then.
        refresh_any, refresh_slot = Signal(), Signal(range(slots))
        m.d.sync += Cat(refresh_any, refresh_slot).eq(Cat(*first_one(refresh_due)))

        m.d.comb += self.reference.eq(event.reference)
        with m.If(wait != 0):
            m.d.sync += [wait.eq(wait - 1), open_.eq(wait == 1)]
        # Set as if something entered: where nothing does, `open_` stays, and 1 does no harm.
        replaces = self.i.valid & (event.kind == EventKind.REPLACE) & open_ & ~urgent
        with m.If(open_ | wide):
            m.d.sync += wait.eq(Mux(replaces, 2 * APART_CYCLES, APART_CYCLES) - 1)
        m.d.comb += self.second_follows.eq(halved & ~second)
        start = Signal()
        m.d.sync += wide.eq(taken & event.every_slot)
        m.d.sync += second.eq(self.second_follows)
        # What an operation carries does not wait for whether there is one: where none enters, nothing looks at it. News
        # come when no event may be taken, an update of a slot when there is none.
        refreshes = open_ & refresh_any & ~sweeping & ~urgent & ~self.i.valid
        order_event = Signal(operation_layout(self._sizes))
        for name in ("kind", "notice", "slot", "every_slot", "side", "bad_side", "price_e4", "state_op", "state_bits"):
            m.d.comb += order_event[name].eq(event[name])
        replace = event.kind == EventKind.REPLACE
        m.d.comb += [
            order_event.qty.eq(event.quantity),
            order_event.dropped.eq(order & busy.bit_select(event.slot[: self._sizes.slot_bits], 1)),
            order_event.add.eq(event.kind == EventKind.ADD),
            order_event.take.eq(order & (event.kind != EventKind.ADD)),
            order_event.first.eq(replace),
        ]
        with m.If(self.i.valid & open_):
            m.d.sync += [held.eq(order_event), self.second_reference.eq(event.new_reference)]
        m.d.comb += [
            self.enters.eq(second | self.i.valid | urgent | refresh_any),
            self.valid.eq(second | taken | (open_ & urgent) | refreshes),
        ]
        with m.If(second):
            m.d.comb += [op.eq(held), op.first.eq(0), op.second.eq(1), op.take.eq(0), op.add.eq(held.take)]
        with m.Elif(urgent):
            # A clear behind a lost event waits its turn.
            m.d.comb += [
                op.own.eq(1),
                op.every_slot.eq(1),
                op.kind.eq(EventKind.NOTICE),
                op.lost.eq(lost_due),
                op.cleared.eq(~lost_due),
            ]
        with m.Elif(self.i.valid):
            m.d.comb += op.eq(order_event)
        with m.Else():
            m.d.comb += [
                op.own.eq(1),
                op.kind.eq(EventKind.OTHER),
                op.slot.eq(refresh_slot),
                op.swept.eq(busy.bit_select(refresh_slot, 1)),
            ]
        # The payload stands where nothing else is told: one choice less for the wide fields.
        for name in ("side", "bad_side", "qty", "price_e4", "state_op", "state_bits", "notice"):
            m.d.comb += op[name].eq(Mux(second, held[name], order_event[name]))

        with m.If(second):
            m.d.sync += halved.eq(0)
        with m.Elif(open_ & urgent):
            m.d.comb += start.eq(~lost_due)
            m.d.sync += open_.eq(0)
            with m.If(lost_due):
                m.d.sync += lost_due.eq(0)
            with m.Else():
                m.d.sync += clear_due.eq(0)
        with m.Elif(taken):
            m.d.comb += start.eq((event.kind == EventKind.NOTICE) & (event.notice == Notice.NEW_SESSION))
            m.d.sync += [open_.eq(0), halved.eq(replace)]
        with m.Elif(refreshes):
            m.d.sync += [
                open_.eq(0),
                refresh_due.bit_select(refresh_slot, 1).eq(0),
                busy.bit_select(refresh_slot, 1).eq(0),
            ]
        with m.If(self.refresh):
            m.d.sync += refresh_due.bit_select(self.refresh_slot[: self._sizes.slot_bits], 1).eq(1)
        with m.If(open_):
            m.d.sync += urgent.eq(lost_due & clear_due)  # of which one enters
        with m.If(self.event_overflow):
            m.d.sync += [lost_due.eq(1), urgent.eq(1)]
        with m.If(self.clear):
            m.d.sync += [clear_due.eq(1), urgent.eq(1)]

        row = Signal.like(self.sweep_row)
        # Every slot is busy before the next operation can enter.
        starts = Signal()
        m.d.sync += starts.eq(start)
        m.d.comb += self.clearing.eq(busy.any() | clear_due | starts)
        m.d.sync += [self.sweep.eq(sweeping & (drain == 0)), self.sweep_row.eq(row)]
        with m.If(drain != 0):
            m.d.sync += drain.eq(drain - 1)
        with m.Elif(sweeping):
            m.d.sync += row.eq(row + 1)
            with m.If(row == sweep_rows(self._sizes) - 1):
                m.d.sync += [sweeping.eq(0), row.eq(0), refresh_due.eq(Const((1 << slots) - 1, slots))]
        with m.If(starts):
            m.d.sync += [sweeping.eq(1), drain.eq(DRAIN_CYCLES), row.eq(0), busy.eq(Const((1 << slots) - 1, slots))]
        return m
