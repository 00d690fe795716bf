"""Configuration rows: what the host loads whole, through a shadow, in one cycle.

Each row is a `Record`; `tickgate.sw.spec.registers` gives every field a shadow register and every row a commit
register, the gateware stores rows as these layouts, and `tickgate.sw.spec.config` fills them from a TOML file.
"""

from enum import IntEnum

from tickgate.sw.spec.records import record


class TriggerKind(IntEnum):
    """When a trigger row is true. `OFF` is the reset value and never fires."""

    OFF = 0
    TAKE = 1  # buy: best ask exists and <= threshold; sell: best bid exists and >= threshold
    IMBALANCE = 2  # both sides exist; buy: bid_qty x den > ask_qty x num; sell: ask_qty x den > bid_qty x num
    SPREAD = 3  # both sides exist and best ask - best bid >= min_spread_e4 (a crossed book is no spread)


class PriceSource(IntEnum):
    """What sets an intent's limit price. Market data selects the price, it never computes one."""

    TEMPLATE = 0
    BEST_BID = 1
    BEST_ASK = 2


class Rearm(IntEnum):
    """When a row that fired may fire again."""

    ONE_SHOT = 0  # after the host writes the row again
    COOLDOWN = 1  # `cooldown_cycles` after it fired; 0 is at once


FEED_ROW = record(
    "feed_row",
    "What the feed handler accepts. Reset: nothing (destination 0.0.0.0:0). Commit starts a new session.",
    ("dst_ip", 32, "IPv4 destination address, first octet in the highest byte"),
    ("dst_port", 16, "UDP destination port"),
    ("session", 80, "MoldUDP64 session name, first character in the highest byte"),
    ("first_seq", 64, "sequence number expected first"),
)

MARK_ROW = record(
    "mark_row",
    "The host's mark: validity is cleared right before the message of this sequence number.",
    ("seq", 64, "sequence number at which the mark takes effect"),
)

SYMBOL_ROW = record(
    "symbol_row",
    "One slot's symbol. `valid` 0 is the reset value: no locate maps to the slot.",
    ("valid", 1, "the slot is in use"),
    ("locate", 16, "stock locate of the day"),
    ("symbol", 64, "eight ASCII characters, space padded, first in the highest byte"),
    ("tick", 3, "index into units.TICKS_E4"),
    ("tick_e4", 10, "the tick itself, in 1/10,000"),
    ("reciprocal", 43, "units.RECIPROCALS of the tick"),
    ("base_e4", 32, "price of level 0, a multiple of the tick"),
    ("span_e4", 32, "levels x tick: prices of base .. base + span - tick have a level"),
    ("assume_trading", 1, "trades although no H was seen"),
)

TRIGGER_ROW = record(
    "trigger_row",
    "One trigger: the row of a slot and side. Reset: kind OFF. Writing it re-arms it and forgets its last condition.",
    ("kind", 2, "TriggerKind"),
    ("threshold_e4", 32, "TAKE: price threshold"),
    ("num", 16, "IMBALANCE: numerator"),
    ("den", 16, "IMBALANCE: denominator"),
    ("min_spread_e4", 32, "SPREAD: least spread"),
    ("price_source", 2, "PriceSource"),
    ("price_e4", 32, "limit price where the source is TEMPLATE"),
    ("quantity", 32, "shares"),
    ("tif", 8, "OUCH time in force, ASCII"),
    ("display", 8, "OUCH display, ASCII"),
    ("capacity", 8, "OUCH capacity, ASCII"),
    ("rearm", 1, "Rearm"),
    ("cooldown_cycles", 32, "cycles between two firings of the row"),
)

LIMITS_ROW = record(
    "limits_row",
    "One slot's limits, written whole. Each `_valid` field is a flip-flop that reset clears; 0 rejects for it.",
    ("max_quantity_valid", 1, "max_quantity is configured"),
    ("max_quantity", 32, "shares, inclusive"),
    ("max_notional_valid", 1, "max_notional is configured"),
    ("max_notional_e4", 64, "price_e4 x quantity, inclusive"),
    ("collar_valid", 1, "both collar bands are configured"),
    ("collar_abs_e4", 32, "largest abs(price - reference), inclusive"),
    ("collar_bps", 16, "abs(price - reference) x 10,000 <= reference x this"),
    ("rate_valid", 1, "the slot's token bucket is configured"),
    ("rate_burst", 16, "bucket size in orders"),
    ("rate_period_cycles", 32, "cycles for one token, 1 or more"),
)

GATE_ROW = record(
    "gate_row",
    "Limits of the whole session.",
    ("rate_valid", 1, "the session's token bucket is configured"),
    ("rate_burst", 16, "bucket size in orders"),
    ("rate_period_cycles", 32, "cycles for one token, 1 or more"),
    ("intent_limit_valid", 1, "intent_limit_cycles is configured; 0 lets no intent wait"),
    ("intent_limit_cycles", 32, "an intent that waited longer is dropped as too old"),
)

SESSION_ROW = record(
    "session_row",
    "The order session handed over by the host. Reset: closed. Commit takes the numbers over.",
    ("open", 1, "the session may be used"),
    ("src_mac", 48, "device's Ethernet address, first octet in the highest byte"),
    ("dst_mac", 48, "next hop's Ethernet address"),
    ("src_ip", 32, "device's IPv4 address"),
    ("dst_ip", 32, "venue's IPv4 address"),
    ("src_port", 16, "device's TCP port"),
    ("dst_port", 16, "venue's TCP port"),
    ("next_seq", 32, "TCP sequence number of the next byte to send"),
    ("user_ref", 32, "OUCH user reference number of the next order"),
    ("cl_ord_id", 112, "fourteen ASCII characters put in every order, first in the highest byte"),
    ("firm", 32, "four ASCII characters for appendage tag 2; 0 sends no appendage"),
)

PEER_ROW = record(
    "peer_row",
    "What the venue last said on the TCP connection; committed together.",
    ("ack_out", 32, "acknowledgement number that the device sends: next byte expected of the venue"),
    ("window_out", 16, "window field that the device sends"),
    ("ack_in", 32, "highest byte number that the venue acknowledged"),
    ("window_in", 32, "the venue's window in bytes, already scaled"),
)

#: Rows in the order of their registers, with what a commit selects: nothing, a slot, or a slot and side.
ROWS = (
    (FEED_ROW, ""),
    (MARK_ROW, ""),
    (SYMBOL_ROW, "slot"),
    (TRIGGER_ROW, "slot_side"),
    (LIMITS_ROW, "slot"),
    (GATE_ROW, ""),
    (SESSION_ROW, ""),
    (PEER_ROW, ""),
)
