"""Nasdaq OUCH 5.0: inbound and outbound messages, both revisions, and the appendage of optional values.

Two revisions are in use. In the older one the short messages end at their last field; in the newer one they end with
a 2-byte appendage length and options, as Enter Order always has. The packet's length decides which one it is: see
`decode`. In the OUCH 5.0 specification: section 2 inbound, section 3 outbound, appendix A the optional values.

Prices have 8 bytes and 4 implied decimals, timestamps 8 bytes (nanoseconds since midnight).
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tickgate.sw.spec.fields import Field, Kind, Message, Row, at

QUANTITY_MAX: Final = 999_999
"""Order quantity is below 1,000,000."""
PRICE_MAX_E4: Final = 1_999_999_900
"""Highest limit price, $199,999.99."""
PRICE_MARKET_E4: Final = 2_000_000_000
"""The price $200,000.0000 means a market order (for crosses)."""
ALPHA_SYMBOL_SIZE: Final = 8
CLORDID_SIZE: Final = 14
APPENDAGE_LENGTH_SIZE: Final = 2


class Side(enum.Enum):
    """Side of an order."""

    BUY = b"B"
    SELL = b"S"
    SELL_SHORT = b"T"
    SELL_SHORT_EXEMPT = b"E"


class TimeInForce(enum.Enum):
    """How long an order stands."""

    DAY = b"0"
    IOC = b"3"
    GTX = b"5"
    GTT = b"6"
    AFTER_HOURS = b"E"


class Display(enum.Enum):
    """How an order shows."""

    VISIBLE = b"Y"
    HIDDEN = b"N"
    ATTRIBUTABLE = b"A"
    CONFORMANT = b"Z"


class Capacity(enum.Enum):
    """In which role the firm acts."""

    AGENCY = b"A"
    PRINCIPAL = b"P"
    RISKLESS = b"R"
    OTHER = b"O"


class CrossType(enum.Enum):
    """In which market an order takes part."""

    CONTINUOUS = b"N"
    OPENING = b"O"
    CLOSING = b"C"
    HALT_IPO = b"H"
    SUPPLEMENTAL = b"S"
    RETAIL = b"R"
    EXTENDED_LIFE = b"E"
    AFTER_HOURS_CLOSE = b"A"


class OrderState(enum.Enum):
    """Whether an accepted order is on the book."""

    LIVE = b"L"
    DEAD = b"D"


def _values(kind: type[enum.Enum]) -> tuple[tuple[str, str], ...]:
    return tuple((item.value.decode("ascii"), item.name.lower().replace("_", " ")) for item in kind)


_UINT, _ALPHA, _PRICE, _TIME = Kind.UINT, Kind.ALPHA, Kind.PRICE, Kind.TIMESTAMP

_USER_REF: Final[Row] = ("user_ref", 4, _UINT, "User reference number; rises through the day")
_ORIGINAL_REF: Final[Row] = ("original_ref", 4, _UINT, "User reference number of the order that is replaced")
_NEW_REF: Final[Row] = ("user_ref", 4, _UINT, "User reference number of the new order")
_SIDE: Final[Row] = ("side", 1, _ALPHA, "Side", _values(Side))
_QUANTITY: Final[Row] = ("quantity", 4, _UINT, "Shares")
_SYMBOL: Final[Row] = ("symbol", ALPHA_SYMBOL_SIZE, _ALPHA, "Symbol, padded on the right with spaces")
_PRICE_ROW: Final[Row] = ("price_e4", 8, _PRICE, "Limit price")
_TIF: Final[Row] = ("time_in_force", 1, _ALPHA, "Time in force", _values(TimeInForce))
_DISPLAY: Final[Row] = ("display", 1, _ALPHA, "Display", _values(Display))
_CAPACITY: Final[Row] = ("capacity", 1, _ALPHA, "Capacity", _values(Capacity))
_SWEEP: Final[Row] = ("sweep", 1, _ALPHA, "Intermarket sweep eligibility", (("Y", "eligible"), ("N", "not eligible")))
_CROSS: Final[Row] = ("cross_type", 1, _ALPHA, "Cross type", _values(CrossType))
_CLORDID: Final[Row] = ("clordid", CLORDID_SIZE, _ALPHA, "Client's order identifier")
_FIRM: Final[Row] = ("firm", 4, _ALPHA, "Firm")
_TIMESTAMP: Final[Row] = ("timestamp_ns", 8, _TIME, "Nanoseconds since midnight")
_ORDER_REF: Final[Row] = ("order_reference", 8, _UINT, "Reference number that Nasdaq gave the order")
_STATE: Final[Row] = ("order_state", 1, _ALPHA, "Order state", _values(OrderState))
_LIQUIDITY: Final[Row] = ("liquidity", 1, _ALPHA, "Liquidity flag")
_MATCH: Final[Row] = ("match_number", 8, _UINT, "Match number")
_REASON: Final[Row] = ("reason", 1, _ALPHA, "Reason")
_APPENDAGE_LENGTH: Final[Row] = ("appendage_length", APPENDAGE_LENGTH_SIZE, _UINT, "Bytes of options that follow")

TAIL: Final = "appendage"


def _message(name: str, code: bytes, size: int, doc: str, *rows: Row) -> Message:
    fields = (Field("type", 0, 1, _ALPHA, "Message type"), *at(1, *rows))
    tail = TAIL if fields[-1].name == "appendage_length" else ""
    return Message(name, code, size, fields, doc, tail)


# Inbound: client to exchange, in an unsequenced packet.

ENTER_ORDER: Final = _message(
    "enter_order", b"O", 47, "Enter order",
    _USER_REF, _SIDE, _QUANTITY, _SYMBOL, _PRICE_ROW, _TIF, _DISPLAY, _CAPACITY, _SWEEP, _CROSS, _CLORDID,
    _APPENDAGE_LENGTH,
)  # fmt: skip
REPLACE_ORDER: Final = _message(
    "replace_order", b"U", 40, "Replace order; the quantity is the total of the chain, executed shares included",
    _ORIGINAL_REF, _NEW_REF, _QUANTITY, _PRICE_ROW, _TIF, _DISPLAY, _SWEEP, _CLORDID, _APPENDAGE_LENGTH,
)  # fmt: skip
CANCEL_ORDER: Final = _message(
    "cancel_order", b"X", 9, "Cancel order",
    _USER_REF, ("quantity", 4, _UINT, "New intended total size, executed shares included; 0 cancels the rest"),
)  # fmt: skip
MODIFY_ORDER: Final = _message("modify_order", b"M", 10, "Modify order", _USER_REF, _SIDE, _QUANTITY)
MASS_CANCEL: Final = _message("mass_cancel", b"C", 17, "Mass cancel", _USER_REF, _FIRM, _SYMBOL)
DISABLE_ORDER_ENTRY: Final = _message("disable_order_entry", b"D", 9, "Disable order entry", _USER_REF, _FIRM)
ENABLE_ORDER_ENTRY: Final = _message("enable_order_entry", b"E", 9, "Enable order entry", _USER_REF, _FIRM)
ACCOUNT_QUERY: Final = _message("account_query", b"Q", 1, "Account query")

# Outbound: exchange to client, in a sequenced packet.

SYSTEM_EVENT: Final = _message(
    "system_event", b"S", 10, "System event",
    _TIMESTAMP, ("event_code", 1, _ALPHA, "Event", (("S", "start of day"), ("E", "end of day"))),
)  # fmt: skip
ORDER_ACCEPTED: Final = _message(
    "order_accepted", b"A", 64, "Order accepted",
    _TIMESTAMP, _USER_REF, _SIDE, _QUANTITY, _SYMBOL, _PRICE_ROW, _TIF, _DISPLAY, _ORDER_REF, _CAPACITY, _SWEEP,
    _CROSS, _STATE, _CLORDID, _APPENDAGE_LENGTH,
)  # fmt: skip
ORDER_REPLACED: Final = _message(
    "order_replaced", b"U", 68, "Order replaced",
    _TIMESTAMP, _ORIGINAL_REF, _NEW_REF, _SIDE, _QUANTITY, _SYMBOL, _PRICE_ROW, _TIF, _DISPLAY, _ORDER_REF,
    _CAPACITY, _SWEEP, _CROSS, _STATE, _CLORDID, _APPENDAGE_LENGTH,
)  # fmt: skip
ORDER_CANCELED: Final = _message(
    "order_canceled", b"C", 18, "Order canceled or reduced",
    _TIMESTAMP, _USER_REF, ("quantity", 4, _UINT, "Shares that this message canceled"), _REASON,
)  # fmt: skip
AIQ_CANCELED: Final = _message(
    "aiq_canceled", b"D", 31, "Canceled by the anti-internalization rule",
    _TIMESTAMP, _USER_REF,
    ("decrement", 4, _UINT, "Shares by which the order shrank"),
    _REASON,
    ("prevented_quantity", 4, _UINT, "Shares that would have traded"),
    ("price_e4", 8, _PRICE, "Price at which they would have traded"),
    _LIQUIDITY,
)  # fmt: skip
ORDER_EXECUTED: Final = _message(
    "order_executed", b"E", 36, "Order executed",
    _TIMESTAMP, _USER_REF, _QUANTITY, ("price_e4", 8, _PRICE, "Execution price"), _LIQUIDITY, _MATCH,
    _APPENDAGE_LENGTH,
)  # fmt: skip
BROKEN_TRADE: Final = _message(
    "broken_trade", b"B", 36, "Broken trade", _TIMESTAMP, _USER_REF, _MATCH, _REASON, _CLORDID
)
TRADE_CORRECTION: Final = _message(
    "trade_correction", b"F", 49, "Trade correction",
    _TIMESTAMP, _USER_REF, _QUANTITY, ("price_e4", 8, _PRICE, "Corrected price"), _LIQUIDITY, _MATCH, _REASON, _CLORDID,
)  # fmt: skip
REJECTED: Final = _message(
    "rejected", b"J", 29, "Rejected", _TIMESTAMP, _USER_REF, ("reason", 2, _UINT, "Reason code"), _CLORDID
)
CANCEL_PENDING: Final = _message("cancel_pending", b"P", 13, "Cancel pending, in a cross", _TIMESTAMP, _USER_REF)
CANCEL_REJECT: Final = _message("cancel_reject", b"I", 13, "Cancel reject, in a cross", _TIMESTAMP, _USER_REF)
PRIORITY_UPDATE: Final = _message(
    "priority_update", b"T", 30, "Order priority update",
    _TIMESTAMP, _USER_REF, _PRICE_ROW, _DISPLAY, _ORDER_REF,
)  # fmt: skip
ORDER_MODIFIED: Final = _message("order_modified", b"M", 18, "Order modified", _TIMESTAMP, _USER_REF, _SIDE, _QUANTITY)
ORDER_RESTATED: Final = _message(
    "order_restated", b"R", 16, "Order restated", _TIMESTAMP, _USER_REF, _REASON, _APPENDAGE_LENGTH
)
MASS_CANCEL_RESPONSE: Final = _message(
    "mass_cancel_response", b"X", 25, "Mass cancel response", _TIMESTAMP, _USER_REF, _FIRM, _SYMBOL
)
DISABLE_RESPONSE: Final = _message(
    "disable_response", b"G", 17, "Disable order entry response", _TIMESTAMP, _USER_REF, _FIRM
)
ENABLE_RESPONSE: Final = _message(
    "enable_response", b"K", 17, "Enable order entry response", _TIMESTAMP, _USER_REF, _FIRM
)
ACCOUNT_QUERY_RESPONSE: Final = _message(
    "account_query_response", b"Q", 13, "Account query response",
    _TIMESTAMP, ("user_ref", 4, _UINT, "Next user reference number"),
)  # fmt: skip

INBOUND: Final[dict[int, Message]] = {
    message.type_byte: message
    for message in (
        ENTER_ORDER, REPLACE_ORDER, CANCEL_ORDER, MODIFY_ORDER, MASS_CANCEL, DISABLE_ORDER_ENTRY, ENABLE_ORDER_ENTRY,
        ACCOUNT_QUERY,
    )
}  # fmt: skip
"""Messages of a client by type byte, in the older revision (Enter and Replace Order are the same in both)."""

OUTBOUND: Final[dict[int, Message]] = {
    message.type_byte: message
    for message in (
        SYSTEM_EVENT, ORDER_ACCEPTED, ORDER_REPLACED, ORDER_CANCELED, AIQ_CANCELED, ORDER_EXECUTED, BROKEN_TRADE,
        TRADE_CORRECTION, REJECTED, CANCEL_PENDING, CANCEL_REJECT, PRIORITY_UPDATE, ORDER_MODIFIED, ORDER_RESTATED,
        MASS_CANCEL_RESPONSE, DISABLE_RESPONSE, ENABLE_RESPONSE, ACCOUNT_QUERY_RESPONSE,
    )
}  # fmt: skip
"""Messages of the exchange by type byte, in the older revision."""


def _extended(message: Message) -> Message:
    if message.tail:
        return message
    fields = (*message.fields, *at(message.size, _APPENDAGE_LENGTH))
    size = message.size + APPENDAGE_LENGTH_SIZE
    return Message(message.name, message.code, size, fields, f"{message.doc}, newer revision", TAIL)


INBOUND_EXTENDED: Final[dict[int, Message]] = {code: _extended(message) for code, message in INBOUND.items()}
"""Messages of a client in the newer revision: every one ends with an appendage."""
OUTBOUND_EXTENDED: Final[dict[int, Message]] = {code: _extended(message) for code, message in OUTBOUND.items()}
"""Messages of the exchange in the newer revision: every one ends with an appendage."""


@dataclass(frozen=True, slots=True)
class OptionType:
    """One kind of optional value (appendix A).

    Members
    -------
    tag : int
        1 byte on the wire.
    value : Field
        Name, size, kind and meaning; it stands behind the option's length and tag bytes.
    """

    tag: int
    value: Field


def _options(*rows: tuple[int, str, int, Kind, str]) -> dict[int, OptionType]:
    return {tag: OptionType(tag, Field(name, 0, size, kind, doc)) for tag, name, size, kind, doc in rows}


OPTIONS: Final[dict[int, OptionType]] = _options(
    (1, "secondary_order_reference", 8, _UINT, "Order reference used on the market data feed"),
    (2, "firm", 4, _ALPHA, "Firm"),
    (3, "minimum_quantity", 4, _UINT, "Minimum quantity, shares"),
    (4, "customer_type", 1, _ALPHA, "Customer type: R retail, N not retail"),
    (5, "max_floor", 4, _UINT, "Displayed part of a reserve order, shares"),
    (6, "price_type", 1, _ALPHA, "L limit, P market peg, R primary peg, M midpoint peg, Q market maker peg"),
    (7, "peg_offset_e4", 4, Kind.SIGNED_PRICE, "Offset of a pegged price"),
    (9, "discretion_price_e4", 8, _PRICE, "Discretion price"),
    (10, "discretion_price_type", 1, _ALPHA, "As price type"),
    (11, "discretion_peg_offset_e4", 4, Kind.SIGNED_PRICE, "Offset of a pegged discretion price"),
    (12, "post_only", 1, _ALPHA, "P post only, N no"),
    (13, "random_reserves", 4, _UINT, "Range of a random reserve, shares"),
    (14, "route", 4, _ALPHA, "Routing strategy"),
    (15, "expire_time_s", 4, _UINT, "Seconds to live"),
    (16, "trade_now", 1, _ALPHA, "Y trade now, N no"),
    (17, "handling", 1, _ALPHA, "Handling instruction"),
    (18, "bbo_weight", 1, _ALPHA, "Weight of the order in the best bid and offer"),
    (22, "display_quantity", 4, _UINT, "Displayed shares after a restatement"),
    (23, "display_price_e4", 8, _PRICE, "Displayed price after a restatement"),
    (24, "group", 2, _UINT, "Group of the order"),
    (25, "shares_located", 1, _ALPHA, "Y shares located, N not"),
    (26, "locate_broker", 4, _ALPHA, "Broker of the locate"),
    (27, "side", 1, _ALPHA, "Side"),
    (28, "user_ref_index", 1, _UINT, "User reference index"),
)
"""Optional values by tag. A tag that is not here is legal: its bytes are kept."""

OPTION_TAGS: Final[dict[str, int]] = {option.value.name: tag for tag, option in OPTIONS.items()}
"""Tag of an option's name."""


