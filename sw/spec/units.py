"""Units and number formats used throughout.

Prices are integers in 1/10,000 of a dollar (`_e4`), quantities in shares (`_shares`), times in device cycles
(`_cycles`) or nanoseconds (`_ns`). Nothing on the data path is floating point.
"""

PRICE_SCALE = 10_000

#: Ticks that a slot may have, in 1/10,000 of a dollar; the index is what the device stores.
TICKS_E4 = (1, 50, 100, 500, 1_000)

#: n // tick == (n * reciprocal) >> RECIPROCAL_SHIFT for every 32-bit n, because
#: 2**SHIFT <= reciprocal * tick <= 2**SHIFT + 2**(SHIFT - 32) (Granlund and Montgomery 1994, theorem 4.2).
RECIPROCAL_SHIFT = 42
RECIPROCALS = tuple(-(-(1 << RECIPROCAL_SHIFT) // tick) for tick in TICKS_E4)

#: Core clock of a 10 Gb/s datapath at 64 bits a word, in Hz; simulated devices declare it.
CORE_CLOCK_HZ = 156_250_000

WORD_BYTES = 8


def format_price(price_e4: int) -> str:
    """`3211500` as `321.1500`."""
    return f"{price_e4 // PRICE_SCALE}.{price_e4 % PRICE_SCALE:04d}"
