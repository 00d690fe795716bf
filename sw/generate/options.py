"""What a generated session is to be: options, their defaults, and the checks of what a user may ask for."""

from dataclasses import dataclass, field, fields, replace
from typing import Final

from tickgate.sw.spec.errors import UserError

PRICE_PROCESSES: Final = ("reverting", "drift")
SYMBOLS_MAX: Final = 10_000
MESSAGES_MAX: Final = 10_000_000_000
LIVE_PER_SYMBOL: Final = 350
"""Default cap of live orders a symbol: 8 symbols fit 70 % of 4,096 entries, 64 symbols 70 % of 65,536."""
LIVE_PER_SYMBOL_MIN: Final = 40
ADMINISTRATION_SHARE_MAX: Final = 0.25
"""A session has at least four times as many messages as its start, its end and its special events need."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the order flow by kind of message, in per cent of a full day (they are scaled to their sum).

    The defaults are those of Nasdaq's 2019-12-30: add 44.1, delete 42.6, replace 8.0, execute and cancel 3.2,
    imbalance 1.5. `other` is P, N, L, Y and B.

    Raises
    ------
    UserError
        A negative share, nothing but zeros, or shares under which the number of live orders cannot stay bounded.
    """

    add: float = 44.1
    delete: float = 42.6
    replace: float = 8.0
    execute: float = 2.4
    cancel: float = 0.8
    imbalance: float = 1.5
    other: float = 0.6

    def __post_init__(self) -> None:
        for name, share in self.shares().items():
            if not 0 <= share < float("inf"):
                raise UserError(f"the share of {name} must be 0 or more, not {share}")
        if not self.add > 0:
            raise UserError("the share of add must be above 0: the other orders need orders")
        if self.delete > self.add:
            raise UserError(f"delete ({self.delete}) must not exceed add ({self.add}): only what was added can go")
        if self.add - self.delete > self.execute + 0.02 * self.add:
            raise UserError(
                f"add ({self.add}) less delete ({self.delete}) must not exceed execute ({self.execute}): "
                "live orders would grow without bound"
            )

    def shares(self) -> dict[str, float]:
        """Share of each kind as given."""
        return {row.name: getattr(self, row.name) for row in fields(self)}

    def with_text(self, text: str) -> "Mix":
        """This mix with the shares of a text like `add=44,delete=42.5` put in.

        Raises
        ------
        UserError
            Not of that form, an unknown kind, or as the class.
        """
        changes: dict[str, float] = {}
        names = self.shares()
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            name, equals, number = part.partition("=")
            if name not in names or not equals:
                raise UserError(f"a mix is a list like add=44,delete=42.5 of {', '.join(names)}; not {part!r}")
            try:
                changes[name] = float(number)
            except ValueError:
                raise UserError(f"the share of {name} must be a number, not {number!r}") from None
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """One session; equal options give equal bytes on every machine and Python.

    Parameters
    ----------
    seed : int
        0 to 2**64 - 1.
    symbols : int
        Symbols in the file, 1 to 10,000; they have the locates 1 to `symbols`.
    messages : int
        Messages in the file, the administrative ones included.
    mix : Mix
        Shares of the order flow.
    price_process : str
        `reverting`: prices come back to where they began, and mostly stay within 512 ticks of it. `drift`: they walk
        away, by `drift_ticks` over the session.
    volatility_ticks : float
        Standard deviation of the fair price's step at each new order of a symbol, in ticks, 0 to 5.
    drift_ticks : float
        Distance that a busy symbol's price drifts over the session (`drift` only), half of the symbols up, half down.
    zipf : float
        Exponent of the distribution of messages over symbols, 0 (even) to 3.
    crossed : float
        Share of the new orders that lock or cross the book on purpose, 0 to 0.05; a few messages later that is over.
    live : None or int
        Most live orders at once, all symbols together, at least 40 a symbol; None is 350 a symbol.
    excursions : None or int
        How often a busy symbol leaves its 1,024-tick window for a while; None is one in 250,000 messages, at least one
        in a session of 50,000.
    breaker : bool
        Whether the market-wide breaker trips, near the end of market hours.

    Raises
    ------
    UserError
        An option out of range, with the range.
    """

    seed: int = 1
    symbols: int = 8
    messages: int = 100_000
    mix: Mix = field(default_factory=Mix)
    price_process: str = "reverting"
    volatility_ticks: float = 0.3
    drift_ticks: float = 2_000.0
    zipf: float = 1.0
    crossed: float = 0.0005
    live: int | None = None
    excursions: int | None = None
    breaker: bool = True

    def __post_init__(self) -> None:
        _within("seed", self.seed, 0, 2**64 - 1)
        _within("symbols", self.symbols, 1, SYMBOLS_MAX)
        _within("messages", self.messages, 1, MESSAGES_MAX)
        _within("volatility", self.volatility_ticks, 0, 5)
        _within("drift", self.drift_ticks, 0, 1_000_000)
        _within("zipf", self.zipf, 0, 3)
        _within("crossed", self.crossed, 0, 0.05)
        if self.excursions is not None:
            _within("excursions", self.excursions, 0, 1_000)
        if self.price_process not in PRICE_PROCESSES:
            raise UserError(f"price process must be one of {', '.join(PRICE_PROCESSES)}, not {self.price_process!r}")
        if self.live is not None and self.live < LIVE_PER_SYMBOL_MIN * self.symbols:
            raise UserError(
                f"live must be at least {LIVE_PER_SYMBOL_MIN} a symbol, "
                f"{LIVE_PER_SYMBOL_MIN * self.symbols:,} for {self.symbols:,} symbols, not {self.live:,}"
            )

    @property
    def live_per_symbol(self) -> int:
        """Most live orders of one symbol."""
        return LIVE_PER_SYMBOL if self.live is None else self.live // self.symbols

    @property
    def excursion_count(self) -> int:
        """How many excursions the session has."""
        if self.excursions is not None:
            return self.excursions
        return 0 if self.messages < 50_000 else max(1, self.messages // 250_000)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # a NaN fails too
        raise UserError(f"{name} must be from {low:,} to {high:,}, not {value:,}")
