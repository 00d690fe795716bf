"""The probe: the parser and the gate answer over bytes as their models do."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.probe import Probe
from tickgate.sw.spec import itch, probe
from tickgate.sw.spec.events import EventKind
from tickgate.sw.spec.risk import Reason
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import SymbolState, Validity

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)
PORT = probe.BY_NAME


def talk(sent, stages=("itch", "risk"), faults=frozenset(), wait=60):
    """What comes back to each run of bytes, as (port name or None, fields) each."""
    dut, out = Probe(stages, SIZES, faults=faults), []

    async def testbench(ctx):
        rng = random.Random(4)
        for run in sent:
            for byte in run:
                ctx.set(dut.i.payload, byte)
                ctx.set(dut.i.valid, 1)
                await ctx.tick()
            ctx.set(dut.i.valid, 0)
            came = bytearray()
            for _ in range(wait):
                ctx.set(dut.o.ready, rng.random() < 0.9)
                if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                    came.append(ctx.get(dut.o.payload))
                await ctx.tick()
            out.append(bytes(came))

    simulator = Simulator(dut)
    simulator.add_clock(1e-7)
    simulator.add_testbench(testbench)
    simulator.run()
    return [decode(came) for came in out]


def decode(came):
    found = []
    while came:
        port = next((p for p in probe.PORTS if p.out and p.number == came[0]), None)
        if port is None or len(came) < 1 + port.size:
            found.append((None, bytes(came)))
            return found
        found.append((port.name, port.unpack(came[1 : 1 + port.size])))
        came = came[1 + port.size :]
    return found


def words_of(message):
    """The words of a message that begins in lane 0."""
    for at in range(0, len(message), 8):
        part = message[at : at + 8]
        last = at + 8 >= len(message)
        yield PORT["word"].pack(
            {
                "data": int.from_bytes(part, "little"),
                "start": int(at == 0),
                "length": len(message),
                "end": int(last),
                "end_lane": len(part) - 1 if last else 0,
            }
        )


def add_order(locate, reference, side, shares, price_e4):
    return itch.ADD_ORDER.pack(
        stock_locate=locate, tracking_number=0, timestamp_ns=0, reference=reference, side=side, shares=shares,
        stock="TEST", price_e4=price_e4,
    )  # fmt: skip


def parser(faults=frozenset()):
    message = add_order(7, 0x1122334455667788, "S", 300, 1_234_500)
    other = add_order(8, 5, "B", 100, 50_000)
    sent = [PORT["symbol"].pack({"valid": 1, "locate": 7}, slot=1), *words_of(message), *words_of(other)]
    return [answer for run in talk(sent, faults=faults) for answer in run]


def test_probe_parses_a_message_of_a_symbol_that_is_followed_and_drops_the_other():
    ((name, event),) = parser()
    assert name == "event"
    assert event["kind"] == EventKind.ADD and event["slot"] == 1 and event["side"] == 1
    assert (event["reference"], event["quantity"], event["price_e4"]) == (0x1122334455667788, 300, 1_234_500)


def verdicts(faults=frozenset()):
    def intent(quantity):
        return PORT["intent"].pack({"slot": 1, "side": 0, "price_e4": 10_000, "quantity": quantity})

    limits = {"max_quantity_valid": 1, "max_quantity": 100, "rate_valid": 1, "rate_burst": 2,
              "rate_period_cycles": 1 << 30}  # fmt: skip
    sent = [
        intent(100),
        PORT["levels"].pack({"kill": 0, "session_ok": 1}),
        PORT["limits"].pack(limits, slot=1),
        PORT["gate"].pack({"rate_valid": 1, "rate_burst": 9, "rate_period_cycles": 1 << 30}),
        PORT["update"].pack(
            {"slot": 1, "bid_px_e4": 9_900, "ask_px_e4": 10_100, "validity": 0, "state": 0, "itch_type": ord("A")}
        ),
        intent(100),
        intent(101),
        intent(99),
        intent(98),
        PORT["levels"].pack({"kill": 1, "session_ok": 1}),
        intent(1),
    ]
    answers = [answer for run in talk(sent, faults=faults) for answer in run]
    return [(fields["reasons"], fields["tokens_symbol"]) if name == "verdict" else name for name, fields in answers]


def test_probe_judges_intents_and_gives_the_reasons():
    first, *rest = verdicts()
    unset = Reason.KILL | Reason.MAX_QUANTITY | Reason.STALE | Reason.RATE_SYMBOL | Reason.RATE_SESSION
    assert first[0] & unset == unset and first[0] & Reason.SESSION
    assert rest == [
        (0, 1),
        (int(Reason.MAX_QUANTITY), 1),
        (0, 0),
        (int(Reason.RATE_SYMBOL), 0),
        (int(Reason.RATE_SYMBOL | Reason.KILL), 0),
    ]
    assert Validity.UNSYNCED and SymbolState.NO_STATE  # the reasons above are theirs


def test_probe_refuses_a_number_that_is_no_port_and_goes_on():
    sent = [bytes([99]), PORT["levels"].pack({"kill": 0}), PORT["intent"].pack({"quantity": 1})]
    out = talk(sent)
    assert out[0] == [(None, bytes([probe.REFUSED]))] and out[1] == []
    assert [name for name, _ in out[2]] == ["verdict"]


@pytest.mark.parametrize("fault", Probe.FAULTS)
def test_probe_with_a_planted_fault_is_caught(fault):
    faults = frozenset({fault})
    assert parser(faults) != parser() or verdicts(faults) != verdicts()


def test_ports_pack_and_unpack_what_they_carry():
    for port in probe.PORTS:
        rng = random.Random(port.number)
        widths = {f.name: f.bits for f in port.record.fields}
        values = {name: rng.getrandbits(widths[name]) for name in port.fields}
        packed = port.pack(values, slot=1)
        assert packed[0] == port.number and port.unpack(packed[1:]) == values
    with pytest.raises(ValueError, match="does not carry 'stamp'"):
        PORT["word"].pack({"stamp": 1})
    with pytest.raises(ValueError, match="quantity has 32 bits"):
        PORT["intent"].pack({"quantity": 1 << 32})
    with pytest.raises(ValueError, match="the port word has 11 bytes, not 3"):
        PORT["word"].unpack(b"abc")
    with pytest.raises(ValueError, match="the stages of a probe are itch, risk or both, not book"):
        Probe(("book",), SIZES)
