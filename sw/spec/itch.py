"""Nasdaq TotalView-ITCH 5.0: the 23 messages (specification version 5.0, sections 1.1 to 1.9).

Every message starts with the 11-byte header type, stock locate, tracking number, timestamp. Prices are in 1/10,000
except the three levels of V (8 decimals). Offsets are stated, not summed, so that a slip in one row is caught.
"""

from typing import Final

from tickgate.sw.spec.fields import Field, Kind, Message

_UINT, _ALPHA, _PRICE, _PRICE8, _TIME = Kind.UINT, Kind.ALPHA, Kind.PRICE, Kind.PRICE8, Kind.TIMESTAMP

HEADER_SIZE: Final = 11
MESSAGE_SIZE_MIN: Final = 12
MIN_BLOCK: Final = MESSAGE_SIZE_MIN
"""A MoldUDP64 block shorter than this cannot be an ITCH message and ends its packet."""

Values = tuple[tuple[str, str], ...]
YES_NO: Final[Values] = (("Y", "yes"), ("N", "no"))
YES_NO_UNKNOWN: Final[Values] = (*YES_NO, (" ", "not available"))
SIDES: Final[Values] = (("B", "buy"), ("S", "sell"))
BUY: Final = b"B"
SELL: Final = b"S"

EVENT_CODES: Final[Values] = (
    ("O", "start of messages"),
    ("S", "start of system hours"),
    ("Q", "start of market hours"),
    ("M", "end of market hours"),
    ("E", "end of system hours"),
    ("C", "end of messages"),
)
TRADING_STATES: Final[Values] = (
    ("H", "halted across all U.S. equity markets"),
    ("P", "paused across all U.S. equity markets"),
    ("Q", "quotation only period"),
    ("T", "trading"),
)
MARKET_CATEGORIES: Final[Values] = (
    ("Q", "Nasdaq Global Select Market"),
    ("G", "Nasdaq Global Market"),
    ("S", "Nasdaq Capital Market"),
    ("N", "New York Stock Exchange"),
    ("A", "NYSE American"),
    ("P", "NYSE Arca"),
    ("Z", "Cboe BZX"),
    ("V", "Investors' Exchange"),
    (" ", "not available"),
)
FINANCIAL_STATUS: Final[Values] = (
    ("D", "deficient"),
    ("E", "delinquent"),
    ("Q", "bankrupt"),
    ("S", "suspended"),
    ("G", "deficient and bankrupt"),
    ("H", "deficient and delinquent"),
    ("J", "delinquent and bankrupt"),
    ("K", "deficient, delinquent and bankrupt"),
    ("C", "creations or redemptions suspended"),
    ("N", "normal"),
    (" ", "not available"),
)
CROSS_TYPES: Final[Values] = (
    ("O", "opening cross"),
    ("C", "closing cross"),
    ("H", "halted or paused security"),
    ("A", "extended trading close"),
)


def _message(name: str, code: str, size: int, doc: str, *body: Field) -> Message:
    header = (
        Field("type", 0, 1, _ALPHA, "Message type"),
        Field("stock_locate", 1, 2, _UINT, "Identifies the security for this day (0: no security)"),
        Field("tracking_number", 3, 2, _UINT, "Nasdaq internal"),
        Field("timestamp_ns", 5, 6, _TIME, "Nanoseconds since midnight"),
    )
    return Message(name, code.encode("ascii"), size, header + body, doc)


def _stock(offset: int) -> Field:
    return Field("stock", offset, 8, _ALPHA, "Stock symbol, padded on the right with spaces")


