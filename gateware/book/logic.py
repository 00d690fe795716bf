"""Small combinational pieces: the first set bit of a word, and a selection by one-hot bits."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Mux, Value


def first_one(word) -> tuple[Value, Value]:
    """Whether any bit of `word` (a power of two wide) is set, and the index of the lowest one, as a balanced tree."""
    bits = Value.cast(word)
    if len(bits) == 1:
        return bits, Const(0, 0)
    half = len(bits) // 2
    low_any, low = first_one(bits[:half])
    high_any, high = first_one(bits[half:])
    return low_any | high_any, Cat(Mux(low_any, low, high), ~low_any) if half > 1 else ~low_any


def one_hot_mux(select, values) -> Value:
    """The one of `values` whose bit of `select` is set, 0 without one; with several bits, their bitwise or."""
    return reduce(or_, (Mux(bit, Value.cast(value), 0) for bit, value in zip(select, values, strict=True)))
