"""Price levels of every slot and side: shares a level, which levels have any, and the best of the others."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.book.pace import APART_CYCLES
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.logic import chunk_first, chunked_first, less
from tickgate.gateware.lib.pipe import Pipe
from tickgate.sw.spec.sizes import LEVEL_QTY_BITS, Sizes
from tickgate.sw.spec.units import TICKS_E4

#: Cycles from a level's number to the answer.
LEVEL_ANSWER_STAGE = 5


def word_bits(sizes: Sizes) -> int:
    """Levels whose occupancy shares a word."""
    return 1 << (sizes.level_bits + 1) // 2


def group_bits(sizes: Sizes) -> int:
    """Words of occupancy that a slot's side has."""
    return sizes.levels // word_bits(sizes)


class Levels(wiring.Component):
    """Adds shares to a level or takes them from it, and finds the best other level; one operation every second cycle.

    Levels are kept by rank: distance from the best end of the window, so that the best level is the lowest rank on
    either side. `shares` has the shares of every rank, and means something only where the rank's bit in `words` is set,
    so that a sweep only empties words. A bit a word in `summary` tells whether the word has any, and `firsts` which is
    the first of them, so that another word need not be searched.

    While the shares of the operation's own level are read and changed, the best level *other than it* is searched; the
    level itself, if it is not empty afterwards, need only be compared with that one. So the answer takes the same time
    whether or not the best level goes.

    Parameters
    ----------
    sizes: `slots` and `levels`.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    valid: In(1), stage 0: an operation may begin; never in two cycles running.
    slot: In(slot_bits), stage 0.
    side: In(1), stage 0.
    level: In(level_bits), stage 0.
    go: In(1), stage 1: it does; never in two cycles running.
    add: In(1), stage 1: shares are added, else taken.
    qty: In(32), stage 1: how many; as many as the level has at most, where they are taken.
    tick_e4: In(10), stage 4: tick of the slot.
    base_e4: In(32), stage 5: price of level 0 of the slot.
    before: Out(48), stage 5: shares of the level before.
    after: Out(48), stage 5: and after.
    wins: Out(1), stage 5: it has any afterwards, and no other level is better.
    some: Out(1), stage 5: the side has any level afterwards.
    best: Out(1), stage 5: no other level is better than this one.
    other: Out(1), stage 5: another level of the side has shares.
    other_qty: Out(48), stage 5: shares of the best other level.
    other_px_e4: Out(32), stage 5: its price.
    sweep: In(1), empties the word `sweep_row` and the summary of that number; it comes behind every reset.
    sweep_row: In(slot_bits + 1 + bits of a word's number).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "level_forward_lost": "shares changed by the operation right before are read as they were in memory",
        "word_forward_lost": "a level filled or emptied by the operation right before is seen as it was",
        "summary_late": "a word that turned empty is still taken for one with levels",
        "no_rescan": "when the best level goes, the side is taken for empty",
    }

    def __init__(self, sizes: Sizes, faults: frozenset[str] = frozenset()):
        self._sizes, self._faults = sizes, checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "valid": In(1),
                "slot": In(sizes.slot_bits),
                "side": In(1),
                "level": In(sizes.level_bits),
                "go": In(1),
                "add": In(1),
                "qty": In(32),
                "tick_e4": In(max(TICKS_E4).bit_length()),
                "base_e4": In(32),
                "before": Out(LEVEL_QTY_BITS),
                "after": Out(LEVEL_QTY_BITS),
                "wins": Out(1),
                "some": Out(1),
                "best": Out(1),
                "other": Out(1),
                "other_qty": Out(LEVEL_QTY_BITS),
                "other_px_e4": Out(32),
                "sweep": In(1),
                "sweep_row": In(sizes.slot_bits + 1 + (group_bits(sizes) - 1).bit_length()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        pipe = Pipe(m, valid="valid", rests=APART_CYCLES)
        pipe.put("valid", self.valid, 0, reset=True)
        sizes = self._sizes
        word, groups = word_bits(sizes), group_bits(sizes)
        low_bits = (word - 1).bit_length()
        key_bits = sizes.slot_bits + 1
        sides = 1 << key_bits

        # What is read in the cycle in which it is written may be anything: it is the operation before that writes then,
        # and what that one has left is taken from registers.
        unchecked, in_a_cycle = {"no_rw_check": 1}, {"ram_style": "distributed"}
        shares = Memory(shape=LEVEL_QTY_BITS, depth=sides * sizes.levels, init=[], attrs=unchecked)
        words = Memory(shape=word, depth=sides * groups, init=[], attrs=unchecked)
        # Read within a cycle, so these may not become block RAM.
        summary = Memory(shape=groups, depth=sides, init=[], attrs=in_a_cycle)
        firsts = Memory(shape=4 * low_bits, depth=sides * groups // 4, init=[], attrs=in_a_cycle)
        #: Memories by the names of `dump_signals`, for the simulator.
        self.dumped = {"shares": shares, "words": words}
        m.submodules.shares, m.submodules.words = shares, words
        m.submodules.summary, m.submodules.firsts = summary, firsts
        shares_write, words_write = shares.write_port(), words.write_port()
        summary_write, firsts_write = summary.write_port(), firsts.write_port(granularity=low_bits)
        # Shares have two ports, as a block RAM has, and no second copy: the other level is read in stage 3, and its
        # port writes in stage 4. The next operation reads there in stage 5 at the earliest.
        shares_read, other_read, word_read = shares.read_port(), shares.read_port(), words.read_port()
        summary_read, firsts_read = summary.read_port(domain="comb"), firsts.read_port(domain="comb")

        # What the last operation left behind; the one after it may have read memory before that was written. Masks are
        # kept decoded: one bit of a word, or of the summary.
        last_valid = Signal(reset_less=True)  # a sweep follows a reset
        last_key = Signal(key_bits, reset_less=True)  # key, level and group are known a stage before the others
        last_level = Signal(sizes.level_bits, reset_less=True)
        last_here = Signal(word, reset_less=True)
        last_rest = Signal(word, reset_less=True)  # the other levels of its word
        last_group = Signal(groups, reset_less=True)
        # Its shares are these of the operation where the level had none, else the total.
        last_fresh = Signal(reset_less=True)
        last_qty = Signal(32, reset_less=True)
        last_total = Signal(LEVEL_QTY_BITS, reset_less=True)
        # Whether the level has shares, and its word levels, is worked out over two cycles: what is found of it in the
        # first one stands here, and one more gate tells. (For an add the first of these bits is set.)
        last_left = Signal(3, reset_less=True)
        last_near_any = Signal(reset_less=True)  # another level of its word has shares
        last_any, last_word_any = Signal(), Signal()
        m.d.comb += [last_any.eq(last_left.any()), last_word_any.eq(Cat(last_left, last_near_any).any())]

        # Stage 0: bids are ranked from the top. The operation before is in stage 2 at the latest.
        key = pipe.put("key", Cat(self.slot, self.side), 0)
        rank = pipe.put("rank", _level(self.level, key), 0)
        group = pipe.put("group", _one_hot(rank[low_bits:], groups), 0)
        m.d.comb += [
            shares_read.addr.eq(Cat(rank, key)),
            shares_read.en.eq(self.valid),
            word_read.en.eq(self.valid),
            word_read.addr.eq(Cat(rank[low_bits:], key)),
            summary_read.addr.eq(key),
        ]
        same_key = last_valid & (last_key == key)
        # Of one key, levels are the same where ranks are, and known sooner.
        same_levels = [self.level[bits] == last_level[bits] for bits in (slice(low_bits, None), slice(low_bits))]
        pipe.put("same_word", same_key & same_levels[0], 0)
        pipe.put("same_rank", same_levels[1], 0)
        # The operation before the last one writes while this one reads, if it is in stage 4 now.
        pipe.put("own_level", _level(pipe.get("rank", 3), pipe.get("key", 3)), 3)
        go = pipe.put("go", self.go, 1, reset=True)
        late_key, late_level = pipe.get("key", 4), pipe.get("own_level", 4)
        written = Cat(
            pipe.get("go", 4) & (late_key == key),
            late_level[low_bits:] == self.level[low_bits:],
            late_level[:low_bits] == self.level[:low_bits],
        )
        pipe.put("written", written, 0)
        # Other words: those that have levels for sure, and the word of the operation before, which memory may not know.
        past_group = last_group & same_key.replicate(groups)
        unsure = group if "summary_late" in self._faults else group | past_group
        pipe.put("others_sure", summary_read.data & ~unsure, 0)
        pipe.put("others_past", past_group & ~group, 0)

        # Stage 1: the first four other words of which one has levels; the own word.
        pipe.put("add", self.add, 1)
        pipe.put("qty", self.qty, 1)
        # Behind an operation that does not go nothing is to be taken from registers: the one before that has written.
        with m.If(pipe.get("valid", 1)):
            m.d.sync += [last_valid.eq(go), last_key.eq(pipe.get("key", 1)), last_group.eq(pipe.get("group", 1))]
            m.d.sync += last_level.eq(_level(pipe.get("rank", 1), pipe.get("key", 1)))
        rank, same_word, same_rank = (pipe.get(name, 1) for name in ("rank", "same_word", "same_rank"))
        sure, past = pipe.get("others_sure", 1), pipe.get("others_past", 1)
        others = pipe.put("others", sure | (past & last_word_any.replicate(groups)), 1)
        chunks = [slice(at, at + 4) for at in range(0, groups, 4)]
        chunk_any = Cat(sure[chunk].any() | (past[chunk].any() & last_word_any) for chunk in chunks)
        other_any, other_chunk, other_lows = chunked_first(others, chunk_any)
        pipe.put("other_any", other_any, 1)
        pipe.put("other_chunk", other_chunk, 1)
        pipe.put("other_lows", other_lows, 1)
        here = pipe.put("here", _one_hot(rank[:low_bits], word), 1)
        pipe.put("ahead", Array(Const((1 << bit) - 1, word) for bit in range(word))[rank[:low_bits]], 1)
        same_level = same_word & same_rank
        if "level_forward_lost" in self._faults:
            same_level = Const(0)
        if "word_forward_lost" in self._faults:
            same_word = Const(0)
        pipe.put("takes_word", same_word, 1)
        pipe.put("past_rest", (last_rest | Mux(last_any, last_here, 0)) & ~here, 1)
        pipe.put("past_level", Mux(same_rank, last_any, last_rest.bit_select(rank[:low_bits], 1)), 1)
        pipe.put("word_read", word_read.data, 1)
        written, written_qty = pipe.get("written", 1).all(), Signal(LEVEL_QTY_BITS)
        kept_shares = Mux(same_level, Mux(last_fresh, last_qty, last_total), written_qty)
        pipe.put("old_shares", Mux(same_level | written, kept_shares, shares_read.data), 1)

        # Stage 2: the level itself; the first other level of its word; the first one of the other word.
        key, rank, add, qty = (pipe.get(name, 2) for name in ("key", "rank", "add", "qty"))
        here, old_shares = pipe.get("here", 2), pipe.get("old_shares", 2)
        read_any = (pipe.get("word_read", 2) & here).any()
        was_any = pipe.put("was_any", Mux(pipe.get("takes_word", 2), pipe.get("past_level", 2), read_any), 2)
        total = pipe.put("total", Mux(add, old_shares + qty, old_shares - qty)[:LEVEL_QTY_BITS], 2)
        fresh = pipe.put("fresh", add & ~was_any, 2)
        # Nothing is left where all shares are taken. No comparison: it would share the carries of the difference. It is
        # found in two halves, which the next stage puts together.
        differs = old_shares ^ qty
        half = LEVEL_QTY_BITS // 2
        left = pipe.put("left", Cat(add, differs[:half].any(), differs[half:].any()), 2)
        rest = Mux(pipe.get("takes_word", 2), pipe.get("past_rest", 2), pipe.get("word_read", 2) & ~here)
        pipe.put("rest", rest, 2)
        near_any, near_chunk, near_lows = chunked_first(rest)
        pipe.put("near_any", near_any, 2)
        pipe.put("near_chunk", near_chunk, 2)
        pipe.put("near_lows", near_lows, 2)
        pipe.put("none_ahead", ~(rest & pipe.get("ahead", 2)).any(), 2)
        other_chunk = pipe.get("other_chunk", 2)
        other_group = pipe.put("other_group", chunk_first(other_chunk, pipe.get("other_lows", 2)), 2)
        pipe.put("near_first", ~pipe.get("other_any", 2) | less(rank[low_bits:], other_group), 2)
        m.d.comb += firsts_read.addr.eq(Cat(other_chunk, key))
        pipe.put("far", firsts_read.data.word_select(other_group[:2], low_bits), 2)
        with m.If(pipe.get("go", 2)):
            m.d.sync += [
                last_here.eq(here),
                last_rest.eq(pipe.get("rest", 2)),
                last_fresh.eq(fresh),
                last_qty.eq(qty),
                last_total.eq(total),
                last_left.eq(left),
                last_near_any.eq(near_any),
            ]
        with m.If(self.sweep):
            m.d.sync += last_valid.eq(0)

        # Stage 3: write; choose the best other level and ask for its shares.
        is_any = pipe.put("is_any", pipe.get("left", 3).any(), 3)
        word_any = is_any | pipe.get("near_any", 3)
        own_first = is_any & pipe.get("none_ahead", 3)
        pipe.put("before", Mux(pipe.get("was_any", 3), pipe.get("old_shares", 3), 0), 3)
        pipe.put("after", Mux(pipe.get("fresh", 3), pipe.get("qty", 3), pipe.get("total", 3)), 3)
        key, rank = pipe.get("key", 3), pipe.get("rank", 3)
        group, near = rank[low_bits:], chunk_first(pipe.get("near_chunk", 3), pipe.get("near_lows", 3))
        m.d.comb += [
            firsts_write.addr.eq(Cat(group[2:], key)),
            firsts_write.data.eq(Mux(own_first, rank[:low_bits], near).replicate(4)),
            firsts_write.en.eq(Mux(pipe.get("go", 3), _one_hot(group[:2], 4), 0)),
            words_write.addr.eq(Cat(group, key)),
            words_write.data.eq(pipe.get("rest", 3) | Mux(is_any, pipe.get("here", 3), 0)),
            words_write.en.eq(pipe.get("go", 3) | self.sweep),
            summary_write.addr.eq(key),
            summary_write.data.eq(pipe.get("others", 3) | Mux(word_any, pipe.get("group", 3), 0)),
            summary_write.en.eq(pipe.get("go", 3) | self.sweep),
        ]
        with m.If(self.sweep):
            m.d.comb += [
                words_write.addr.eq(self.sweep_row),
                words_write.data.eq(0),
                summary_write.addr.eq(self.sweep_row),
                summary_write.data.eq(0),
            ]
        use_near = pipe.get("near_any", 3) & pipe.get("near_first", 3)
        other_rank = Mux(use_near, Cat(near, group), Cat(pipe.get("far", 3), pipe.get("other_group", 3)))
        other_exists = pipe.get("near_any", 3) | pipe.get("other_any", 3)
        if "no_rescan" in self._faults:
            other_exists = other_exists & is_any
        pipe.put("other_rank", other_rank, 3)
        pipe.put("other_level", _level(other_rank, key), 3)
        pipe.put("other", other_exists, 3)
        either = Signal(len(other_read.addr))
        writes = pipe.get("go", 4)
        m.d.comb += [
            either.eq(Mux(writes, Cat(pipe.get("rank", 4), pipe.get("key", 4)), Cat(pipe.get("other_rank", 3), key))),
            other_read.addr.eq(either),
            other_read.en.eq(pipe.get("valid", 3)),
            shares_write.addr.eq(either),
            shares_write.data.eq(pipe.get("after", 4)),
            shares_write.en.eq(writes),
        ]

        # Stage 4: its shares and its price.
        pipe.put("other_qty", other_read.data, 4)
        pipe.put("other_offset", pipe.get("other_level", 4) * self.tick_e4, 4)
        other = pipe.get("other", 4)
        best = pipe.put("best", ~other | less(pipe.get("rank", 4), pipe.get("other_rank", 4)), 4)
        wins = pipe.put("wins", pipe.get("is_any", 4) & best, 4)
        pipe.put("some", wins | other, 4)

        # Stage 5: the answer.
        m.d.comb += [
            written_qty.eq(pipe.get("after", 5)),
            self.before.eq(pipe.get("before", 5)),
            self.after.eq(pipe.get("after", 5)),
            self.wins.eq(pipe.get("wins", 5)),
            self.some.eq(pipe.get("some", 5)),
            self.best.eq(pipe.get("best", 5)),
            self.other.eq(pipe.get("other", 5)),
            self.other_qty.eq(pipe.get("other_qty", 5)),
            self.other_px_e4.eq(self.base_e4 + pipe.get("other_offset", 5)),
        ]
        m.d.comb += Signal(name="entered").eq(go)
        return m


def _level(rank, key) -> Value:
    """The number of the level of a rank, or its rank; the last bit of its key is the side."""
    return rank ^ (~key[-1]).replicate(len(rank))


def _one_hot(index, width: int) -> Value:
    """A word of `width` bits with bit `index` set."""
    return (Const(1, 1) << index)[:width]
