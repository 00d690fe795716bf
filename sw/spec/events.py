"""Records between stages and the trace record of every stage.

Stages hand each other *stream records* of exact widths; each stage also has one `trace` output, a *trace record* of
whole bytes, which is its only observation point. The model makes the same trace records, with `cycle` and `stamp` 0:
`TIMED` names the leading fields that comparisons skip.

Sides are one bit, 0 buy (bid) and 1 sell (ask). A price of 0 means that there is none. `seq` is the MoldUDP64
sequence number of the message; `cycle` the core cycle in which the record is valid; `stamp` the core cycle in which
the word holding the deciding byte was valid at the device's input.
"""

from enum import IntEnum, IntFlag

from tickgate.sw.spec.records import Record, record

BUY, SELL = 0, 1

#: `slot` of a record that concerns every slot or none.
NO_SLOT = 0xFF

#: Leading trace fields that are measured, not compared.
TIMED = ("cycle", "stamp")


class Notice(IntEnum):
    """In-band news from the feed. It applies after a message ending in its word, before one starting there.

    GAP is told when a packet's headers are accepted, SYNC and MARK when the type byte of the message that they precede
    arrives (where both are due, MARK alone), FCS behind the frame's last word, NEW_SESSION at the commit.
    """

    NONE = 0
    GAP = 1  # `seq` first missing, `count` missing
    FCS = 2  # a frame of which messages were already delivered had `error`
    NEW_SESSION = 3  # the host committed a feed row: tables are swept, every slot turns unsynced
    MARK = 4  # the host's mark is reached: clears unsynced and the sticky validity bits
    SYNC = 5  # sequence 1 of the session is next: clears unsynced


class EventKind(IntEnum):
    """Normalised events; 0 to 5 change the order table."""

    ADD = 0  # A, F
    EXECUTE = 1  # E, C
    CANCEL = 2  # X
    DELETE = 3  # D
    REPLACE = 4  # U
    TRADE = 5  # P: changes no book
    STATE = 6  # H, h of a slot, W and S of every slot: a change of SymbolState
    OTHER = 7  # any other type of a mapped locate: counted, changes nothing
    NOTICE = 8  # a Notice, or WRONG_LENGTH: concerns every slot


class ItchStatus(IntEnum):
    """What the parser made of a message."""

    EVENT = 0  # an event went to the book
    UNSUBSCRIBED = 1
    UNKNOWN_TYPE = 2
    WRONG_LENGTH = 3
    NOTICE = 4


class StateOp(IntEnum):
    """What a STATE event does to SymbolState: set or clear `state_bits` of one slot or of all.

    `normalise.RULES` has every rule: W sets BREAKER in every slot, the T of an H clears it in its own, an S of O, S or
    Q in all; NO_STATE ends with the first T.
    """

    SET = 0
    CLEAR = 1


FRAME_WORD = record(
    "frame_word",
    "Eight bytes of an Ethernet frame (no preamble, no FCS); byte 0 of the frame is bits 7:0 of its first word.",
    ("data", 64, "bytes, first in the lowest bits"),
    ("count", 4, "valid bytes, 1 to 8; 8 except in the last word"),
    ("last", 1, "last word of the frame"),
    ("error", 1, "on the last word: FCS or line error"),
)

FEED_WORD = record(
    "feed_word",
    "A word of accepted MoldUDP64 payload with where messages begin and end in it, and a notice. Never stalls.",
    ("data", 64, "as in the frame, not realigned"),
    ("start", 1, "the type byte of a message lies in this word"),
    ("start_lane", 3, "its byte lane"),
    ("length", 16, "its length in bytes"),
    ("seq", 64, "its sequence number"),
    ("end", 1, "the last byte of the message begun before lies in this word"),
    ("end_lane", 3, "its byte lane"),
    ("stamp", 64, "core cycle in which the word was valid at the device's input"),
    ("notice", 3, "Notice"),
    ("notice_seq", 64, "GAP: first missing; MARK and SYNC: the message that follows; else 0"),
    ("notice_count", 64, "GAP: how many are missing"),
)

