"""From a price to its level, without a division: one multiplication by the reciprocal of the slot's tick."""

from amaranth.hdl import Const, Module, Mux
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.pipe import Pipe
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import OrderClass
from tickgate.sw.spec.units import RECIPROCAL_SHIFT, TICKS_E4

#: Cycles from a price's entry to its level.
LEVEL_STAGES = 4


def offset_bits(sizes: Sizes) -> int:
    """Width of the distance of a price inside a window from its base, in 1/10,000."""
    return (sizes.levels * max(TICKS_E4) - 1).bit_length()


def fraction_bits(sizes: Sizes) -> int:
    """Fraction bits of the shortened reciprocal: enough that quotient and divisibility are exact for every offset.

    With r = ceil(2**f / tick) and n < 2**b: n // tick is n * r >> f, and tick divides n exactly where the low f bits of
    n * r are below r, as long as 2**f >= 2**b * tick * 2 (Lemire, Kaser and Kurz 2019, theorem 1 and section 3.2).
    """
    return offset_bits(sizes) + max(TICKS_E4).bit_length() + 1


def reciprocal_bits(sizes: Sizes) -> int:
    """Width of the shortened reciprocal."""
    return fraction_bits(sizes) + 1


def shortened(reciprocal, sizes: Sizes):
    """The reciprocal of `units.RECIPROCALS` rounded up to `fraction_bits`; for integers and for values of hardware."""
    drop = RECIPROCAL_SHIFT - fraction_bits(sizes)
    return (reciprocal + ((1 << drop) - 1)) >> drop


def window_layout(sizes: Sizes) -> data.StructLayout:
    """What the stage keeps of a slot's symbol row."""
    return data.StructLayout(
        {
            "base_e4": 32,
            "span_e4": 32,
            "tick_e4": max(TICKS_E4).bit_length(),
            "reciprocal": reciprocal_bits(sizes),
        }
    )


class PriceToLevel(wiring.Component):
    """Level and class of a price in the window of its slot; one a cycle, answered four cycles later.

    Parameters
    ----------
    sizes: `levels` is used.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    valid: In(1), stage 0: there is a price.
    price_e4: In(32), stage 0.
    window: In(window_layout(sizes)), stage 0: of the price's slot.
    level: Out(level_bits), stage 4; means something for placed orders.
    buy_class: Out(2), stage 4: OrderClass of a bid at this price.
    sell_class: Out(2), stage 4: OrderClass of an offer at this price.

    References
    ----------
    `docs/architecture.md`, price windows. Lemire, Kaser and Kurz: Faster remainder by direct computation (2019).
    """

    FAULTS = {"level_off_by_one": "the last level of a window is taken for one beyond it"}

    def __init__(self, sizes: Sizes, faults: frozenset[str] = frozenset()):
        self._sizes, self._faults = sizes, faults
        super().__init__(
            {
                "valid": In(1),
                "price_e4": In(32),
                "window": In(window_layout(sizes)),
                "level": Out(sizes.level_bits),
                "buy_class": Out(2),
                "sell_class": Out(2),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        pipe = Pipe(m, valid="valid")
        pipe.put("valid", self.valid, 0, reset=True)
        bits, fraction = offset_bits(self._sizes), fraction_bits(self._sizes)
        offset = self.price_e4 - self.window.base_e4
        pipe.put("offset", offset[:32], 0)
        pipe.put("below", offset[32], 0)
        span = self.window.span_e4
        if "level_off_by_one" in self._faults:
            span = span - self.window.tick_e4
        pipe.put("span", span[:32], 0)
        pipe.put("reciprocal", self.window.reciprocal, 0)
        span = pipe.get("span", 1)
        pipe.put("above", ~pipe.get("below", 1) & (pipe.get("offset", 1) >= span), 1)
        # Products of at most 17 bits a side fit one hardware multiplier each.
        pipe.multiply("product", pipe.get("offset", 1)[:bits], pipe.get("reciprocal", 1), 1, chunk=17)
        product = pipe.get("product", 2)
        pipe.put("level", product[fraction : fraction + self._sizes.level_bits], 2)
        pipe.put("fraction", product[:fraction], 2)
        pipe.put("off_tick", pipe.get("fraction", 3) >= pipe.get("reciprocal", 3), 3)
        below, above, off_tick = pipe.get("below", 4), pipe.get("above", 4), pipe.get("off_tick", 4)
        inside = Mux(off_tick, Const(OrderClass.OFF, 2), Const(OrderClass.PLACED, 2))
        far, off = Const(OrderClass.FAR, 2), Const(OrderClass.OFF, 2)
        m.d.comb += [
            self.level.eq(pipe.get("level", 4)),
            self.buy_class.eq(Mux(below, far, Mux(above, off, inside))),
            self.sell_class.eq(Mux(above, far, Mux(below, off, inside))),
        ]
        return m