def build_appendage(options: Iterable[tuple[int, Any]]) -> bytes:
    """Encode options, (tag, value) each; the value of an unknown tag is bytes.

    Raises
    ------
    ValueError
        A value does not fit.
    """
    out = bytearray()
    for tag, value in options:
        option = OPTIONS.get(tag)
        data = bytes(value) if option is None else option.value.to_bytes(value)
        if not 0 <= tag <= 255 or len(data) > 254:
            raise ValueError(f"option {tag} with {len(data)} bytes cannot be encoded")
        out += bytes((len(data) + 1, tag)) + data
    return bytes(out)


def parse_appendage(data: bytes) -> list[tuple[int, Any]]:
    """Decode options into (tag, value) each; unknown tags and unusual sizes keep their bytes.

    Raises
    ------
    ValueError
        An option has no tag, or ends behind the appendage.
    """
    out: list[tuple[int, Any]] = []
    position = 0
    while position < len(data):
        length = data[position]
        if length == 0 or position + 1 + length > len(data):
            raise ValueError(f"option at byte {position} of {len(data)} has the length {length}")
        tag = data[position + 1]
        value: Any = bytes(data[position + 2 : position + 1 + length])
        option = OPTIONS.get(tag)
        if option is not None and option.value.size == len(value):
            value = option.value.from_bytes(value)
        out.append((tag, value))
        position += 1 + length
    return out