EVENT = record(
    "event",
    "One normalised event for the book.",
    ("kind", 4, "EventKind"),
    ("notice", 3, "Notice, where kind is NOTICE; NONE there means a known type with a wrong length"),
    ("slot", 6, "slot of the message's locate"),
    ("every_slot", 1, "concerns all slots (NOTICE, market-wide STATE)"),
    ("side", 1, "ADD, TRADE: 0 buy, 1 sell"),
    ("bad_side", 1, "ADD, TRADE: side is neither B nor S"),
    ("reference", 64, "order reference; the original one of a REPLACE"),
    ("new_reference", 64, "REPLACE: the new one"),
    ("quantity", 32, "shares"),
    ("price_e4", 32, "price"),
    ("state_op", 1, "STATE: StateOp"),
    ("state_bits", 5, "STATE: SymbolState bits set or cleared"),
    ("itch_type", 8, "message type, ASCII; 0 where kind is NOTICE"),
    ("seq", 64, "sequence number; of a notice: its notice_seq"),
    ("stamp", 64, "core cycle of the deciding byte"),
)

BOOK_UPDATE = record(
    "book_update",
    "A slot's state after a whole message that concerned it.",
    ("slot", 6, "slot"),
    ("every_slot", 1, "`slot` and prices mean nothing: `every_` and `state_` masks apply to all slots"),
    ("every_set", 7, "Validity bits set in every slot"),
    ("every_clear", 7, "Validity bits cleared in every slot, before those set"),
    ("state_set", 5, "SymbolState bits set in every slot"),
    ("state_clear", 5, "SymbolState bits cleared in every slot"),
    ("other", 1, "`other_slot` turned incomplete as well (WRONG_LOCATE)"),
    ("other_slot", 6, "slot of the order that a message of another locate named"),
    ("bid_px_e4", 32, "best bid, 0 none"),
    ("bid_qty", 48, "shares at the best bid"),
    ("ask_px_e4", 32, "best ask, 0 none"),
    ("ask_qty", 48, "shares at the best ask"),
    ("bbo_changed", 1, "a best price or quantity changed"),
    ("validity", 7, "Validity after the message"),
    ("state", 5, "SymbolState after the message"),
    ("itch_type", 8, "message type, ASCII; 0 for a notice"),
    ("seq", 64, "sequence number"),
    ("stamp", 64, "core cycle of the deciding byte"),
)

INTENT = record(
    "intent",
    "An order that a trigger wants to send.",
    ("slot", 6, "slot"),
    ("side", 1, "0 buy, 1 sell; also the row that fired"),
    ("price_e4", 32, "limit price"),
    ("quantity", 32, "shares"),
    ("tif", 8, "OUCH time in force"),
    ("display", 8, "OUCH display"),
    ("capacity", 8, "OUCH capacity"),
    ("seq", 64, "sequence number of the message that fired it"),
    ("stamp", 64, "core cycle of the deciding byte"),
)

ORDER = record(
    "order",
    "An accepted intent with what its bytes need.",
    ("slot", 6, "slot"),
    ("symbol", 64, "eight ASCII characters, first in the highest byte"),
    ("side", 1, "0 buy, 1 sell"),
    ("price_e4", 32, "limit price"),
    ("quantity", 32, "shares"),
    ("tif", 8, "OUCH time in force"),
    ("display", 8, "OUCH display"),
    ("capacity", 8, "OUCH capacity"),
    ("seq", 64, "sequence number of the message that fired it"),
    ("stamp", 64, "core cycle of the deciding byte"),
)


class FeedItem(IntEnum):
    """What a feed trace record tells."""

    MESSAGE = 0  # a message was delivered: its last byte was valid
    NOTICE = 1


