"""Validity and trading state of every slot in the last stage of the book, and what a whole message has done."""

from typing import Any, NamedTuple

from amaranth.hdl import Array, Const, Module, Mux, Signal

from tickgate.gateware.lib.pipe import Pipe
from tickgate.gateware.lib.slots import STATE_INIT, VALIDITY_INIT
from tickgate.sw.spec.events import EventKind, Notice, StateOp
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import STICKY_VALIDITY, Anomaly, SymbolState, Validity

_MARKET_STATE = SymbolState.BREAKER | SymbolState.CLOSED


class News(NamedTuple):
    """What a message changes beside orders and levels; values of the last stage.

    Members
    -------
    set_bits, clear_bits: validity of every slot. state_set, state_clear: trading state of every slot.
    market: trading state that is every slot's, after the message.
    anomaly: of the whole message, both halves of a REPLACE.
    other, other_slot: whether the order it names is another slot's, and which.
    changed: the best prices of its slot are others.
    kept, state: validity and trading state of its slot after the message.
    """

    set_bits: Any
    clear_bits: Any
    state_set: Any
    state_clear: Any
    market: Any
    anomaly: Any
    other: Any
    other_slot: Any
    changed: Any
    kept: Any
    state: Any


def keep_slots(m: Module, pipe: Pipe, at: int, sizes: Sizes, cfg_symbol, best, faults: frozenset[str]) -> News:
    """Keeps validity and trading state of every slot; puts `hide` and `last` into the pipeline.

    Parameters
    ----------
    at: last stage of the pipeline.
    cfg_symbol: port of the symbol rows; a commit makes the state of its slot that of a new symbol.
    best: in that stage, no other level is better than the operation's own.
    faults: planted faults of the book.
    """
    slots, before = sizes.slots, at - 1
    # A stage before the last one: what the message is, so that the last one only has to bring it about.
    every, kind, notice = pipe.get("every_slot", before), pipe.get("kind", before), pipe.get("notice", before)
    lost, cleared = pipe.get("lost", before), pipe.get("cleared", before)
    set_bits, clear_bits = Signal(7), Signal(7)
    with m.If(lost):
        m.d.comb += set_bits.eq(Validity.OVERFLOW)
    with m.Elif(cleared):
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
    early = {name: pipe.get(name, before - 1) for name in ("kind", "notice", "every_slot", "lost", "cleared")}
    wrong_length = (early["kind"] == EventKind.NOTICE) & (early["notice"] == Notice.NONE)
    pipe.put("wrong_length", wrong_length & early["every_slot"] & ~early["lost"] & ~early["cleared"], before - 1)
    bits, is_state = pipe.get("state_bits", before), kind == EventKind.STATE
    op = pipe.get("state_op", before)
    pipe.put("set_bits", set_bits, before)
    pipe.put("clear_bits", clear_bits, before)
    pipe.put("is_state", is_state, before)
    pipe.put("state_set", Mux(is_state & (op == StateOp.SET), bits, 0), before)
    pipe.put("state_clear", Mux(is_state & (op == StateOp.CLEAR), bits, 0), before)
    pipe.put("last", pipe.get("valid", before) & ~pipe.get("first", before), before, always=True)

    # The first half of a REPLACE leaves its findings for the whole message.
    first_anomaly, first_other, first_other_slot = Signal(4), Signal(), Signal(sizes.slot_bits)
    first_touched = Signal()
    second = pipe.get("second", before)
    anomaly = Signal(4)
    with m.If(pipe.get("wrong_length", before)):
        m.d.comb += anomaly.eq(Anomaly.WRONG_LENGTH)
    with m.Elif(second & (first_anomaly != 0)):
        m.d.comb += anomaly.eq(first_anomaly)
    with m.Else():
        m.d.comb += anomaly.eq(pipe.get("anomaly", before))
    pipe.put("whole_anomaly", anomaly, before)
    pipe.put("names_other", Mux(second, first_other, pipe.get("other", before)), before)
    pipe.put("named_slot", Mux(second, first_other_slot, pipe.get("other_slot", before)), before)
    spoiled = (anomaly != 0) | pipe.get("dropped", before)
    overflow = Mux(pipe.get("overflow", before), Const(Validity.OVERFLOW, 7), 0)
    pipe.put("new_bits", Mux(spoiled, Const(Validity.INCOMPLETE, 7), 0) | overflow, before)

    # What is kept of its slot. A slot that is being swept has no orders, whatever its memories still hold.
    validity = [Signal(7, init=int(VALIDITY_INIT), name=f"validity_{number}") for number in range(slots)]
    state = [Signal(5, init=int(STATE_INIT), name=f"state_{number}") for number in range(slots)]
    kept_validity = pipe.put("kept_validity", Array(validity)[pipe.get("slot", before)], before)
    pipe.put("hide", every | kept_validity[Validity.CLEARING.bit_length() - 1], before)
    pipe.put("kept_state", Array(state)[pipe.get("slot", before)], before)

    # The last stage.
    every, last, slot, swept = (pipe.get(name, at) for name in ("every_slot", "last", "slot", "swept"))
    touched = pipe.get("placed", at) & best
    with m.If(pipe.get("valid", at) & pipe.get("first", at)):
        m.d.sync += [
            first_anomaly.eq(pipe.get("anomaly", at)),
            first_other.eq(pipe.get("other", at)),
            first_other_slot.eq(pipe.get("other_slot", at)),
            first_touched.eq(touched),
        ]
    either = (first_touched | touched) & ~pipe.get("same", at)
    news = News(
        set_bits=pipe.get("set_bits", at),
        clear_bits=pipe.get("clear_bits", at),
        state_set=pipe.get("state_set", at),
        state_clear=pipe.get("state_clear", at),
        market=Signal(5, name="next_market"),
        anomaly=pipe.get("whole_anomaly", at),
        other=pipe.get("names_other", at),
        other_slot=pipe.get("named_slot", at),
        changed=Mux(pipe.get("second", at), either, touched) | swept,
        kept=(pipe.get("kept_validity", at) | pipe.get("new_bits", at)) & ~Mux(swept, Const(Validity.CLEARING, 7), 0),
        state=pipe.get("kept_state", at) & ~pipe.get("state_clear", at) | pipe.get("state_set", at),
    )
    commit, select = cfg_symbol.commit, cfg_symbol.select
    fresh = Mux(cfg_symbol.row.assume_trading, Const(0, 5), Const(SymbolState.NO_STATE, 5))
    for number in range(slots):
        with m.If(last & every):
            m.d.sync += validity[number].eq(validity[number] & ~news.clear_bits | news.set_bits)
        with m.Elif(last & (slot == number)):
            m.d.sync += validity[number].eq(news.kept)
        with m.Elif(last & news.other & (news.other_slot == number)):
            if "other_slot_spared" not in faults:
                m.d.sync += validity[number].eq(validity[number] | int(Validity.INCOMPLETE))
        with m.If(commit & (select == number)):
            m.d.sync += state[number].eq(fresh)
        with m.Elif(last & pipe.get("is_state", at) & (every | (slot == number))):
            m.d.sync += state[number].eq(state[number] & ~news.state_clear | news.state_set)
    market = Signal(5)
    m.d.comb += news.market.eq((market & ~news.state_clear | news.state_set) & int(_MARKET_STATE))
    with m.If(last & every):
        m.d.sync += market.eq(news.market)
    return news
