"""The order table: every live order by its reference, in hashed block RAM with a small associative stash."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.book.hashing import REFERENCE_BITS, fold_masks, table_shape
from tickgate.gateware.book.pace import APART_CYCLES
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.logic import encoded, first_alone, one_hot_mux
from tickgate.gateware.lib.pipe import Pipe
from tickgate.sw.spec.sizes import Sizes

#: Cycles from a reference's entry to the answer, and to the cycle in which what it decides is written.
ANSWER_STAGE = 5


def order_layout(sizes: Sizes) -> data.StructLayout:
    """What is kept of an order beside its reference."""
    return data.StructLayout(
        {"slot": sizes.slot_bits, "side": 1, "klass": 2, "level": sizes.level_bits, "price_e4": 32, "qty": 32}
    )


def way_layout(sizes: Sizes) -> data.StructLayout:
    """One row of one way of a bank: the rest of the reference, the order, and whether there is one."""
    return data.StructLayout(
        {"tag": REFERENCE_BITS - table_shape(sizes).index_bits, "order": order_layout(sizes), "present": 1}
    )


class OrderTable(wiring.Component):
    """Looks up, adds, changes and removes orders; operations may follow each other every second cycle.

    A reference enters in stage 0; in stage 5 `found`, `order` and `room` answer for it, after the effects of every
    operation before it, and the same cycle's `add`, `take` and `drop` say what becomes of it. An order stands in the
    least loaded of its rows, or in the stash when all of them are full.

    Memory is read in stage 1 and written in stage 6. What the two operations before have done is therefore taken from
    registers: their order where the reference is the same, their place where the row is the same. A way written in the
    cycle in which it is read may answer anything; one of these two operations writes it then, so the order sought does
    not stand there, unless it is theirs, and the way is left out.

    Parameters
    ----------
    sizes: `orders`, `stash`, and the widths of an order's fields.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i_valid: In(1), stage 0: an operation enters; never in two cycles running.
    enters: In(1), stage 0: 1 wherever `i_valid` is, and known earlier.
    use: In(1), stage 1: it has a reference.
    i_reference: In(64), stage 0.
    i_second: In(1), stage 0: the reference is `i_second_reference` instead, which is known a cycle before.
    i_second_reference: In(64), stage 0.
    second_follows: In(1), `i_second` is 1 in the next cycle: the row of `i_second_reference` is worked out.
    found: Out(1), stage 5: the order is live.
    order: Out(order_layout(sizes)), stage 5: as it stands.
    room: Out(1), stage 5: an order of this reference would find a place.
    add: In(1), stage 5: keep `after` as a new order, unless `found` or without `room`.
    take: In(1), stage 5: `after` replaces the order, or it goes; only where `found`.
    drop: In(1), stage 6: it goes; only where `take` was given in stage 5.
    after: In(order_layout(sizes)), stage 5.
    sweep: In(1), empties the row `sweep_row` of every way, and the stash; only while no operation changes anything.
    sweep_row: In(index_bits of the table's shape).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "order_forward_lost": "an order changed by the operation right before is read as it was in memory",
        "stash_entry_lost": "the stash forgets what is put into its third entry",
        "stash_found_early": "an entry of the stash may be found before its reference is written",
        "way_taken_twice": "two adds in a row to one row may take the same place",
    }

    def __init__(self, sizes: Sizes, faults: frozenset[str] = frozenset()):
        self._sizes, self._faults = sizes, checked_faults(faults, self.FAULTS)
        order = order_layout(sizes)
        super().__init__(
            {
                "i_valid": In(1),
                "enters": In(1),
                "use": In(1),
                "i_reference": In(REFERENCE_BITS),
                "i_second": In(1),
                "i_second_reference": In(REFERENCE_BITS),
                "second_follows": In(1),
                "found": Out(1),
                "order": Out(order),
                "room": Out(1),
                "add": In(1),
                "take": In(1),
                "drop": In(1),
                "after": In(order),
                "sweep": In(1),
                "sweep_row": In(table_shape(sizes).index_bits),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        pipe = Pipe(m, valid="valid", rests=APART_CYCLES)
        order, shape, stash = order_layout(self._sizes), table_shape(self._sizes), self._sizes.stash
        banks, bank_ways, width = shape
        ways = banks * bank_ways

        # Stage 0: the row in each bank.
        valid = pipe.put("valid", self.i_valid, 0, reset=True)
        pipe.put("enters", self.enters, 0, reset=True)
        pipe.put("use", self.use, 1)
        pipe.put("reference", Mux(self.i_second, self.i_second_reference, self.i_reference), 0, ahead="enters")
        for bank, masks in enumerate(fold_masks(shape)):
            row, second_row = (
                Cat(Cat(reference[bit], reference[width:] & mask).xor() for bit, mask in enumerate(masks))
                for reference in (self.i_reference, self.i_second_reference)
            )
            hashed = Signal(width, name=f"second_row{bank}", reset_less=True)
            with m.If(self.second_follows):
                m.d.sync += hashed.eq(second_row)
            pipe.put(f"row{bank}", Mux(self.i_second, hashed, row), 0, ahead="enters")

        # Stage 1: is it the reference, or a row, of one of the two operations before?
        reference = pipe.get("reference", 1)
        rows = [pipe.get(f"row{bank}", 1) for bank in range(banks)]
        pasts = []
        for age in range(2):
            past: dict[Any, Any] = {"use": Signal(name=f"past{age}_use")}
            past["reference"] = Signal(REFERENCE_BITS, reset_less=True)
            past |= {bank: Signal(width, reset_less=True, name=f"past{age}_row{bank}") for bank in range(banks)}
            pasts.append(past)
            both = past["use"] & pipe.get("use", 1)
            if age == 0 and "order_forward_lost" in self._faults:
                both = Const(0)
            # References are compared in halves, which the next stage puts together.
            pipe.put(f"same{age}_halves", _same_halves(past["reference"], reference), 1)
            pipe.put(f"same{age}_use", both, 1)
            for bank, row in enumerate(rows):
                pipe.put(f"same{age}_row{bank}", past[bank] == row, 1)
        with m.If(pipe.get("valid", 1)):
            now: dict[Any, Any] = {"use": pipe.get("use", 1), "reference": reference}
            now |= dict(enumerate(rows))
            for past, newer in zip(pasts, [now, pasts[0]], strict=True):
                m.d.sync += [past[key].eq(newer[key]) for key in past]
        with m.If(self.sweep):
            m.d.sync += [past["use"].eq(0) for past in pasts]

        #: Memories and registers by the names of `dump_signals`, for the simulator.
        self.dumped = {}

        # Stages 1 and 2: read every way. Stage 3: compare.
        wide = way_layout(self._sizes)
        same = [pipe.get(f"same{age}_use", 2) & pipe.get(f"same{age}_halves", 2).all() for age in range(2)]
        pipe.put("newest0", same[0], 2)
        pipe.put("newest1", same[1] & ~same[0], 2)
        fresh = pipe.get("use", 2) & ~same[0] & ~same[1]
        write_row = []
        write_way = Signal(ways)
        write_data = Signal(wide)
        for bank in range(banks):
            pipe.put(f"write_row{bank}", Mux(self.sweep, self.sweep_row, pipe.get(f"row{bank}", 5)), 5, always=True)
            write_row.append(pipe.get(f"write_row{bank}", 6))
            pipe.put(
                f"written{bank}",
                write_way.word_select(bank, bank_ways) & (write_row[bank] == rows[bank]).replicate(bank_ways),
                1,
            )
        read = []
        for way in range(ways):
            memory = Memory(shape=wide, depth=1 << width, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"way{way}"] = self.dumped[f"way{way}"] = memory
            write_port = memory.write_port()
            read_port = memory.read_port()
            m.d.comb += [
                read_port.addr.eq(rows[way // bank_ways]),
                read_port.en.eq(pipe.get("valid", 1)),
                write_port.addr.eq(write_row[way // bank_ways]),
                write_port.data.eq(write_data),
                write_port.en.eq(write_way[way]),
            ]
            pipe.put(f"read{way}", read_port.data.as_value(), 2)
            captured, chosen = (data.View(wide, pipe.get(f"read{way}", stage)) for stage in (3, 4))
            read.append(chosen)
            pipe.put(f"asked{way}", fresh & ~pipe.get(f"written{way // bank_ways}", 2)[way % bank_ways], 2)
            hit = captured.present & (captured.tag == pipe.get("reference", 3)[width:])
            pipe.put(f"hit{way}", hit & pipe.get(f"asked{way}", 3), 3)

        # The stash: compared in stages 1 and 2, read in stage 3. Its entries are written in stage 6.
        kept_present = Signal(stash, name="stash_present")
        # An entry is taken when its add is decided, but may be found only when its reference has been written.
        kept_found = Signal(stash)
        kept_reference = [Signal(REFERENCE_BITS, name=f"stash_reference{n}", reset_less=True) for n in range(stash)]
        # All references are compared, but of the orders one is read and one is written.
        kept_orders = Memory(shape=order, depth=stash, init=[])
        m.submodules.stash_orders = kept_orders
        kept_read, kept_write = kept_orders.read_port(domain="comb"), kept_orders.write_port()
        self.dumped |= {"stash_present": kept_present, "stash_orders": kept_orders}
        self.dumped |= {f"stash_reference{n}": known for n, known in enumerate(kept_reference)}
        findable = kept_present if "stash_found_early" in self._faults else kept_found
        # Whether there is an entry and what it is called are looked at in the same cycle: its next one is another's.
        for n, known in enumerate(kept_reference):
            pipe.put(f"stash{n}_present", findable[n], 1)
            pipe.put(f"stash{n}_halves", _same_halves(known, reference), 1)
        stash_hit = Cat(pipe.get(f"stash{n}_present", 2) & pipe.get(f"stash{n}_halves", 2).all() for n in range(stash))
        pipe.put("stash_hit", stash_hit & fresh.replicate(stash), 2)
        m.d.comb += kept_read.addr.eq(encoded(pipe.get("stash_hit", 3)))
        pipe.put("stash_order", Mux(pipe.get("stash_hit", 3).any(), kept_read.data.as_value(), 0), 3)

        # Stage 4: choose, and put in what the two operations before have done since the memory was read.
        # Whether the order of the operation before goes is known in its stage 6, which is this stage 4 at the earliest.
        past_kept = [Signal(name=f"past{age}_kept") for age in range(2)]
        past_found = [past_kept[0] & ~self.drop, past_kept[1]]
        past_order = [Signal(order, name=f"past{age}_order", reset_less=True) for age in range(2)]
        past_way = [Signal(ways, name=f"past{age}_way") for age in range(2)]
        past_entry = [Signal(stash, name=f"past{age}_entry") for age in range(2)]
        hits = Cat(pipe.get(f"hit{way}", 4) for way in range(ways))
        entry_hits = pipe.get("stash_hit", 4)
        same = Cat(pipe.get("newest0", 4), pipe.get("newest1", 4))

        def newest(name: str, past: list, otherwise) -> Signal:
            # A hit excludes that it is the reference of the one or the other operation before, so or is enough.
            pipe.put(name, one_hot_mux(Cat(same, 1), [*past, otherwise]), 4)
            return pipe.get(name, 5)

        found = newest("found", past_found, hits.any() | entry_hits.any())
        looked_up = one_hot_mux(hits, [way.order.as_value() for way in read]) | pipe.get("stash_order", 4)
        old = data.View(order, newest("order", [past.as_value() for past in past_order], looked_up))
        old_way = newest("way", past_way, hits)
        old_entry = newest("entry", past_entry, entry_hits)
        # How full is each row (bit n: at most n), and which of its ways would be next? The least loaded row takes
        # an add, the first bank among equals. A place that the operation right before frees is not taken yet.
        free_ways, loads = [], []
        for bank in range(banks):
            taken = []
            for way in range(bank * bank_ways, (bank + 1) * bank_ways):
                bit = read[way].present
                for age in (1,) if "way_taken_twice" in self._faults else (1, 0):
                    here = pipe.get(f"same{age}_row{bank}", 4) & past_way[age][way]
                    bit = Mux(here, past_kept[age], bit)
                taken.append(Signal(name=f"taken{way}"))
                m.d.comb += taken[-1].eq(bit)
            free = ~Cat(taken)
            pipe.put(f"free{bank}", first_alone(free), 4)
            free_ways.append(pipe.get(f"free{bank}", 5))
            load_of = Array(Const(-1 << bits.bit_count(), bank_ways) for bits in range(1 << bank_ways))[Cat(taken)]
            loads.append([pipe.put(f"load{bank}_{load}", load_of[load], 4) for load in range(bank_ways)])
        for load in range(bank_ways):
            pipe.put(f"any_{load}", Cat(bank[load] for bank in loads).any(), 4)
        # Between stages 4 and 5 of an operation entries of the stash may turn free, but none is taken.
        pipe.put("free_entry", first_alone(~kept_present), 4)
        pipe.put("free_any", ~kept_present.all(), 4)

        # Stage 5: answer.
        fits = pipe.get(f"any_{bank_ways - 1}", 5)
        least = Const(0)
        for load in reversed(range(bank_ways)):
            these = Cat(pipe.get(f"load{bank}_{load}", 5) for bank in range(banks))
            least = Mux(pipe.get(f"any_{load}", 5), these, least)
        least = first_alone(least)
        new_way = Cat(Mux(least[bank], free_ways[bank], 0) for bank in range(banks))
        new_entry = Mux(fits, 0, pipe.get("free_entry", 5))
        m.d.comb += [
            self.found.eq(found),
            self.order.eq(old),
            self.room.eq(fits | pipe.get("free_any", 5)),
        ]

        # An entry of the stash is taken at the end of stage 5, so that the next add sees it, and freed a cycle later.
        # Without room there is no new way and no new entry, so that nothing needs to wait for `room`.
        adds = self.add & ~found
        kept = (adds & self.room) | found
        entry = Mux(adds, new_entry, old_entry)
        m.d.sync += past_kept[0].eq(past_found[0])
        with m.If(pipe.get("valid", 5)):
            m.d.sync += [
                past_kept[0].eq(kept),
                past_order[0].eq(Mux(found & ~self.take, old, self.after)),
                past_way[0].eq(Mux(adds, new_way, old_way)),
                past_entry[0].eq(entry),
                past_kept[1].eq(past_found[0]),
                past_order[1].eq(past_order[0]),
                past_way[1].eq(past_way[0]),
                past_entry[1].eq(past_entry[0]),
            ]
        added, gone = Mux(adds, new_entry, 0), Mux(self.drop, past_entry[0], 0)
        m.d.sync += kept_present.eq((kept_present & ~gone) | added)
        written = Mux(adds, new_way, 0) | Mux(self.take, old_way, 0)
        pipe.put("write_way", written | self.sweep.replicate(ways), 5, always=True)
        pipe.put("write_entry", added | Mux(self.take, old_entry, 0), 5, always=True)
        pipe.put("write_kept", kept & ~self.sweep, 5, always=True)
        pipe.put("write_order", self.after.as_value(), 5)

        # Stage 6: write.
        write_present = pipe.get("write_kept", 6) & ~self.drop
        m.d.comb += write_way.eq(pipe.get("write_way", 6))
        m.d.comb += [
            write_data.tag.eq(pipe.get("reference", 6)[width:]),
            write_data.order.eq(pipe.get("write_order", 6)),
            write_data.present.eq(write_present),
        ]
        entries = pipe.get("write_entry", 6)  # of which at most one bit is set
        if "stash_entry_lost" in self._faults:
            entries = entries & ~(1 << 2)
        for n in range(stash):
            with m.If(entries[n]):
                m.d.sync += [kept_found[n].eq(write_present), kept_reference[n].eq(pipe.get("reference", 6))]
        m.d.comb += [
            kept_write.addr.eq(encoded(entries)),
            kept_write.data.eq(pipe.get("write_order", 6)),
            kept_write.en.eq(entries.any()),
        ]
        with m.If(self.sweep):
            m.d.sync += [kept_present.eq(0), kept_found.eq(0)]
            m.d.sync += [bits.eq(0) for bits in past_way + past_entry]
        # `valid` itself starts the pipeline; naming it here keeps the reset of its chain.
        m.d.comb += Signal(name="entered").eq(valid)
        return m


def _same_halves(one, other) -> Value:
    """Whether two references have the same lower half, and the same upper half."""
    half = REFERENCE_BITS // 2
    return Cat(one[:half] == other[:half], one[half:] == other[half:])