def build(message: Message, options: Iterable[tuple[int, Any]] = (), **values: Any) -> bytes:
    """Encode a message of either revision with its options and appendage length.

    Raises
    ------
    ValueError
        A field is missing, unknown, or does not fit; options for a message without appendage.
    """
    appendage = build_appendage(options)
    if message.tail:
        return message.pack(appendage_length=len(appendage), appendage=appendage, **values)
    if appendage:
        raise ValueError(f"{message.name} of this revision has no appendage")
    return message.pack(**values)


def table(data: bytes, inbound: bool) -> Message:
    """The table that reads this message: the packet's length decides between the revisions.

    Raises
    ------
    ValueError
        Unknown type, or shorter than the message.
    """
    if not data:
        raise ValueError("an OUCH message has at least its type byte")
    older, newer = (INBOUND, INBOUND_EXTENDED) if inbound else (OUTBOUND, OUTBOUND_EXTENDED)
    message = older.get(data[0])
    if message is None:
        raise ValueError(f"OUCH 5.0 has no {'inbound' if inbound else 'outbound'} message {data[:1]!r}")
    if len(data) < message.size:
        raise ValueError(f"{message.name} has at least {message.size} bytes, not {len(data)}")
    return message if len(data) == message.size else newer[data[0]]


def decode(data: bytes, inbound: bool) -> tuple[Message, dict[str, Any]]:
    """Decode one message, either revision; `options` in the values holds the parsed appendage.

    Raises
    ------
    ValueError
        Unknown type, wrong length, or an appendage that is not what its length says.
    """
    message = table(data, inbound)
    values = message.unpack(data)
    if message.tail:
        if values["appendage_length"] != len(values[TAIL]):
            raise ValueError(
                f"{message.name}: the appendage has {len(values[TAIL])} bytes, its length says "
                f"{values['appendage_length']}"
            )
        values["options"] = parse_appendage(values.pop(TAIL))
    return message, values
