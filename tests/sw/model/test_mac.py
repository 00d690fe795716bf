"""The model of the MAC: its check sequence is zlib's, its frames are cocotbext-eth's, and every verdict is reached."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.model import mac as model
from tickgate.sw.model.mac import ERROR, VALID, Mac, carrier, fcs, on_wire, register
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.mac import Verdict
from tickgate.sw.spec.registers import counter_names

FRAME = bytes(range(64))


def received(symbols, **options):
    port = Mac(**options)
    return list(port.receive([*symbols, 0])), {name: count for name, count in port.counters.items() if count}


@given(st.binary(max_size=2000))
def test_mac_check_sequence_is_zlibs(data):
    assert fcs(data) == zlib.crc32(data).to_bytes(4, "little")


@given(st.binary(max_size=300))
def test_mac_check_sequence_leaves_the_residue(data):
    assert register(data + fcs(data)) == mac.FCS_RESIDUE


def test_mac_counters_are_registers():
    assert set(model.COUNTERS) <= set(counter_names())


def test_mac_good_frame_is_received_without_its_check_sequence():
    assert received(carrier(on_wire(FRAME))) == ([(FRAME, Verdict.GOOD)], {"mac_rx_good": 1})


@pytest.mark.parametrize("preamble", [0, 1, 6, 8, 40])
def test_mac_preamble_of_any_length_is_taken(preamble):
    assert received(carrier(on_wire(FRAME, preamble=preamble)))[0] == [(FRAME, Verdict.GOOD)]


@pytest.mark.parametrize(
    ("symbols", "frame", "verdict"),
    [
        (carrier(on_wire(FRAME, bad_fcs=1)), FRAME, Verdict.FCS),
        (carrier(on_wire(FRAME), {0}), FRAME, Verdict.ERROR),
        (carrier(on_wire(FRAME, bad_fcs=1), {75}), FRAME, Verdict.ERROR),
        (carrier(on_wire(FRAME[:59])), FRAME[:59], Verdict.RUNT),
        (carrier(on_wire(FRAME[:60])), FRAME[:60], Verdict.GOOD),
        (carrier(on_wire(FRAME)[:-3]), FRAME[:61], Verdict.FCS),
        (carrier(on_wire(b"")), b"", Verdict.RUNT),
        (carrier(on_wire(b"")[:9]), b"", Verdict.RUNT),
        (carrier(on_wire(bytes(1518))), bytes(1518), Verdict.GOOD),
        (carrier(on_wire(bytes(1519))), bytes(1518), Verdict.OVERSIZE),
        (carrier(on_wire(bytes(1600), bad_fcs=1)), bytes(1518), Verdict.OVERSIZE),
        (carrier(on_wire(bytes(1600)), {8 + 1522}), bytes(1518), Verdict.ERROR),
        (carrier(on_wire(bytes(1600)), {8 + 1523}), bytes(1518), Verdict.OVERSIZE),
    ],
)
def test_mac_verdict(symbols, frame, verdict):
    assert received(symbols) == ([(frame, verdict)], {f"mac_rx_{verdict.name.lower()}": 1})
    assert received(symbols, store_and_forward=True)[0] == ([(frame, verdict)] if verdict is Verdict.GOOD else [])


def test_mac_carrier_without_a_start_of_frame_is_counted():
    assert received(carrier(b"\x55" * 9)) == ([], {"mac_rx_no_sfd": 1})


def test_mac_without_a_carrier_nothing_is_said():
    assert received([0, ERROR | 0x0E, mac.SFD_BYTE, 0]) == ([], {})


def test_mac_carrier_that_has_not_ended_gives_nothing():
    assert list(Mac().receive(carrier(on_wire(FRAME)))) == []


def test_mac_sends_what_it_receives():
    port = Mac()
    symbols = port.send(FRAME) + port.send(FRAME, error=True) + port.send(b"\1") + port.send_cut(FRAME[:8])
    found = [(r.frame, r.verdict) for r in port.receive(symbols)]
    assert found == [(FRAME, Verdict.GOOD), (FRAME, Verdict.FCS), (b"\1" + bytes(59), Verdict.GOOD),
                     (FRAME[:8], Verdict.ERROR)]  # fmt: skip
    assert {name: count for name, count in port.counters.items() if count} == {
        "mac_tx_good": 2, "mac_tx_poisoned": 1, "mac_tx_underrun": 1,
        "mac_rx_good": 2, "mac_rx_fcs": 1, "mac_rx_error": 1,
    }  # fmt: skip


@pytest.mark.parametrize("length", [1, 46, 59, 60, 61, 1514])
def test_mac_wire_bytes_are_those_of_cocotbext_eth(length):
    from cocotbext.eth import GmiiFrame

    frame = random.Random(length).randbytes(length)
    symbols = Mac().send(frame)
    assert bytes(s & 0xFF for s in symbols if s & VALID) == bytes(GmiiFrame.from_payload(frame))
    assert len(symbols) == len(bytes(GmiiFrame.from_payload(frame))) + net.INTERFRAME_GAP_BYTES


@pytest.mark.parametrize("tagged", [False, True])
def test_mac_scapy_frame_passes(tagged):
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Dot1Q, Ether

    link = Ether(dst="01:00:5e:36:0c:6f", src="02:00:00:00:00:01")
    frame = bytes((link / Dot1Q(vlan=7) if tagged else link) / IP(dst="233.54.12.111") / UDP() / bytes(40))
    assert received(carrier(on_wire(frame)))[0] == [(frame, Verdict.GOOD)]
