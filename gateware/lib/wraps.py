"""High parts of narrow counters, all in one memory: how often each has wrapped."""

from itertools import pairwise

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults

#: Cycles from one visit of a counter to the visit of the next. Slow, because little is at stake: a simulator that
#: computes what changes would feel a visit in every cycle.
TURN_CYCLES = 16
#: Cycles from a read to its answer.
LOOK_CYCLES = 2
#: Counters whose highest bits are gathered in one step, and the bits of a counter's place among them.
_GROUP_BITS = 3
_GROUP = 1 << _GROUP_BITS


def step_max(number: int, bits: int) -> int:
    """How much each of `number` counters of `bits` bits may grow in a cycle; `Wraps` then misses no wrap."""
    return (1 << bits - 1) // (TURN_CYCLES * (number + 1))


class Wraps(wiring.Component):
    """Counts the wraps of counters by the fall of their highest bits, which it visits in turn, over and over.

    A counter's `bits` low bits are a register of its own, which counts from 0 after reset; in a cycle it may grow by
    `step_max(number, bits)` at most. Its value in any cycle is `count` above these low bits of that cycle, and one
    more in `count` where `top` is set and the highest of the low bits is not: it has wrapped since its visit.

    Parameters
    ----------
    number: counters, 4 or more. bits: low bits of each. count_bits: bits of `count`, which wraps.
    first: `count` of each after reset.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    top_<n>: In(1), the highest of the low bits of counter n.
    look: In(1), reads. select: In(range(number)), a counter.
    count: Out(count_bits). top: Out(1). Both `LOOK_CYCLES` after `look`, for the low bits of the cycle of `look`.

    Raises
    ------
    ValueError: so many counters that one may wrap unseen; a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "wraps_kept_after_reset": "what was counted before a reset is read after it",
        "read_while_written": "a row that is read while it is written is the memory's, which tells anything then",
        "every_other_time": "what every other round of visits finds is not kept",
    }

    def __init__(
        self, number: int, bits: int, count_bits: int, *, first: int = 0, faults: frozenset[str] = frozenset()
    ):
        if number < 4 or not step_max(number, bits):
            raise ValueError(f"{number} counters of {bits} bits cannot be visited before one wraps unseen")
        self._faults = checked_faults(faults, self.FAULTS)
        self._number, self._first = number, first
        super().__init__(
            {
                **{f"top_{at}": In(1) for at in range(number)},
                "look": In(1),
                "select": In(range(number)),
                "count": Out(count_bits),
                "top": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        row = data.StructLayout({"count": len(self.count), "top": 1})
        at = range(self._number)
        m.submodules.memory = memory = Memory(
            shape=row, depth=self._number, init=[], attrs={"ram_style": "block", "no_rw_check": 1}
        )
        write, visit, look = memory.write_port(), memory.read_port(), memory.read_port()

        # Whose turn it is. Rows are not reset: they mean nothing before each was written once.
        index, phase = Signal(at), Signal(range(TURN_CYCLES), init=1)
        steps = [Signal(name=f"step_{step}") for step in range(4)]
        fresh = Signal(init="wraps_kept_after_reset" not in self._faults)
        last = index == self._number - 1
        m.d.sync += [phase.eq(phase + 1), steps[0].eq(phase == 0)]
        m.d.sync += [later.eq(step) for step, later in pairwise(steps)]
        with m.If(steps[3]):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += fresh.eq(0)

        # A visit: the row and the bits of its group; a register behind the memory, and the bit; what the row becomes.
        tops = [getattr(self, f"top_{number}") for number in at]
        groups = [Signal(name=f"group_{first}") for first in range(0, self._number, _GROUP)]
        top, was, became = Signal(), Signal(row, reset_less=True), Signal(row, reset_less=True)
        with m.If(steps[0]):
            for number, group in enumerate(groups):
                m.d.sync += group.eq(Array(tops[_GROUP * number :][:_GROUP])[index[:_GROUP_BITS]])
        with m.If(steps[1]):
            m.d.sync += [top.eq(Array(groups)[index[_GROUP_BITS:]]), was.eq(visit.data)]
        with m.If(steps[2]):
            fell = ~fresh & was.top & ~top
            m.d.sync += [became.count.eq(Mux(fresh, self._first, was.count) + fell), became.top.eq(top)]
        m.d.comb += [visit.addr.eq(index), visit.en.eq(steps[0])]
        m.d.comb += [write.addr.eq(index), write.data.eq(became), write.en.eq(self._keeps(m, steps[3], last))]

        # What is written while it is read is not in the memory's answer (record 64), but still in its register.
        told, met = Signal(row, reset_less=True), Signal(LOOK_CYCLES)
        unread = Signal(LOOK_CYCLES, init=-1 if fresh.init else 0)
        m.d.comb += [look.addr.eq(self.select), look.en.eq(self.look)]
        m.d.sync += [
            told.eq(look.data),
            met.eq(Cat(write.en & (index == self.select), met)),
            unread.eq(Cat(fresh, unread)),
        ]
        new = became if "read_while_written" not in self._faults else data.View(row, ~became.as_value())
        m.d.comb += [
            self.count.eq(Mux(unread[-1], self._first, Mux(met[-1], new.count, told.count))),
            self.top.eq(~unread[-1] & Mux(met[-1], new.top, told.top)),
        ]
        return m

    def _keeps(self, m, ends, last):
        """Whether a visit ends in this cycle, and what it found is kept."""
        if "every_other_time" not in self._faults:
            return ends
        skips = Signal()
        with m.If(ends & last):
            m.d.sync += skips.eq(~skips)
        return ends & ~skips