SYSTEM_EVENT: Final = _message(
    "system_event", "S", 12, "System event: a market or data feed event (1.1)",
    Field("event_code", 11, 1, _ALPHA, "What happened", EVENT_CODES),
)  # fmt: skip
STOCK_DIRECTORY: Final = _message(
    "stock_directory", "R", 39, "Stock directory: one for each security, at the start of the day (1.2.1)",
    _stock(11),
    Field("market_category", 19, 1, _ALPHA, "Listing market", MARKET_CATEGORIES),
    Field("financial_status", 20, 1, _ALPHA, "Financial status indicator", FINANCIAL_STATUS),
    Field("round_lot_size", 21, 4, _UINT, "Shares in a round lot"),
    Field("round_lots_only", 25, 1, _ALPHA, "Whether only round lots are accepted", YES_NO),
    Field("issue_classification", 26, 1, _ALPHA, "Security class"),
    Field("issue_subtype", 27, 2, _ALPHA, "Security sub-type"),
    Field("authenticity", 29, 1, _ALPHA, "Live or test security", (("P", "live"), ("T", "test"))),
    Field("short_sale_threshold", 30, 1, _ALPHA, "Subject to mandatory close-out (Reg SHO 203(b)(3))", YES_NO_UNKNOWN),
    Field("ipo_flag", 31, 1, _ALPHA, "Set up for an IPO release", YES_NO_UNKNOWN),
    Field("luld_tier", 32, 1, _ALPHA, "LULD reference price tier",
          (("1", "tier 1"), ("2", "tier 2"), (" ", "not available"))),
    Field("etp_flag", 33, 1, _ALPHA, "Exchange traded product", YES_NO_UNKNOWN),
    Field("etp_leverage", 34, 4, _UINT, "Leverage factor of the exchange traded product"),
    Field("inverse", 38, 1, _ALPHA, "Inverse exchange traded product", YES_NO),
)  # fmt: skip
TRADING_ACTION: Final = _message(
    "trading_action", "H", 25, "Stock trading action: halt, pause, quotation, trading (1.2.2)",
    _stock(11),
    Field("trading_state", 19, 1, _ALPHA, "Current trading state", TRADING_STATES),
    Field("reserved", 20, 1, _ALPHA, "Reserved"),
    Field("reason", 21, 4, _ALPHA, "Trading action reason"),
)  # fmt: skip
REG_SHO: Final = _message(
    "reg_sho", "Y", 20, "Reg SHO short sale price test restriction (1.2.3)",
    _stock(11),
    Field("reg_sho_action", 19, 1, _ALPHA, "Restriction", (("0", "no price test"), ("1", "restriction in effect"),
                                                           ("2", "restriction remains in effect"))),
)  # fmt: skip
MARKET_PARTICIPANT_POSITION: Final = _message(
    "market_participant_position", "L", 26, "Market participant position (1.2.4)",
    Field("mpid", 11, 4, _ALPHA, "Market participant identifier"),
    _stock(15),
    Field("primary_market_maker", 23, 1, _ALPHA, "Primary market maker", YES_NO),
    Field("market_maker_mode", 24, 1, _ALPHA, "Quoting participant's registration status",
          (("N", "normal"), ("P", "passive"), ("S", "syndicate"), ("R", "pre-syndicate"), ("L", "penalty"))),
    Field("participant_state", 25, 1, _ALPHA, "Registration status",
          (("A", "active"), ("E", "excused"), ("W", "withdrawn"), ("S", "suspended"), ("D", "deleted"))),
)  # fmt: skip
MWCB_DECLINE_LEVEL: Final = _message(
    "mwcb_decline_level", "V", 35, "Market-wide circuit breaker decline levels (1.2.5.1)",
    Field("level1_e8", 11, 8, _PRICE8, "Level 1, in 1/100,000,000"),
    Field("level2_e8", 19, 8, _PRICE8, "Level 2, in 1/100,000,000"),
    Field("level3_e8", 27, 8, _PRICE8, "Level 3, in 1/100,000,000"),
)  # fmt: skip
MWCB_STATUS: Final = _message(
    "mwcb_status", "W", 12, "Market-wide circuit breaker breached (1.2.5.2)",
    Field("breached_level", 11, 1, _ALPHA, "Breached level", (("1", "level 1"), ("2", "level 2"), ("3", "level 3"))),
)  # fmt: skip
QUOTING_PERIOD_UPDATE: Final = _message(
    "quoting_period_update", "K", 28, "IPO quoting period update (1.2.6)",
    _stock(11),
    Field("release_time_s", 19, 4, _UINT, "IPO quotation release time, seconds since midnight"),
    Field("release_qualifier", 23, 1, _ALPHA, "Qualifier", (("A", "anticipated"), ("C", "cancelled or postponed"))),
    Field("price_e4", 24, 4, _PRICE, "IPO price"),
)  # fmt: skip
LULD_AUCTION_COLLAR: Final = _message(
    "luld_auction_collar", "J", 35, "Limit up, limit down auction collar (1.2.7)",
    _stock(11),
    Field("reference_price_e4", 19, 4, _PRICE, "Auction collar reference price"),
    Field("upper_price_e4", 23, 4, _PRICE, "Upper auction collar price"),
    Field("lower_price_e4", 27, 4, _PRICE, "Lower auction collar price"),
    Field("extension", 31, 4, _UINT, "Number of extensions to the reopening auction"),
)  # fmt: skip
OPERATIONAL_HALT: Final = _message(
    "operational_halt", "h", 21, "Operational halt of one market (1.2.8)",
    _stock(11),
    Field("market_code", 19, 1, _ALPHA, "Market", (("Q", "Nasdaq"), ("B", "BX"), ("X", "PSX"))),
    Field("action", 20, 1, _ALPHA, "Action", (("H", "operationally halted"), ("T", "halt lifted, trading resumed"))),
)  # fmt: skip
ADD_ORDER: Final = _message(
    "add_order", "A", 36, "Add order, no MPID attribution (1.3.1)",
    Field("reference", 11, 8, _UINT, "Order reference number, unique while the order lives"),
    Field("side", 19, 1, _ALPHA, "Side", SIDES),
    Field("shares", 20, 4, _UINT, "Shares added to the book"),
    _stock(24),
    Field("price_e4", 32, 4, _PRICE, "Display price"),
)  # fmt: skip
ADD_ORDER_MPID: Final = _message(
    "add_order_mpid", "F", 40, "Add order with MPID attribution (1.3.2)",
    Field("reference", 11, 8, _UINT, "Order reference number, unique while the order lives"),
    Field("side", 19, 1, _ALPHA, "Side", SIDES),
    Field("shares", 20, 4, _UINT, "Shares added to the book"),
    _stock(24),
    Field("price_e4", 32, 4, _PRICE, "Display price"),
    Field("mpid", 36, 4, _ALPHA, "Market participant identifier"),
)  # fmt: skip
ORDER_EXECUTED: Final = _message(
    "order_executed", "E", 31, "Order executed at its display price (1.4.1)",
    Field("reference", 11, 8, _UINT, "Order that was executed"),
    Field("shares", 19, 4, _UINT, "Shares executed"),
    Field("match_number", 23, 8, _UINT, "Match number"),
)  # fmt: skip
ORDER_EXECUTED_WITH_PRICE: Final = _message(
    "order_executed_with_price", "C", 36, "Order executed at another price (1.4.2)",
    Field("reference", 11, 8, _UINT, "Order that was executed"),
    Field("shares", 19, 4, _UINT, "Shares executed"),
    Field("match_number", 23, 8, _UINT, "Match number"),
    Field("printable", 31, 1, _ALPHA, "Whether it counts in time and sales", YES_NO),
    Field("price_e4", 32, 4, _PRICE, "Execution price"),
)  # fmt: skip
ORDER_CANCEL: Final = _message(
    "order_cancel", "X", 23, "Order partially canceled (1.4.3)",
    Field("reference", 11, 8, _UINT, "Order that is reduced"),
    Field("shares", 19, 4, _UINT, "Shares canceled"),
)  # fmt: skip
ORDER_DELETE: Final = _message(
    "order_delete", "D", 19, "Order deleted (1.4.4)",
    Field("reference", 11, 8, _UINT, "Order that is removed"),
)  # fmt: skip
ORDER_REPLACE: Final = _message(
    "order_replace", "U", 35, "Order replaced; side, stock and attribution stay (1.4.5)",
    Field("original_reference", 11, 8, _UINT, "Order that is removed"),
    Field("new_reference", 19, 8, _UINT, "Order that takes its place"),
    Field("shares", 27, 4, _UINT, "Displayed shares of the new order"),
    Field("price_e4", 31, 4, _PRICE, "Display price of the new order"),
)  # fmt: skip
TRADE: Final = _message(
    "trade", "P", 44, "Trade against an order that was not displayed (1.5.1)",
    Field("reference", 11, 8, _UINT, "Order reference number (0 since 2010)"),
    Field("side", 19, 1, _ALPHA, "Side of the resting order (always B since 2014)", SIDES),
    Field("shares", 20, 4, _UINT, "Shares matched"),
    _stock(24),
    Field("price_e4", 32, 4, _PRICE, "Match price"),
    Field("match_number", 36, 8, _UINT, "Match number"),
)  # fmt: skip
CROSS_TRADE: Final = _message(
    "cross_trade", "Q", 40, "Cross trade (1.5.2)",
    Field("shares", 11, 8, _UINT, "Shares matched in the cross"),
    _stock(19),
    Field("price_e4", 27, 4, _PRICE, "Price of the cross"),
    Field("match_number", 31, 8, _UINT, "Match number"),
    Field("cross_type", 39, 1, _ALPHA, "Cross", CROSS_TYPES),
)  # fmt: skip
BROKEN_TRADE: Final = _message(
    "broken_trade", "B", 19, "Broken trade or order execution (1.5.3)",
    Field("match_number", 11, 8, _UINT, "Match number of the execution that was broken"),
)  # fmt: skip
NOII: Final = _message(
    "noii", "I", 50, "Net order imbalance indicator (1.6)",
    Field("paired_shares", 11, 8, _UINT, "Shares that match at the current reference price"),
    Field("imbalance_shares", 19, 8, _UINT, "Shares that do not"),
    Field("imbalance_direction", 27, 1, _ALPHA, "Side of the imbalance",
          (("B", "buy"), ("S", "sell"), ("N", "none"), ("O", "insufficient orders"), ("P", "paused"))),
    _stock(28),
    Field("far_price_e4", 36, 4, _PRICE, "Clearing price of cross orders alone"),
    Field("near_price_e4", 40, 4, _PRICE, "Clearing price of cross and continuous orders"),
    Field("reference_price_e4", 44, 4, _PRICE, "Current reference price"),
    Field("cross_type", 48, 1, _ALPHA, "Cross", CROSS_TYPES),
    Field("price_variation", 49, 1, _ALPHA, "Deviation of the near price from the reference price"),
)  # fmt: skip
RPII: Final = _message(
    "rpii", "N", 20, "Retail price improvement indicator (1.7)",
    _stock(11),
    Field("interest_flag", 19, 1, _ALPHA, "Retail interest",
          (("B", "buy side"), ("S", "sell side"), ("A", "both sides"), ("N", "none"))),
)  # fmt: skip
DIRECT_LISTING: Final = _message(
    "direct_listing", "O", 48, "Direct listing with capital raise: price discovery (1.8)",
    _stock(11),
    Field("open_eligibility", 19, 1, _ALPHA, "Eligible to be released for trading", YES_NO),
    Field("minimum_price_e4", 20, 4, _PRICE, "Minimum allowable price (20 % below the registration)"),
    Field("maximum_price_e4", 24, 4, _PRICE, "Maximum allowable price (80 % above the registration)"),
    Field("near_execution_price_e4", 28, 4, _PRICE, "Current reference price"),
    Field("near_execution_time_ns", 32, 8, _TIME, "Time at which the near execution price was set"),
    Field("lower_collar_e4", 40, 4, _PRICE, "Lower price range collar (10 % below the near execution price)"),
    Field("upper_collar_e4", 44, 4, _PRICE, "Upper price range collar (10 % above the near execution price)"),
)  # fmt: skip

