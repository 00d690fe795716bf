"""The whole device: every stage, composed by the ports they share."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from amaranth.hdl import DomainRenamer, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from tickgate.gateware.book import Book
from tickgate.gateware.control import Control
from tickgate.gateware.feed import Feed
from tickgate.gateware.itch import Itch
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.inject_port import InjectPort
from tickgate.gateware.lib.layouts import STATUS, counters, elastic, flow
from tickgate.gateware.orders import Orders
from tickgate.gateware.readback import Readback
from tickgate.gateware.registers import Bus, Registers
from tickgate.gateware.risk import Risk
from tickgate.gateware.shared_bus import SharedBus
from tickgate.gateware.telemetry import Telemetry
from tickgate.gateware.trigger import Trigger
from tickgate.sw.spec.events import FRAME_WORD, TRACES, FeedItem, OrderItem
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import CORE_CLOCK_HZ

#: The component of each stage in pipeline order; `registers` is made of what they count.
COMPONENTS: dict[str, Any] = {
    "feed": Feed,
    "itch": Itch,
    "book": Book,
    "trigger": Trigger,
    "risk": Risk,
    "orders": Orders,
    "telemetry": Telemetry,
    "control": Control,
}
#: Stages whose constructor takes the sizes.
SIZED = ("itch", "book", "trigger", "risk")
COUNTER_SOURCES: dict[str, tuple[str, ...]] = {name: tuple(c.COUNTERS) for name, c in COMPONENTS.items()}


class Top(wiring.Component):
    """The device: two feed lines in, one order session out, the host beside them.

    Order bytes and cycles do not depend on `trace`, on what telemetry sends, or on whether its stream is held up.

    Parameters
    ----------
    sizes: of the device.
    trace: whether the trace of every stage leaves; a design for hardware leaves it out.
    build_id: told by the register `build_id`; see `tickgate.gateware.build.build_id`.
    core_clock_hz: told by its register, in kHz.
    status: whether there is an output `status` of `STATUS`, for the lights of a board.
    sampled_telemetry: see `tickgate.gateware.telemetry.Telemetry`; boards of parts up to the
        85F are built without it.
    around: what counts around the device by its name, with the names of its counters in the register map; for each
        there is an input `counters_<name>`, and registers tell the sums.
    domains: whether each of `PARTS` is in a clock domain of its own, `sync_<part>`, which is around and has the clock
        of `sync`; so a board resets them by a register behind it.
    faults: names of `FAULTS` (`stage.fault`), for the tests of the tests. Of several faults of the wiring only the one
        that the input `fault_select` tells is there, by its place in `faults_chosen`, and none while that is 0.

    Members
    -------
    i_a, i_b: In(flow(FRAME_WORD)), frames of feed line A and line B.
    bus: In(Bus()), the register bus; it goes before `i_control`.
    i_control: In(flow(FRAME_WORD)), frames of the control role.
    o_control: Out(elastic(FRAME_WORD)), answers to them.
    i_inject: In(elastic(FRAME_WORD)), SoupBinTCP bytes of one TCP segment; between them go messages of `i_control`.
    o_orders: Out(elastic(FRAME_WORD)), frames of the order session.
    o_copy: Out(flow(FRAME_WORD)), each word that left on `o_orders`, for the host.
    o_telemetry: Out(elastic(FRAME_WORD)), telemetry frames.
    trace_<stage>: Out(flow(record)), where `trace` is true: the trace records of `tickgate.sw.spec.events`.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "wiring.done_without_rejects": "the trigger is not told of rejected intents",
        "wiring.kill_skips_orders": "the kill switch does not reach the order session",
        "wiring.verdict_skips_orders": "the verdict on a frame does not reach the order session",
    } | {
        f"{stage}.{fault}": text
        for stage, component in {**COMPONENTS, "registers": Registers, "readback": Readback}.items()
        for fault, text in component.FAULTS.items()
    }
    COUNTERS: tuple[str, ...] = ()
    #: The path of an order through the stages: component, port in, port out, class of event.
    ORDER_PATH = (
        ("feed", "i_a", "o", "word"),
        ("itch", "i", "o", "event"),
        ("book", "i", "o", "any"),
        ("trigger", "i", "o_intents", "sent"),
        ("risk", "i_intents", "o", "accepted"),
        ("orders", "i", "o", "idle"),
    )
    #: What may have a clock domain of its own, from the inputs to the outputs.
    PARTS = (*COMPONENTS, "registers")
    latency_cycles = {("bus", "o_orders", "kill"): (1, 1)}

    def __init__(
        self,
        sizes: Sizes,
        *,
        trace: bool = True,
        build_id: int = 0,
        core_clock_hz: int = CORE_CLOCK_HZ,
        status: bool = False,
        sampled_telemetry: bool = True,
        around: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        domains: bool = False,
        faults: frozenset[str] = frozenset(),
    ):
        self._sizes, self._trace, self._build_id, self._clock_hz = sizes, trace, build_id, core_clock_hz
        self._sampled, self._domains = sampled_telemetry, domains
        self._status, self._around = status, dict(around)
        self._faults = checked_faults(faults, self.FAULTS)
        self._chosen = self.faults_chosen(faults)
        super().__init__(
            {
                "i_a": In(flow(FRAME_WORD)),
                "i_b": In(flow(FRAME_WORD)),
                "bus": In(Bus()),
                "i_control": In(flow(FRAME_WORD)),
                "o_control": Out(elastic(FRAME_WORD)),
                "i_inject": In(elastic(FRAME_WORD)),
                "o_orders": Out(elastic(FRAME_WORD)),
                "o_copy": Out(flow(FRAME_WORD)),
                "o_telemetry": Out(elastic(FRAME_WORD)),
                **({"status": Out(STATUS)} if status else {}),
                **({f"trace_{stage}": Out(flow(record)) for stage, record in TRACES.items()} if trace else {}),
                **{f"counters_{name}": In(counters(names)) for name, names in self._around.items()},
                **({"fault_select": In(range(len(self._chosen)))} if self._chosen else {}),
            }
        )

    @staticmethod
    def faults_chosen(faults: frozenset[str]) -> tuple[str, ...]:
        """What `fault_select` tells by its number: no fault, or one of the wiring; empty where there is no choice."""
        wiring = sorted(fault for fault in faults if fault.startswith("wiring."))
        return ("", *wiring) if len(wiring) > 1 else ()

    @property
    def sizes(self) -> Sizes:
        """Sizes of the device."""
        return self._sizes

    @property
    def build_id(self) -> int:
        """What the register `build_id` tells."""
        return self._build_id

    @classmethod
    def order_cycles(cls) -> int:
        """Fewest cycles from the word with the deciding byte at `i_a` to an order's first word: the stages' sum."""
        return sum(
            COMPONENTS[stage].latency_cycles[source, sink, event][0] for stage, source, sink, event in cls.ORDER_PATH
        )

    def _stage(self, name: str):
        component = COMPONENTS[name]
        sized = (self._sizes,) if name in SIZED else ()
        options = {"sampled": self._sampled} if name == "telemetry" else {}
        return component(*sized, **options, faults=self._faults_of(name))

    def _faults_of(self, stage: str) -> frozenset[str]:
        return frozenset(f.split(".", 1)[1] for f in self._faults if f.startswith(f"{stage}."))

    def _unless(self, fault, right, wrong=0):
        """`right`, and `wrong` where this fault of the wiring is there."""
        if fault not in self._faults:
            return right
        return Mux(self.fault_select == self._chosen.index(fault), wrong, right) if self._chosen else wrong

    def _place(self, m, name, component):
        m.submodules[name] = DomainRenamer(f"sync_{name}")(component) if self._domains else component

    def elaborate(self, platform):
        m = Module()
        stages = {}
        for name in COMPONENTS:
            stages[name] = self._stage(name)
            self._place(m, name, stages[name])
        feed, itch, book, trigger = (stages[n] for n in ("feed", "itch", "book", "trigger"))
        risk, orders, telemetry = (stages[n] for n in ("risk", "orders", "telemetry"))
        registers = Registers(
            self._sizes,
            COUNTER_SOURCES | self._around,
            build_id=self._build_id,
            core_clock_hz=self._clock_hz,
            faults=self._faults_of("registers"),
        )
        self._place(m, "registers", registers)

        # The data path.
        connect(m, flipped(self.i_a), feed.i_a)
        connect(m, flipped(self.i_b), feed.i_b)
        connect(m, feed.o, itch.i)
        connect(m, itch.o, book.i)
        connect(m, book.o, trigger.i)
        connect(m, trigger.o_book, risk.i_book)
        connect(m, trigger.o_intents, risk.i_intents)
        connect(m, risk.o, orders.i)
        connect(m, orders.o, flipped(self.o_orders))
        connect(m, orders.o_copy, flipped(self.o_copy))
        connect(m, telemetry.o, flipped(self.o_telemetry))
        m.d.comb += [
            book.event_overflow.eq(itch.event_overflow),
            risk.session_ok.eq(orders.session_ok),
            # The verdict on a frame goes ahead of its notice, to the order that it may still stop.
            risk.frame_stamp.eq(feed.frame_stamp),
            risk.frame_begins.eq(feed.frame_begins),
            risk.frame_bad.eq(feed.frame_bad),
            risk.refund.eq(orders.refund),
        ]
        m.d.comb += [
            orders.is_void.eq(self._unless("wiring.verdict_skips_orders", risk.is_void)),
            trigger.done.eq(self._unless("wiring.done_without_rejects", risk.rejected | orders.done, orders.done)),
        ]

        # The host's side.
        self._host(m, registers, stages["control"])
        self._messages(m, stages["control"], orders)
        m.d.comb += [
            registers.clearing.eq(book.clearing),
            registers.mark_pending.eq(feed.mark_pending),
            registers.session_open.eq(orders.session_open),
            book.clear.eq(registers.clear),
            telemetry.mask.eq(registers.telemetry_mask),
            telemetry.every.eq(registers.telemetry_every),
            telemetry.bin_select.eq(registers.bin_select),
            registers.bin_count.eq(telemetry.bin_count),
        ]
        for name, stage in stages.items():
            members = stage.signature.members
            if "now" in members:
                m.d.comb += stage.now.eq(registers.now)
            if name == "orders":
                # The order session has the other register of the switch, which may stand next to it.
                m.d.comb += stage.kill.eq(self._unless("wiring.kill_skips_orders", ~registers.armed))
            elif "kill" in members:
                m.d.comb += stage.kill.eq(registers.kill)
            if COUNTER_SOURCES[name]:
                m.d.comb += getattr(registers, f"counters_{name}").eq(stage.counters)
            _connect_rows(m, registers, stage)

        for name in self._around:
            m.d.comb += getattr(registers, f"counters_{name}").eq(getattr(self, f"counters_{name}"))
        if self._status:
            self._tell(m, registers, stages)

        # The only observation point of each stage.
        for stage in TRACES:
            record = stages[stage].trace
            seen = getattr(telemetry, f"i_{stage}")
            m.d.comb += [seen.valid.eq(record.valid), seen.payload.eq(record.payload)]
            if self._trace:
                out = getattr(self, f"trace_{stage}")
                m.d.comb += [out.valid.eq(record.valid), out.payload.eq(record.payload)]
        return m

    def _tell(self, m, registers, stages):
        """What the lights of a board show, a cycle late."""
        feed, orders, update = stages["feed"].trace, stages["orders"].trace, stages["book"].o
        m.d.sync += [
            self.status.armed.eq(registers.armed),
            self.status.session_open.eq(stages["orders"].session_open),
            self.status.message.eq(feed.valid & (feed.payload.item == FeedItem.MESSAGE)),
            self.status.order.eq(orders.valid & (orders.payload.item == OrderItem.ORDER)),
        ]
        every = update.payload.every_slot
        with m.If(update.valid & every & update.payload.every_set.any()):
            m.d.sync += self.status.book_valid.eq(0)
        with m.Elif(update.valid & ~every):
            m.d.sync += self.status.book_valid.eq(update.payload.validity == 0)

    def _messages(self, m, control, orders):
        """The order session's port for messages of the host, shared by the direct port and the control role."""
        m.submodules.inject_port = port = InjectPort()
        connect(m, flipped(self.i_inject), port.first)
        connect(m, control.o_inject, port.second)
        connect(m, port.o, orders.i_inject)
        m.d.comb += [port.claim.eq(control.inject_claim), control.inject_free.eq(port.free)]

    def _host(self, m, registers, control):
        """The register bus, shared by the direct port and the control role, and the rows in force on it."""
        m.submodules.shared = shared = SharedBus()
        m.submodules.readback = readback = Readback(self._sizes, faults=self._faults_of("readback"))
        connect(m, flipped(self.i_control), control.i)
        connect(m, control.o, flipped(self.o_control))
        connect(m, flipped(self.bus), shared.first)
        connect(m, control.bus, shared.second)
        m.d.comb += [
            control.granted.eq(shared.granted),
            control.armed.eq(registers.armed),
            registers.bus.addr.eq(shared.o.addr),
            registers.bus.w_data.eq(shared.o.w_data),
            registers.bus.w_en.eq(shared.o.w_en),
            registers.bus.r_en.eq(shared.o.r_en),
            # Neither answers for the other.
            shared.o.r_valid.eq(registers.bus.r_valid),
            shared.o.r_data.eq(registers.bus.r_data | readback.r_data),
            readback.addr.eq(shared.o.addr),
            readback.r_en.eq(shared.o.r_en),
            readback.row_select.eq(registers.row_select),
        ]
        _connect_rows(m, registers, readback)


def _connect_rows(m, registers, component):
    """Every row port of a component to the register bank's of the same name."""
    for member in component.signature.members:
        if member.startswith("cfg_"):
            source, target = getattr(registers, member), getattr(component, member)
            m.d.comb += [
                target.row.eq(source.row),
                target.select.eq(source.select),
                target.commit.eq(source.commit),
            ]
