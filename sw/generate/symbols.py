"""The symbols of a session: names, ticks, first prices, and how busy each is."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tickgate.sw.generate.book import Order, Side
from tickgate.sw.generate.draws import Draws, Integers, cumulated
from tickgate.sw.generate.options import SessionOptions

TICK_E4: Final = 100
SUB_DOLLAR_TICK_E4: Final = 1
SUB_DOLLAR_EVERY: Final = 8
SUB_DOLLAR_RANK: Final = 2
"""The third busiest symbol, and every eighth behind it, trades below a dollar in ticks of 0.0001."""
FAIR_TICKS_MIN: Final = 1_700
"""Fair prices stay above this, so that an order far below them still has a price above 0."""
FAIR_TICKS_MAX: Final = 1_900_000
SUB_DOLLAR_TICKS_MAX: Final = 8_400
"""Highest fair price of a sub-dollar symbol: orders far above it still cost less than a dollar."""
SPREAD_OF_FAIR_TICKS: Final = 60.0
"""Standard deviation of a reverting price around where it began."""
STUBS: Final = 2
"""Stub quotes that a symbol may have."""
FLOOR: Final = 12
"""A symbol with this many orders or fewer gets new ones before any goes."""

TRADING_HALT: Final = 1
OPERATIONAL_HALT: Final = 2

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(slots=True, eq=False)
class SymbolBook:
    """One symbol: who it is, its book, and its price process. Prices here are in ticks.

    Members
    -------
    locate : int
    stock : bytes
        Eight characters, padded with spaces.
    tick_e4 : int
    fair, centre : float
        Fair price, and the price that it is pulled to.
    pull, rest_pull, drift : float
        Share of the distance to the centre, and distance, that the fair price moves at each new order; `rest_pull` is
        the pull outside excursions.
    lowest, highest : float
        Bounds of the fair price.
    cap, target : int
        Most live orders, and how many there usually are, stub quotes left out.
    reference_class : int
        Remainder of the symbol's references by 4, as in real data.
    halted : int
        Why nothing executes: `TRADING_HALT` and `OPERATIONAL_HALT`; 0 where it does.
    """

    locate: int
    stock: bytes
    tick_e4: int
    fair: float
    centre: float
    pull: float
    rest_pull: float
    drift: float
    lowest: float
    highest: float
    cap: int
    target: int
    reference_class: int
    bid: Side
    ask: Side
    orders: list[Order]
    halted: int = 0

    @property
    def fair_e4(self) -> int:
        """Fair price in 1/10,000, on the tick."""
        return int(self.fair) * self.tick_e4


def symbol_name(locate: int) -> bytes:
    """`TGAAA`, `TGAAB`, ...: the name of a locate, eight characters."""
    number = locate - 1
    letters = ""
    for _ in range(3):
        number, rest = divmod(number, len(_LETTERS))
        letters = _LETTERS[rest] + letters
    return f"TG{letters}".ljust(8).encode("ascii")


def busy_order(options: SessionOptions, draws: Draws) -> list[int]:
    """Locates from the busiest to the quietest: a shuffle."""
    words = draws.words(options.symbols)
    return [int(position) + 1 for position in np.argsort(words, kind="stable")]


def busy_weights(options: SessionOptions) -> Integers:
    """Cumulated shares of the messages by rank (Zipf's law)."""
    return cumulated([1.0 / (rank + 1) ** options.zipf for rank in range(options.symbols)])


def make_books(options: SessionOptions, order: list[int], draws: Draws) -> list[SymbolBook]:
    """Empty books in the order of `order` (by rank)."""
    weight = 1.0 / sum(1.0 / (rank + 1) ** options.zipf for rank in range(options.symbols))
    busiest_adds = max(1.0, options.messages * options.mix.add / sum(options.mix.shares().values()) * weight)
    reverting = options.price_process == "reverting"
    pull = (options.volatility_ticks / SPREAD_OF_FAIR_TICKS) ** 2 / 2 if reverting else 0.0
    cap = options.live_per_symbol - STUBS
    books = []
    for rank, locate in enumerate(order):
        sub_dollar = rank % SUB_DOLLAR_EVERY == SUB_DOLLAR_RANK
        # Logarithmically even: 26 to 416 dollars, or 0.26 to 0.69.
        doublings, rest = divmod(draws.one_below(4_000), 1_000)
        start = 2_600 + draws.one_below(4_300) if sub_dollar else (2_600 + rest * 26 // 10) << doublings
        drift = 0.0 if reverting else options.drift_ticks / busiest_adds * (-1 if draws.one_below(2) else 1)
        books.append(
            SymbolBook(
                locate=locate,
                stock=symbol_name(locate),
                tick_e4=SUB_DOLLAR_TICK_E4 if sub_dollar else TICK_E4,
                fair=start + 0.5,
                centre=start + 0.5,
                pull=pull,
                rest_pull=pull,
                drift=drift,
                lowest=FAIR_TICKS_MIN,
                highest=SUB_DOLLAR_TICKS_MAX if sub_dollar else FAIR_TICKS_MAX,
                cap=cap,
                target=cap * 11 // 20,
                reference_class=locate & 3,
                bid=Side(b"B", 1, start),
                ask=Side(b"S", -1, -start),
                orders=[],
            )
        )
    return books