ALL: Final[tuple[Message, ...]] = (
    SYSTEM_EVENT,
    STOCK_DIRECTORY,
    TRADING_ACTION,
    REG_SHO,
    MARKET_PARTICIPANT_POSITION,
    MWCB_DECLINE_LEVEL,
    MWCB_STATUS,
    QUOTING_PERIOD_UPDATE,
    LULD_AUCTION_COLLAR,
    OPERATIONAL_HALT,
    ADD_ORDER,
    ADD_ORDER_MPID,
    ORDER_EXECUTED,
    ORDER_EXECUTED_WITH_PRICE,
    ORDER_CANCEL,
    ORDER_DELETE,
    ORDER_REPLACE,
    TRADE,
    CROSS_TRADE,
    BROKEN_TRADE,
    NOII,
    RPII,
    DIRECT_LISTING,
)
"""The 23 messages in the order of the specification."""

MESSAGES: Final[dict[int, Message]] = {message.type_byte: message for message in ALL}
"""Table of a type byte."""

LENGTHS: Final[dict[int, int]] = {code: message.size for code, message in MESSAGES.items()}
"""Length of a type byte's message."""

BOOK_TYPES: Final[frozenset[int]] = frozenset(b"AFECXDU")
"""Type bytes that change an order book."""

MESSAGE_SIZE_MAX: Final = max(LENGTHS.values())
