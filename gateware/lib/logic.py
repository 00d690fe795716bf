"""Small pieces: the first set bit of a word, also in two steps, a selection by one-hot bits, and their index; what a
value was in the cycles before; the next one of one-hot places; comparisons of words and of sums."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Mux, Signal, Value


def with_past(m, name: str, value, cycles: int) -> list[Value]:
    """A value and, in registers, what it was one to `cycles` cycles before: the one of n cycles before at place n."""
    found = [Value.cast(value)]
    for cycle in range(cycles):
        found.append(Signal(len(found[0]), name=f"{name}_{cycle}"))
        m.d.sync += found[-1].eq(found[-2])
    return found


def next_place(place) -> Value:
    """The place behind a one-hot place; the last bit stands for all places from it on."""
    return Cat(Const(0, 1), place[:-2], place[-2:].any())


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


def encoded(one_hot) -> Value:
    """The index of the only set bit, 0 without one; with several bits, the bitwise or of their indexes."""
    bits = Value.cast(one_hot)
    return Cat(
        Cat(bits[at] for at in range(len(bits)) if at >> bit & 1).any() for bit in range((len(bits) - 1).bit_length())
    )


def first_alone(word) -> Value:
    """`word` with only its lowest set bit left, without a carry chain."""

    def split(bits) -> tuple[Value, Value]:
        if len(bits) == 1:
            return bits, bits
        half = len(bits) // 2
        (low_any, low), (high_any, high) = split(bits[:half]), split(bits[half:])
        return low_any | high_any, Cat(low, Mux(low_any, 0, high))

    return split(Value.cast(word))[1]


def chunked_first(word, chunk_any=None) -> tuple[Value, Value, Value]:
    """The first step of `first_one`, for a word of a power of two of 8 bits or more.

    Parameters
    ----------
    chunk_any: for every chunk of four bits whether any of it is set, where that is known sooner than the bits.

    Returns whether any bit is set, the index of the first chunk of four bits that has one, and, two bits a chunk, the
    first bit of every chunk; `chunk_first` makes the index of them.
    """
    bits = Value.cast(word)
    chunks = [bits[at : at + 4] for at in range(0, len(bits), 4)]
    found, chunk = first_one(Cat(chunk.any() for chunk in chunks) if chunk_any is None else chunk_any)
    return found, chunk, Cat(first_one(chunk)[1] for chunk in chunks)


def chunk_first(chunk, lows) -> Value:
    """The second step: the index of the lowest set bit."""
    return Cat(Value.cast(lows).word_select(chunk, 2), chunk)


def less(one, other) -> Value:
    """Whether the unsigned `one` is below `other`, of the same width, as a balanced tree: for a few bits sooner than by
    carries."""

    def split(a, b) -> tuple[Value, Value]:
        if len(a) == 1:
            return ~a & b, ~(a ^ b)
        half = len(a) // 2
        (low_less, low_same), (high_less, high_same) = split(a[:half], b[:half]), split(a[half:], b[half:])
        return high_less | (high_same & low_less), high_same & low_same

    return split(Value.cast(one), Value.cast(other))[0]


def carry_save(words: Sequence[Value], *, bits: int, ones: int = 0) -> tuple[Value, Value]:
    """Two words whose sum is that of all `words` and of `ones`, in its lowest bits: one carry chain for all of them.

    Sums that are made one after the other, or made and then compared, have a chain each, behind each other.

    Parameters
    ----------
    words: unsigned, two or more; what they have above `bits` does not count. ones: how many, at most as many as there
        are words beyond two.

    Raises
    ------
    ValueError: there is no room for as many ones.
    """
    room = len(words) - 2
    if not 0 <= ones <= room:
        raise ValueError(f"{len(words)} words have room for {max(room, 0)} ones, not {ones}")
    words = [Cat(word, Const(0, bits))[:bits] for word in words]
    while len(words) > 2:
        a, b, c = words[:3]
        carries = (a & b) | (c & (a | b))
        # Nothing is carried into the first place, so that one of the ones finds room there.
        words = [*words[3:], a ^ b ^ c, Cat(Const(ones > 0, 1), carries[:-1])]
        ones -= ones > 0
    return words[0], words[1]


def minus(word, bits: int) -> Value:
    """What is added in place of taking away an unsigned word, in `bits` bits, but for a one of `carry_save`."""
    return ~Cat(word, Const(0, bits))[:bits]


def sum_is_less(left: Sequence[Value], right: Sequence[Value]) -> Value:
    """Whether the sum of unsigned words is below that of others, with one carry chain for all of them.

    Raises
    ------
    ValueError: there is no word on the left, or no room for what its words need.
    """
    bits = max(sum((1 << len(word)) - 1 for word in side) for side in (left, right)).bit_length() + 1
    # right - left - 1, which is negative where right is not above left.
    words = [*right, *(minus(word, bits) for word in left)]
    one, other = carry_save(words, bits=bits, ones=len(left) - 1)
    return ~(one + other)[bits - 1]
