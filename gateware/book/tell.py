"""What leaves the book behind its last stage: the update, its trace record, and the counters."""

from typing import Any, NamedTuple

from amaranth.hdl import Const, Module, Mux, Signal

from tickgate.gateware.book.news import News
from tickgate.gateware.lib.counting import count, counter
from tickgate.gateware.lib.pipe import Pipe
from tickgate.sw.spec.events import NO_SLOT
from tickgate.sw.spec.state import Anomaly, Validity


class Tags(NamedTuple):
    """Sequence number, stamp and type of the messages under way, in order.

    Members
    -------
    data: those of the oldest one. at: its place, counted on when it has been told.
    """

    data: Any
    at: Any


def tell(m: Module, pipe: Pipe, at: int, book, levels, bests, tags: Tags, news: News) -> None:
    """From the last stage to the ports: the update, the trace record and the counters.

    Parameters
    ----------
    at: last stage of the pipeline.
    book: component of the ports.
    levels: the price levels, which answer in that stage.
    bests: best bid and best offer of the slot after the message.
    tags: what waits of the messages under way.
    news: what the message changes beside.
    """
    every, hide, own = pipe.get("every_slot", at), pipe.get("hide", at), pipe.get("own", at)
    last = pipe.get("last", at)
    bid, ask = bests
    sound = Const(1)
    for best, short in ((bid, "bid"), (ask, "ask")):
        no_far, no_off = pipe.get(f"no_far_{short}", at), pipe.get(f"no_off_{short}", at)
        sound = sound & no_off & (best.any | no_far)
    validity = news.kept | Mux(sound | hide, 0, Const(Validity.WINDOW, 7))
    update = book.o.payload
    last_seq = Signal(64)
    seq = Mux(own, last_seq, tags.data.seq)
    itch_type = Mux(own, 0, tags.data.itch_type)
    stamp = Mux(own, 0, tags.data.stamp)
    m.d.sync += [
        book.o.valid.eq(last),
        tags.at.eq(tags.at + (last & ~own)),
    ]
    told = [
        update.slot.eq(Mux(every, 0, pipe.get("slot", at))),
        update.every_slot.eq(every),
        update.every_set.eq(Mux(every, news.set_bits, 0)),
        update.every_clear.eq(Mux(every, news.clear_bits, 0)),
        update.state_set.eq(Mux(every, news.state_set, 0)),
        update.state_clear.eq(Mux(every, news.state_clear, 0)),
        update.other.eq(news.other),
        update.other_slot.eq(Mux(news.other, news.other_slot, 0)),
        update.bid_px_e4.eq(Mux(hide, 0, bid.px_e4)),
        update.bid_qty.eq(Mux(hide, 0, bid.qty)),
        update.ask_px_e4.eq(Mux(hide, 0, ask.px_e4)),
        update.ask_qty.eq(Mux(hide, 0, ask.qty)),
        update.bbo_changed.eq(news.changed & ~every),
        update.validity.eq(Mux(every, 0, validity)),
        update.state.eq(Mux(every, 0, news.state)),
        update.itch_type.eq(itch_type),
        update.seq.eq(seq),
        update.stamp.eq(stamp),
    ]
    with m.If(last):
        m.d.sync += [*told, last_seq.eq(seq)]
    _trace(m, pipe, at, book, levels, news, last & ~own)
    _counters(m, pipe, at, book, news, last)


def _trace(m, pipe, at, book, levels, news, valid):
    """The trace record: the update's own fields, and what was taken and added."""
    trace, update = book.trace.payload, book.o.payload
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
    record = []
    for name, value in old.items():
        kept = Signal(len(value) if not isinstance(value, int) else 1, name=f"first_{name}", reset_less=True)
        found = Mux(taken, value, 0)
        with m.If(pipe.get("valid", at) & pipe.get("first", at)):
            m.d.sync += kept.eq(found)
        record.append(trace[f"old_{name}"].eq(Mux(second, kept, found)))
    record += [trace[f"new_{name}"].eq(Mux(pipe.get("added", at), value, 0)) for name, value in new.items()]
    hide = pipe.get("hide", at)
    for short in ("bid", "ask"):
        for name in ("far", "off"):
            number = pipe.get(f"{name}_{short}", at)
            top = (1 << 16) - 1
            shown = Mux(number > top, top, number) if len(number) > 16 else number
            record.append(trace[f"{name}_{short}"].eq(Mux(hide, 0, shown)))
    every_set, market = Signal(7, reset_less=True), Signal(5, reset_less=True)
    record += [
        trace.kind.eq(pipe.get("kind", at)),
        trace.anomaly.eq(news.anomaly),
        trace.overflow.eq(pipe.get("overflow", at)),
        every_set.eq(news.set_bits & ~int(Validity.CLEARING)),
        market.eq(news.market),
    ]
    m.d.sync += book.trace.valid.eq(valid)
    with m.If(valid):
        m.d.sync += record
    m.d.comb += [
        trace.cycle.eq(book.now),
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


def _counters(m, pipe, at, book, news, last):
    """Each counter counts one cycle late, so that nothing on the data path waits for a carry."""
    own = pipe.get("own", at)
    pulses = {f"anomaly_{a.name.lower()}": news.anomaly == a for a in Anomaly if a}
    pulses |= {"events": ~own, "overflows": pipe.get("overflow", at), "drop_clearing": pipe.get("dropped", at)}
    count(m, book.counters, {name: last & pulse for name, pulse in pulses.items()})
    value = counter(m, book.counters, "drop_event_overflow")
    with m.If(book.event_overflow):
        m.d.sync += value.eq(value + 1)
