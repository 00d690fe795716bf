"""Rows in force as the host reads them back: beside the registers, on the same bus."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import ROW_PORTS, RowPort
from tickgate.gateware.lib.logic import with_past
from tickgate.gateware.registers import READ_CYCLES
from tickgate.sw.spec.registers import ADDRESS_BITS, BY_NAME
from tickgate.sw.spec.rows import ROWS
from tickgate.sw.spec.sizes import Sizes

#: Cycles that the choice of a word takes; the address waits for the rest of `READ_CYCLES`.
_OWN_CYCLES = 3


class Readback(wiring.Component):
    """Keeps every row that was committed since reset, and answers reads of its shadow registers with it.

    Its answers and those of the registers are never both other than 0, so that they are ORed. A read tells
    the rows that were committed up to the cycle behind it.

    Parameters
    ----------
    sizes: how many slots there are.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    addr: In(12), r_en: In(1), of the register bus.
    row_select: In(7), 2 x slot + side of the rows that are read, as it is two cycles behind
        `addr`.
    cfg_<row>: In(RowPort(record)), as the stages get them.
    r_data: Out(32), `READ_CYCLES` cycles after `r_en`; 0 where the address is no field of a row, or none was committed.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "shadow_read": "what is read is the row whose slot was committed last",
        "side_ignored": "the trigger of the first side is read for both",
        "old_after_reset": "rows from before a reset are read after it",
    }
    COUNTERS: tuple[str, ...] = ()
    latency_cycles = {("r_en", "r_data", "read"): (READ_CYCLES, READ_CYCLES)}

    def __init__(self, sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        self._sizes = sizes
        super().__init__(
            {
                "addr": In(ADDRESS_BITS),
                "r_en": In(1),
                "row_select": In(7),
                **{f"cfg_{name}": In(RowPort(record)) for name, record in ROW_PORTS.items()},
                "r_data": Out(32),
            }
        )

    @property
    def unused_inputs(self) -> tuple[str, ...]:
        """Rows of which there is one are selected by nothing."""
        return tuple(
            f"cfg_{record.name.removesuffix('_row')}__select"
            for record, selector in ROWS
            if not self._index_bits(selector)
        )

    def _index_bits(self, selector: str) -> int:
        return {"": 0, "slot": self._sizes.slot_bits, "slot_side": self._sizes.slot_bits + 1}[selector]

    def elaborate(self, platform):
        m = Module()
        at = READ_CYCLES - _OWN_CYCLES
        self._asked = with_past(m, "asked", self.r_en, READ_CYCLES - 1)
        addresses = with_past(m, "address", self.addr[2:], at)
        # What there is one of needs no memory, and waits for the others.
        singles = [self._row(m, *row, addresses[at - 1], at - 1) for row in ROWS if not row[1]]
        others = [self._row(m, *row, addresses[at], at) for row in ROWS if row[1]]
        single = self._gathered(m, "single", singles, at + 1)
        m.d.comb += self.r_data.eq(self._gathered(m, "chosen", [single, *others], at + 2))
        return m

    def _gathered(self, m, name, words, step):
        """The words, of which one at most is other than 0, a cycle behind this step of a read."""
        found = Signal(32, name=name, reset_less=True)
        with m.If(self._asked[step]):
            m.d.sync += found.eq(reduce(or_, words))
        return found

    def _row(self, m, record, selector, address, step):
        """One row's word of `address`, which is that of this step of a read, two cycles later; 0 where it has none.

        A row of a memory is that of `row_select` a cycle before `address`, the only row of its kind that of its cycle
        behind.
        """
        short = record.name.removesuffix("_row")
        port, bits = getattr(self, f"cfg_{short}"), self._index_bits(selector)
        slot = port.select[:bits]
        # As in the stages, a commit beyond the last slot is ignored.
        commit = port.commit & ((port.select >> bits) == 0) if bits else port.commit
        asked = self.row_select[1 if selector == "slot" else 0 :][:bits]
        if "side_ignored" in self._faults and selector == "slot_side":
            asked = Cat(Const(0, 1), self.row_select[1:bits])
        if "shadow_read" in self._faults and selector == "slot":
            last = Signal(bits, name=f"last_{short}")
            with m.If(commit):
                m.d.sync += last.eq(slot)
            asked = last
        row = self._kept(m, short, port, commit, slot, asked, step)
        known = Signal(1 << bits, name=f"known_{short}", reset_less="old_after_reset" in self._faults)
        with m.If(commit):
            m.d.sync += known.bit_select(slot, 1).eq(1)
        # Whether there is a row is known with it, and looked at a cycle later, beside the rows of other kinds.
        there = with_past(m, f"there_{short}", known.bit_select(asked, 1), 3 if bits else 2)[-1]

        word = Signal(32, name=f"word_{short}", reset_less=True)
        words = []
        for field in record.fields:
            register, at = BY_NAME[f"{short}_{field.name}"], record.offset_bits(field.name)
            for number in range(register.words):
                low, high = at + 32 * number, min(at + 32 * number + 32, at + field.bits)
                hit = Signal(name=f"hit_{short}_{field.name}_{number}")
                m.d.sync += hit.eq(address == register.offset // 4 + number)
                words.append(Mux(hit, row[low:high], 0))
        with m.If(self._asked[step + 1]):
            m.d.sync += word.eq(reduce(or_, words))
        return Mux(there, word, 0)

    def _kept(self, m, short, port, commit, slot, asked, step):
        """The row of `asked`: two cycles later, of a memory; where there is one row only, a cycle later."""
        given = port.row.as_value()
        row = Signal.like(given, name=f"row_{short}", reset_less=True)
        if not len(slot):
            with m.If(commit):
                m.d.sync += row.eq(given)
            return row
        # Bus reads never ask for a row in the cycle in which it is committed: what is read then does not matter.
        memory = Memory(shape=len(given), depth=1 << len(slot), init=[], attrs={"ram_style": "block", "no_rw_check": 1})
        m.submodules[f"rows_{short}"] = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.addr.eq(slot), write.data.eq(given), write.en.eq(commit)]
        m.d.comb += [read.addr.eq(asked), read.en.eq(self._asked[step - 1])]
        with m.If(self._asked[step]):
            m.d.sync += row.eq(read.data)
        return row
