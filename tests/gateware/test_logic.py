"""First bits of a word, in one step, in two, alone, and as an index, and sums, against plain integers."""

import random

import pytest
from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.sim import Simulator

from tickgate.gateware.lib.logic import (
    carry_save,
    chunk_first,
    chunked_first,
    encoded,
    first_alone,
    first_one,
    minus,
    sum_is_less,
)


def test_first_bits_of_every_word_of_eight():
    m = Module()
    word, index, stepped, alone = Signal(8), Signal(3), Signal(3), Signal(8)
    found, first = first_one(word)
    found_too, chunk, lows = chunked_first(word)
    back = Signal(3)
    m.d.comb += back.eq(encoded(first_alone(word)))
    m.d.comb += [index.eq(first), stepped.eq(chunk_first(chunk, lows)), alone.eq(first_alone(word))]
    seen = []

    async def bench(ctx):
        for value in range(1, 256):
            ctx.set(word, value)
            assert ctx.get(found) == ctx.get(found_too) == 1
            assert ctx.get(back) == ctx.get(index)
            seen.append((value, ctx.get(index), ctx.get(stepped), ctx.get(alone)))
        ctx.set(word, 0)
        assert ctx.get(found) == ctx.get(found_too) == ctx.get(alone) == ctx.get(back) == 0

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(seen) == 255
    for value, index_of, stepped_of, alone_of in seen:
        lowest = value & -value
        assert (1 << index_of, 1 << stepped_of, alone_of) == (lowest, lowest, lowest)


def play_sums(make, widths, rounds=600):
    """What `make` has made of words of these widths, for their edges and random values: pairs of values and it."""
    m = Module()
    words = [Signal(width, name=f"word_{n}") for n, width in enumerate(widths)]
    result = make(words)
    made = Signal(len(result))
    m.d.comb += made.eq(result)
    seen = []
    rng = random.Random(f"sums {widths}")

    async def bench(ctx):
        for _ in range(rounds):
            values = [rng.choice((0, 1, (1 << width) - 1, rng.getrandbits(width))) for width in widths]
            for word, value in zip(words, values, strict=True):
                ctx.set(word, value)
            seen.append((values, ctx.get(made)))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


@pytest.mark.parametrize("left", [1, 2, 3])
@pytest.mark.parametrize("right", [1, 2, 3])
def test_sums_are_compared_as_integers(left, right):
    widths = [3 + n % 2 for n in range(left + right)]
    seen = play_sums(lambda words: sum_is_less(words[:left], words[left:]), widths)
    assert {made for _, made in seen} == {0, 1}
    assert all(made == (sum(values[:left]) < sum(values[left:])) for values, made in seen)
    # Sums that differ by one and by nothing are among them.
    assert {0, 1} <= {sum(values[left:]) - sum(values[:left]) for values, _ in seen}


@pytest.mark.parametrize("ones", [0, 1, 2])
def test_carry_save_two_words_have_the_sum_of_all_in_their_lowest_bits(ones):
    def make(words):
        one, other = carry_save([*words[:3], Cat(Const(0, 2), words[3])], bits=6, ones=ones)
        return (one + other)[:6]

    seen = play_sums(make, [6, 6, 5, 6])  # the last one is wider than what is wanted of the sum
    assert all(made == (sum(v[:3]) + 4 * v[3] + ones) % 64 for v, made in seen)


def test_carry_save_a_word_is_taken_away_by_minus_and_a_one():
    def make(words):
        one, other = carry_save([*words[:2], minus(words[2], 5)], bits=5, ones=1)
        return (one + other)[:5]

    assert all(made == (v[0] + v[1] - v[2]) % 32 for v, made in play_sums(make, [5, 4, 3]))


@pytest.mark.parametrize("make", [
    lambda words: carry_save(words[:1], bits=3),
    lambda words: carry_save(words, bits=3, ones=2),
    lambda words: sum_is_less([], words),
])  # fmt: skip
def test_carry_save_without_room_for_its_ones_is_refused(make):
    with pytest.raises(ValueError, match="words have room for"):
        make([Signal(3) for _ in range(3)])