class TriggerFlag(IntFlag):
    """What happened in the trigger in the cycle of its record; several at once are possible.

    In one cycle, in this order: DONE frees the port; an evaluation that fires takes the port (SENT), or waits (HELD),
    or is dropped (BUSY, when one waits already); a waiting intent takes a free port (EMIT) ahead of one that fires in
    the same cycle, which then waits in its place; one that has waited longer than the limit is dropped (EXPIRE) unless
    it is emitted in that cycle; KILLED drops the waiting one.
    """

    EVAL = 1 << 0  # a message was evaluated
    DONE = 1 << 1  # the order path reported the last intent rejected or its frame complete
    EMIT = 1 << 2  # the waiting intent went to risk
    EXPIRE = 1 << 3  # the waiting intent was dropped: too old
    KILLED = 1 << 4  # the waiting intent was dropped: kill switch


class TriggerStatus(IntEnum):
    """What became of the evaluation of a message."""

    NONE = 0  # no row fired
    SENT = 1  # went to risk in the cycle of the record
    HELD = 2  # waits for the order port
    BUSY = 3  # dropped: another one waits


class OrderItem(IntEnum):
    """What an orders trace record tells."""

    ORDER = 0  # the first word of an order's frame was presented
    INJECT = 1  # the first word of a host message's frame was presented
    KILLED = 2  # an accepted intent was dropped before its first word: kill switch
    VOID = 3  # the same: the frame that decided it had an error
    POISONED = 4  # the last word of an order's frame was presented, with `error`: the frame that decided it had one


_HEAD = (
    ("cycle", 64, "core cycle in which the record is valid"),
    ("stamp", 64, "core cycle of the deciding byte's word at the device's input"),
    ("seq", 64, "sequence number of the message, 0 without one"),
)

FEED_TRACE = record(
    "feed_trace",
    "One record for each delivered message and each notice (its seq is the notice_seq, its length 0).",
    *_HEAD,
    ("item", 8, "FeedItem"),
    ("notice", 8, "Notice"),
    ("length", 16, "MESSAGE: bytes"),
    ("port", 8, "0 line A, 1 line B"),
    ("pad", 8, "0"),
    ("count", 64, "GAP: missing messages"),
    aligned=True,
)

ITCH_TRACE = record(
    "itch_trace",
    "One record for each message and each notice that left the parser.",
    *_HEAD,
    ("reference", 64, "order reference, 0 where the type has none"),
    ("new_reference", 64, "REPLACE: new reference"),
    ("quantity", 32, "shares, 0 where the type has none"),
    ("price_e4", 32, "price, 0 where the type has none"),
    ("itch_type", 8, "message type, ASCII; 0 for a notice"),
    ("status", 8, "ItchStatus"),
    ("kind", 8, "EventKind, 0 unless status is EVENT, WRONG_LENGTH or NOTICE"),
    ("notice", 8, "Notice"),
    ("slot", 8, "slot, NO_SLOT for every or none"),
    ("side", 8, "ADD, TRADE: 0 buy, 1 sell, 2 bad"),
    ("state_op", 8, "STATE: StateOp"),
    ("state_bits", 8, "STATE: SymbolState bits"),
    aligned=True,
)

