"""Stage `registers`: the word bus, shadow and commit registers, the kill switch, status and counters."""

from collections.abc import Mapping
from functools import reduce
from operator import and_, or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.counting import COUNT_BITS, COUNT_STEP_MAX, LEAPING
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import ROW_PORTS, RowPort, counters, layout
from tickgate.gateware.lib.logic import with_past
from tickgate.gateware.lib.wraps import LOOK_CYCLES, Wraps, step_max
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec.registers import ADDRESS_BITS, ARM_KEY, BY_NAME, HISTOGRAMS_AT, counter_names, map_hash
from tickgate.sw.spec.rows import ROWS
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import CORE_CLOCK_HZ
from tickgate.sw.spec.version import release_word

#: Words that one step of a read gathers.
GROUP = 8
READ_CYCLES = 6
#: Bits of the parts in which an address, without its two lowest bits, is decoded: four gates' inputs with the enable.
_ADDRESS_PARTS = (3, 3, 4)
#: From a write to what it does, but for the kill switch and the heartbeat, which act in the next cycle.
WRITE_CYCLES = 2


class Bus(wiring.Signature):
    """The word bus, seen from the device.

    Members
    -------
    addr: In(12), byte offset of a register, a multiple of 4.
    w_data: In(32). w_en: In(1), writes `w_data` in this cycle.
    r_en: In(1), reads. r_data: Out(32). r_valid: Out(1), `READ_CYCLES` cycles after `r_en`.
    """

    def __init__(self):
        super().__init__(
            {
                "addr": Out(ADDRESS_BITS),
                "w_data": Out(32),
                "w_en": Out(1),
                "r_en": Out(1),
                "r_data": In(32),
                "r_valid": In(1),
            }
        )


