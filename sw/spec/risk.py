"""Pre-trade risk: one numbered reason for every check, and which of them this release evaluates.

A verdict is a mask of `Reason` bits; 0 passes. Numbers never change: a check that is added later takes its bit from
here. References: SEC 15c3-5, MiFID II RTS 6, FIA best practices 2024.
"""

from enum import IntFlag


class Reason(IntFlag):
    """Reject reasons. A limit that is not configured rejects with its own bit."""

    ORDER_FORMAT = 1 << 0  # 0 < quantity < 1,000,000; price above 0, on its tick, inside 32 bits
    KILL = 1 << 1  # latched; cleared only by the host's re-arm
    MAX_QUANTITY = 1 << 2  # quantity <= limit
    MAX_NOTIONAL = 1 << 3  # price x quantity at full width <= limit
    COLLAR = 1 << 4  # abs(price - reference) within the band; no reference price rejects
    STALE = 1 << 5  # validity mask of the slot is not 0
    CROSSED = 1 << 6  # best bid >= best ask: locked or crossed
    RATE_SYMBOL = 1 << 7  # token bucket of the symbol
    RATE_SESSION = 1 << 8  # token bucket of the session
    MARKET_STATE = 1 << 9  # the symbol does not trade
    SESSION = 1 << 10  # session closed, window full or peer silent
    DUPLICATE = 1 << 11
    REPEATED_EXECUTION = 1 << 12
    NET_POSITION = 1 << 13
    GROSS_EXPOSURE = 1 << 14
    CREDIT = 1 << 15
    DAILY_ACCUMULATION = 1 << 16
    RESTRICTED = 1 << 17
    SHORT_SALE = 1 << 18
    SELF_MATCH = 1 << 19
    DISCONNECT = 1 << 20
    LOSS = 1 << 21
    DRAWDOWN = 1 << 22
    EARLY_WARNING = 1 << 23  # never rejects by itself; numbered so that events and reasons share one table


#: The checks evaluated now; every other bit is always 0.
ACTIVE_REASONS = (
    Reason.ORDER_FORMAT | Reason.KILL | Reason.MAX_QUANTITY | Reason.MAX_NOTIONAL | Reason.COLLAR | Reason.STALE
    | Reason.CROSSED | Reason.RATE_SYMBOL | Reason.RATE_SESSION | Reason.MARKET_STATE | Reason.SESSION
)  # fmt: skip

#: OUCH 5.0: an order's quantity is below this.
QUANTITY_END_SHARES = 1_000_000