BOOK_TRACE = record(
    "book_trace",
    "One record for each event: what was taken away (old_), what was added (new_), and the slot afterwards.",
    *_HEAD,
    ("bid_qty", 64, "shares at the best bid"),
    ("ask_qty", 64, "shares at the best ask"),
    ("bid_px_e4", 32, "best bid, 0 none"),
    ("ask_px_e4", 32, "best ask, 0 none"),
    ("old_level_before", 64, "shares of the level that an E, C, X, D or U took from, before"),
    ("old_level_after", 64, "and after; 0 where the order had no level"),
    ("new_level_before", 64, "shares of the level that an A, F or U added to, before"),
    ("new_level_after", 64, "and after; 0 where the order got no level"),
    ("old_price_e4", 32, "price of the order taken from, 0 none"),
    ("old_qty_before", 32, "its open shares before"),
    ("old_qty_after", 32, "its open shares after"),
    ("new_price_e4", 32, "price of the order added, 0 none"),
    ("new_qty", 32, "its shares"),
    ("far_bid", 16, "far orders of the slot's bid side after the event, saturated"),
    ("far_ask", 16, "far orders of the ask side"),
    ("off_bid", 16, "off orders of the bid side"),
    ("off_ask", 16, "off orders of the ask side"),
    ("old_level", 16, "level index, 0 where there is none"),
    ("new_level", 16, "level index, 0 where there is none"),
    ("kind", 8, "EventKind"),
    ("itch_type", 8, "message type, ASCII; 0 for a notice"),
    ("slot", 8, "slot, NO_SLOT for every slot"),
    ("old_side", 8, "side of the order taken from"),
    ("old_class", 8, "OrderClass of the order taken from"),
    ("new_side", 8, "side of the order added"),
    ("new_class", 8, "OrderClass of the order added"),
    ("anomaly", 8, "Anomaly"),
    ("validity", 8, "Validity of the slot after the event; for every slot: the bits set, 0 when cleared"),
    ("state", 8, "SymbolState of the slot after the event; for every slot: the market-wide bits"),
    ("bbo_changed", 8, "1 when a best price or quantity changed"),
    ("overflow", 8, "1 when the add found no room: the order is not kept"),
    aligned=True,
)

TRIGGER_TRACE = record(
    "trigger_trace",
    "One record for each cycle in which a TriggerFlag is set.",
    *_HEAD,
    ("wait_seq", 64, "EMIT, EXPIRE, KILLED: the message that fired the waiting intent"),
    ("price_e4", 32, "EVAL with a winner: its limit price"),
    ("quantity", 32, "and shares"),
    ("flags", 8, "TriggerFlag"),
    ("slot", 8, "EVAL: slot, else NO_SLOT"),
    ("condition", 8, "EVAL: bit a row, true after the message"),
    ("fired", 8, "EVAL: bit a row that fired"),
    ("row", 8, "EVAL: the row that won, 0 without one"),
    ("status", 8, "EVAL: TriggerStatus"),
    ("wait_slot", 8, "slot of the waiting intent that EMIT, EXPIRE or KILLED names, else NO_SLOT"),
    ("wait_row", 8, "its row"),
    aligned=True,
)

RISK_TRACE = record(
    "risk_trace",
    "One record for each verdict.",
    *_HEAD,
    ("entry_cycle", 64, "core cycle in which the intent entered risk: the time of every check"),
    ("as_of_seq", 64, "sequence number of the last book update that risk had taken in by then"),
    ("notional_e4", 64, "price x quantity at full width"),
    ("reasons", 32, "Reason mask, 0 accepted"),
    ("reference_e4", 32, "reference price, 0 none"),
    ("price_e4", 32, "limit price"),
    ("quantity", 32, "shares"),
    ("tokens_symbol", 16, "tokens of the slot after the verdict"),
    ("tokens_session", 16, "tokens of the session after the verdict"),
    ("slot", 8, "slot"),
    ("side", 8, "0 buy, 1 sell"),
    ("validity", 8, "Validity that was checked"),
    ("state", 8, "SymbolState that was checked"),
    aligned=True,
)

ORDERS_TRACE = record(
    "orders_trace",
    "One record for each frame begun, each order dropped in front of its first word, and each end that was poisoned.",
    *_HEAD,
    ("user_ref", 32, "OUCH user reference number; 0 for INJECT; of a POISONED order: it is the next one's again"),
    ("tcp_seq", 32, "TCP sequence number of the frame's first payload byte; likewise"),
    ("length", 16, "TCP payload bytes"),
    ("item", 8, "OrderItem"),
    ("slot", 8, "slot, NO_SLOT for INJECT"),
    aligned=True,
)

#: Trace record of every stage that has one in this release, in pipeline order.
TRACES: dict[str, Record] = {
    "feed": FEED_TRACE,
    "itch": ITCH_TRACE,
    "book": BOOK_TRACE,
    "trigger": TRIGGER_TRACE,
    "risk": RISK_TRACE,
    "orders": ORDERS_TRACE,
}