class Registers(wiring.Component):
    """The register bank of `tickgate.sw.spec.registers`.

    `kill` is high in the cycle after any write to its register and stays so until the key is written to `arm`.
    Every other write acts `WRITE_CYCLES` cycles later: the address is decoded in parts first, because the word that
    it means may be far away on the device. So writes act in the order in which they come, and none of them after a
    later kill. A commit leaves with the shadows as they were at its write. Several rows leave in the same cycle
    after a write to `commit_group`. Writes may come in every cycle. A read is answered after `READ_CYCLES` cycles
    and sees the writes before it; reads may come in every cycle; `now` is that of the cycle behind the read. What
    has no register, what is write only, and what `tickgate.gateware.readback` answers, reads 0.

    Heartbeat: with a limit of L cycles, 2 or more, `kill` is high L cycles after the last write to `heartbeat` or to
    the limit, and arming has no effect until one of them is written again.

    Parameters
    ----------
    sizes: told by the identity registers.
    counter_sources: the counters of each stage by its name; a counter that several stages have is their sum.
    build_id: told by its register.
    core_clock_hz: told by its register, in kHz.
    first_cycle: `now` in the first cycle after reset.
    first_wraps: what every counter that is not of `LEAPING` has above its `COUNT_BITS` low bits after reset.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    bus: In(Bus()).
    now: Out(64), core cycle, counted from reset.
    cfg_<row>: Out(RowPort(record)), one a configuration row.
    kill: Out(1), level; 1 after reset.
    clear: Out(1), pulse.
    armed: Out(1), the kill switch is not up.
    clearing, mark_pending, session_open: In(1), for the status register.
    counters_<stage>: In(counters(names)), one a stage that counts, from 0 after reset. Of a counter that is not of
        `LEAPING` the `COUNT_BITS` low bits are looked at, and it may grow by `COUNT_STEP_MAX` in a cycle, in all
        stages together.
    telemetry_mask: Out(8). telemetry_every: Out(16).
    row_select: Out(7), slot and side of the rows that are read back.
    bin_select: Out(8), histogram and bin that `bin_count` is to tell in the next cycle.
    bin_count: In(32).

    Raises
    ------
    ValueError: a counter that the register map does not have, or one of more stages than it may grow by; a fault
        that is not in `FAULTS`.
    """

    FAULTS = {
        "any_key_arms": "whatever is written to `arm` clears the kill switch",
        "reset_armed": "the kill switch is not up after reset",
        "commit_late": "a commit leaves one cycle late, so that a write right behind it tears the row",
        "high_word_runs": "the high word of `now` is not latched by the low one",
        "counter_off_by_one": "the counter behind the first group is that of its neighbour",
        "group_in_turn": "the rows of a group leave one cycle behind each other",
        "heartbeat_forgotten": "a lost heartbeat does not keep the kill switch up",
    }
    latency_cycles = {
        ("bus", "kill", "write"): (1, 1),
        ("bus", "kill", "arm"): (WRITE_CYCLES, WRITE_CYCLES),
        ("bus", "clear", "write"): (WRITE_CYCLES, WRITE_CYCLES),
        ("bus__r_en", "bus__r_valid", "read"): (READ_CYCLES, READ_CYCLES),
        **{("bus", f"cfg_{row}", "commit"): (WRITE_CYCLES, WRITE_CYCLES) for row in ROW_PORTS},
        **{("bus", f"cfg_{row}", "shadow"): (WRITE_CYCLES, WRITE_CYCLES) for row in ROW_PORTS},
    }
    COUNTERS: tuple[str, ...] = ()

    def __init__(
        self,
        sizes: Sizes,
        counter_sources: Mapping[str, tuple[str, ...]],
        *,
        build_id: int = 0,
        core_clock_hz: int = CORE_CLOCK_HZ,
        first_cycle: int = 0,
        first_wraps: int = 0,
        faults: frozenset[str] = frozenset(),
    ):
        self._faults = checked_faults(faults, self.FAULTS)
        known = set(counter_names())
        for stage, names in counter_sources.items():
            if strange := sorted(set(names) - known):
                raise ValueError(f"stage {stage} has the counter {strange[0]!r}, which the register map does not have")
        self._sizes, self._sources, self._build_id = sizes, dict(counter_sources), build_id
        self._core_clock_hz, self._first_wraps = core_clock_hz, first_wraps
        super().__init__(
            {
                "bus": In(Bus()),
                "now": Out(64, init=first_cycle),
                **{f"cfg_{name}": Out(RowPort(record)) for name, record in ROW_PORTS.items()},
                "kill": Out(1, init=0 if "reset_armed" in faults else 1),
                "clear": Out(1),
                "armed": Out(1, init=1 if "reset_armed" in faults else 0),
                "clearing": In(1),
                "mark_pending": In(1),
                "session_open": In(1),
                **{f"counters_{stage}": In(counters(names)) for stage, names in self._sources.items() if names},
                "telemetry_mask": Out(8),
                "telemetry_every": Out(16),
                "row_select": Out(7),
                "bin_select": Out(8),
                "bin_count": In(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.now.eq(self.now + 1)
        self._decode(m)
        self._heartbeat(m)
        self._write(m)
        self._rows(m)
        self._read(m)
        return m

    def _hit(self, name: str, word: int = 0):
        """The bus writes this word of the register in this cycle."""
        return self.bus.w_en & (self.bus.addr[2:] == BY_NAME[name].offset // 4 + word)

    def _decode(self, m):
        """What the bus did in the cycle before: a bit for each value of each part of the address."""
        self._wrote_any, self._asked = Signal(), Signal()
        self._data = Signal(32, reset_less=True)
        m.d.sync += [self._wrote_any.eq(self.bus.w_en), self._asked.eq(self.bus.r_en)]
        with m.If(self.bus.w_en):
            m.d.sync += self._data.eq(self.bus.w_data)
        self._parts, low = [], 2
        for bits in _ADDRESS_PARTS:
            part = Signal(1 << bits, name=f"address_{low}")
            m.d.sync += part.eq(1 << self.bus.addr[low : low + bits])
            self._parts.append((part, low))
            low += bits

    def _is(self, address: int):
        """Whether it was this address."""
        return reduce(and_, (part[address >> low & len(part) - 1] for part, low in self._parts))

    def _wrote(self, name: str, word: int = 0):
        """The bus wrote this word of the register in the cycle before; what it wrote is `_data`."""
        return self._wrote_any & self._is(BY_NAME[name].offset + 4 * word)

    def _heartbeat(self, m):
        """Whether the host's sign of life is overdue.

        The timer lives a cycle in the past, so that a write reaches it from registers: it is overdue when one cycle is
        left, or at once after a write of a limit of 1 or 2 cycles. What was lost is found again by any write.
        """
        self._limit, self._lost, self._overdue = Signal(32), Signal(), Signal()
        left, runs, was_lost = Signal(32), Signal(), Signal()
        beats, limits, is_short = Signal(), Signal(), Signal()
        m.d.sync += [
            beats.eq(self._hit("heartbeat")),
            limits.eq(self._hit("heartbeat_limit_cycles")),
            is_short.eq((self.bus.w_data == 1) | (self.bus.w_data == 2)),
        ]
        limit = Mux(limits, self._data, self._limit)
        with m.If(limits):
            m.d.comb += self._overdue.eq(is_short)
        with m.Elif(beats):
            m.d.comb += self._overdue.eq((self._limit == 1) | (self._limit == 2))
        with m.Else():
            m.d.comb += self._overdue.eq(runs & (left == 2))
        m.d.comb += self._lost.eq(was_lost & ~(beats | limits))
        m.d.sync += [
            left.eq(left - 1),
            runs.eq(runs & ~self._overdue),
            was_lost.eq(self._lost | (self._overdue & ("heartbeat_forgotten" not in self._faults))),
        ]
        with m.If(beats | limits):
            m.d.sync += [self._limit.eq(limit), left.eq(limit - 1), runs.eq((limit != 0) & ~self._overdue)]

    def _write(self, m):
        key = self._data == ARM_KEY if "any_key_arms" not in self._faults else Const(1)
        # In two registers, because those that look at the switch are far from each other.
        with m.If(self._wrote("arm") & key):
            m.d.sync += [self.kill.eq(0), self.armed.eq(1)]
        with m.If(self._hit("kill") | self._overdue | self._lost):
            m.d.sync += [self.kill.eq(1), self.armed.eq(0)]
        m.d.sync += self.clear.eq(self._wrote("clear"))
        self._scratch = Signal(32)
        for name, register in (
            ("scratch", self._scratch),
            ("telemetry_mask", self.telemetry_mask),
            ("telemetry_every", self.telemetry_every),
            ("row_select", self.row_select),
        ):
            with m.If(self._wrote(name)):
                m.d.sync += register.eq(self._data)

    def _rows(self, m):
        group = self._wrote("commit_group")
        for number, (short, record) in enumerate(ROW_PORTS.items()):
            port = getattr(self, f"cfg_{short}")
            shadow = Signal(layout(record), name=f"shadow_{short}")
            m.d.comb += port.row.eq(shadow)
            for f in record.fields:
                target = shadow[f.name]
                for word in range(BY_NAME[f"{short}_{f.name}"].words):
                    part = target[32 * word : 32 * word + 32]
                    with m.If(self._wrote(f"{short}_{f.name}", word)):
                        m.d.sync += part.eq(self._data)
            chosen = Signal(name=f"grouped_{short}")
            m.d.comb += chosen.eq(group & self._data[spec.GROUP_ROWS_AT + number])
            if "group_in_turn" in self._faults and number % 2:
                later = Signal(name=f"later_{short}")
                m.d.sync += later.eq(chosen)
                chosen = later
            commit = self._wrote(f"{short}_commit") | chosen
            # A group names slot and side; a row that is a slot's takes the slot of it.
            select = Mux(chosen, self._data[:7] >> (ROWS[number][1] == "slot"), self._data)
            if "commit_late" in self._faults:
                slow, kept = Signal(), Signal(len(port.select))
                m.d.sync += [slow.eq(commit), kept.eq(select)]
                m.d.sync += [port.commit.eq(slow), port.select.eq(kept)]
            else:
                m.d.sync += [port.commit.eq(commit), port.select.eq(select)]

    def _sources_of(self, m, name: str):
        """A counter: one stage's, or the registered sum of several; of most only what `Wraps` does not know."""
        stages = [stage for stage, names in self._sources.items() if name in names]
        leaps = name in LEAPING
        bits = 32 if leaps else COUNT_BITS
        if not leaps and len(stages) > COUNT_STEP_MAX:
            raise ValueError(f"{name} is counted by {len(stages)} stages; it may grow by {COUNT_STEP_MAX} in a cycle")
        found = [getattr(self, f"counters_{stage}")[name][:bits] for stage in stages]
        if not found:
            return Const(0, bits)
        if len(found) == 1:
            return found[0]
        total = Signal(bits, name=f"sum_{name}")
        m.d.sync += total.eq(sum(found[1:], start=found[0]))
        return total

    def _wraps(self, m, counted, asked, address):
        """The counters' high parts, read where `asked` for the one at `address`; and then, whether it is one."""
        first = BY_NAME[counter_names()[0]].offset // 4
        index_bits = (len(counted) - 1).bit_length()
        if step_max(len(counted), COUNT_BITS) < COUNT_STEP_MAX or first & (1 << index_bits) - 1:
            raise ValueError(f"{len(counted)} counters from {4 * first:#x} on cannot have one memory")
        m.submodules.wraps = wraps = Wraps(len(counted), COUNT_BITS, 32 - COUNT_BITS, first=self._first_wraps)
        for number, value in enumerate(counted):
            if len(value) == COUNT_BITS:
                m.d.comb += getattr(wraps, f"top_{number}").eq(value[-1])
        m.d.comb += [wraps.look.eq(asked), wraps.select.eq(address[:index_bits])]
        # Whether it is one of them takes the time that there is: each part of it is a register first.
        wide = Cat(address == BY_NAME[name].offset // 4 for name in sorted(LEAPING))
        is_counter = with_past(m, "is_counter", address[index_bits:] == first >> index_bits, 1)[-1]
        is_narrow = is_counter & ~with_past(m, "is_wide", wide, 1)[-1].any()
        return wraps, with_past(m, "is_narrow", is_narrow, LOOK_CYCLES - 1)[-1]

    def _read(self, m):
        """Every word that is not constant 0 knows its address; what it then says is gathered in registered steps."""
        sizes = self._sizes
        latched = Signal(32)
        seen_clearing = Signal()
        with m.If(self.clearing):
            m.d.sync += seen_clearing.eq(1)
        with m.If(self._asked & self._is(BY_NAME["now"].offset)):
            m.d.sync += latched.eq(self.now[32:])
        status = Cat(self.armed, self.clearing, self.mark_pending, self.session_open, seen_clearing, self._lost)
        low = Signal(32)
        m.d.sync += low.eq(self.now)
        values = {
            "map_hash": [Const(map_hash(), 32)],
            "build_id": [Const(self._build_id & 0xFFFFFFFF, 32), Const(self._build_id >> 32, 32)],
            "map_version": [Const(spec.MAP_VERSION, 32)],
            "release": [Const(release_word(), 32)],
            "core_clock_khz": [Const(self._core_clock_hz // 1000, 32)],
            "size_slots": [Const(sizes.slots, 32)],
            "size_orders": [Const(sizes.orders, 32)],
            "size_levels": [Const(sizes.levels, 32)],
            "size_stash": [Const(sizes.stash, 32)],
            "scratch": [self._scratch],
            "status": [status],
            # The word as it was when the high one was latched, a cycle before the tree samples.
            "now": [low, self.now[32:] if "high_word_runs" in self._faults else latched],
            "telemetry_mask": [self.telemetry_mask],
            "telemetry_every": [self.telemetry_every],
            "heartbeat_limit_cycles": [self._limit],
            "row_select": [self.row_select],
        }
        counted = [self._sources_of(m, name) for name in counter_names()]
        values |= {name: [value] for name, value in zip(counter_names(), counted, strict=True)}
        if "counter_off_by_one" in self._faults:
            names = counter_names()
            values[names[GROUP]] = values[names[GROUP - 1]]

        leaves = {}
        for name, words in values.items():
            for word, value in enumerate(words):
                leaves[BY_NAME[name].offset // 4 + word] = value
        before, address = Signal(ADDRESS_BITS - 2), Signal(ADDRESS_BITS - 2)
        asked = Signal()
        m.d.sync += [before.eq(self.bus.addr[2:]), address.eq(before), asked.eq(self._asked)]
        m.d.comb += self.bin_select.eq(address[:8])

        # Histogram words come from telemetry one cycle after `address`, beside the first step of the tree.
        inside, past = address[9], address[8]
        if HISTOGRAMS_AT != 4 << 9:
            raise ValueError(f"histograms must begin at {4 << 9:#x}, not {HISTOGRAMS_AT:#x}")
        is_bin, exists = Signal(), Signal()
        m.d.sync += [is_bin.eq(inside), exists.eq(~past)]
        counted_bin = Mux(exists, self.bin_count, 0)

        wraps, is_narrow = self._wraps(m, counted, asked, address)
        # A bit a word says whether it is the one: no decoder reaches all over the map. Wide words first.
        parts = []
        for at, value in sorted(leaves.items(), key=lambda leaf: -len(leaf[1])):
            chosen = Signal(name=f"chosen_{at}")
            with m.If(self._asked):
                m.d.sync += chosen.eq(self._is(4 * at))
            parts.append(Mux(chosen, value, 0))
        depth, valid, steps = 2, asked, {}
        while len(parts) > 1:
            gathered = []
            for at in range(0, len(parts), GROUP):
                words = parts[at : at + GROUP]
                out = Signal(max(map(len, words)), name=f"read_{depth}_{at // GROUP}", reset_less=True)
                with m.If(valid):
                    m.d.sync += out.eq(reduce(or_, words))
                gathered.append(out)
            passed = Signal(name=f"asked_{depth}")
            m.d.sync += passed.eq(valid)
            if depth > 2:
                late, was_bin = Signal(32, name=f"bin_{depth}", reset_less=True), Signal(name=f"is_bin_{depth}")
                m.d.sync += [late.eq(counted_bin), was_bin.eq(is_bin)]
                counted_bin, is_bin = late, was_bin
            steps[depth] = parts
            parts, valid, depth = gathered, passed, depth + 1
        # The high part of a counter is known `LOOK_CYCLES` behind its address, beside the highest of its low bits.
        above = Signal(32 - COUNT_BITS, reset_less=True)
        top = reduce(or_, steps[2 + LOOK_CYCLES])[COUNT_BITS - 1]
        m.d.sync += above.eq(Mux(is_narrow, wraps.count + (wraps.top & ~top), 0))
        m.d.sync += self.bus.r_valid.eq(valid)
        with m.If(valid):
            m.d.sync += self.bus.r_data.eq(Mux(is_bin, counted_bin, parts[0] | Cat(Const(0, COUNT_BITS), above)))
        if depth + 1 != READ_CYCLES:
            raise ValueError(f"a read takes {depth + 1} cycles, not {READ_CYCLES}")
