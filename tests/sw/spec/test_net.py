"""Headers and checksums: bytes typed by hand, the independent decoder, scapy, and real captures."""

from pathlib import Path

import oracle_net
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import defaults, net

# RFC 1071 section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2.
RFC_1071 = bytes.fromhex("0001 f203 f4f5 f6f7")
# A header of a textbook example, its checksum 0xb861 in place.
IP_HEADER = bytes.fromhex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7")

ADDRESSES = {
    "destination_mac": net.mac("01:00:5e:36:0c:6f"),
    "source_mac": net.mac("02:00:00:00:00:01"),
    "source_ip": net.ipv4("192.0.2.1"),
    "destination_ip": net.ipv4("233.54.12.111"),
    "source_port": 49649,
    "destination_port": 26477,
}


def test_sums_are_those_of_the_standard() -> None:
    assert net.ones_complement_sum(RFC_1071) == 0xDDF2
    assert net.internet_checksum(RFC_1071) == 0x220D
    assert net.ones_complement_sum(b"\x01") == 0x0100
    assert net.ones_complement_sum(b"") == 0
    assert net.ones_complement_sum(b"\xff\xff") == 0xFFFF


def test_ipv4_checksum_is_that_of_the_example() -> None:
    assert net.ipv4_checksum(IP_HEADER) == 0xB861
    assert net.internet_checksum(IP_HEADER) == 0


@given(st.binary(max_size=80), st.integers(0, 0x5FFFF))
def test_checksum_equals_the_word_by_word_loop(data: bytes, start: int) -> None:
    assert net.internet_checksum(data) == oracle_net.checksum(data)
    padded = data + bytes(len(data) % 2)
    folded = start.to_bytes(4, "big")
    assert net.internet_checksum(data, start) == oracle_net.checksum(padded + folded)


def test_udp_frame_has_the_bytes_typed_by_hand() -> None:
    expected = bytes.fromhex(
        "01005e360c6f 020000000001 08004500 001e 0000 4000 4011 8328 c0000201 e9360c6fc1f1 676d 000a 00004142"
    )
    assert net.udp_frame(b"AB", **ADDRESSES) == expected


@given(st.binary(max_size=64), st.none() | st.integers(0, 0xFFFF), st.booleans())
def test_independent_decoder_reads_udp_frames(payload: bytes, vlan: int | None, checksum: bool) -> None:
    frame = oracle_net.decode(net.udp_frame(payload, **ADDRESSES, vlan=vlan, checksum=checksum))
    assert (frame["payload"], frame["vlan"], frame["trailer"]) == (payload, vlan, b"")
    assert (frame["destination_ip"], frame["destination_port"]) == ("233.54.12.111", 26477)
    assert (frame["source_ip"], frame["source_port"]) == ("192.0.2.1", 49649)
    assert (frame["destination_mac"], frame["source_mac"]) == ("01:00:5e:36:0c:6f", "02:00:00:00:00:01")


@given(st.binary(max_size=64), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 0xFFFF))
def test_independent_decoder_reads_tcp_frames(payload: bytes, sequence: int, acknowledgment: int, window: int) -> None:
    raw = net.tcp_frame(payload, **ADDRESSES, sequence=sequence, acknowledgment=acknowledgment, window=window)
    frame = oracle_net.decode(raw)
    assert frame["payload"] == payload
    assert (frame["sequence"], frame["acknowledgment"], frame["window"]) == (sequence, acknowledgment, window)
    assert frame["flags"] == {"A", "P"}


def test_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    # The payload is the complement of what the rest sums to, so the sum is all ones and its complement zero.
    bare = net.UDP.pack(source_port=1, destination_port=2, length=10, checksum=0, payload=b"\0\0")
    start = net.pseudo_header_sum(0x01020304, 0x05060708, net.PROTOCOL_UDP, 10)
    payload = net.internet_checksum(bare, start).to_bytes(2, "big")
    datagram = bare[:8] + payload
    assert net.internet_checksum(datagram, start) == 0
    assert net.udp_checksum(0x01020304, 0x05060708, datagram) == 0xFFFF


def test_independent_decoder_notices_a_lost_carry() -> None:
    frame = bytearray(net.udp_frame(b"AB", **ADDRESSES))
    frame[24:26] = (int.from_bytes(frame[24:26], "big") + 1).to_bytes(2, "big")
    with pytest.raises(ValueError, match="IPv4 header checksum wrong"):
        oracle_net.decode(bytes(frame))


def test_addresses_read_and_print() -> None:
    assert net.mac_text(net.mac("01:00:5e:36:0c:6f")) == "01:00:5e:36:0c:6f"
    assert net.ipv4_text(net.ipv4("233.54.12.111")) == "233.54.12.111"
    assert net.mac_text(net.multicast_mac(net.ipv4("233.182.12.111"))) == "01:00:5e:36:0c:6f"
    assert net.mac_text(defaults.FEED_MAC) == "01:00:5e:36:0c:6f"


@pytest.mark.parametrize("address", ["", "1:2:3:4:5:6", "00:11:22:33:44", "00:11:22:33:44:gg"])
def test_what_is_no_mac_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="six hexadecimal bytes"):
        net.mac(address)


@pytest.mark.parametrize("address", ["", "1.2.3", "1.2.3.256", "1.2.3.x", "1.2.3.-4"])
def test_what_is_no_ipv4_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="four numbers below 256"):
        net.ipv4(address)


def test_wire_overhead_is_preamble_fcs_and_gap() -> None:
    assert net.WIRE_OVERHEAD_BYTES == 24


def test_real_captures_have_right_checksums(data_dir: Path) -> None:
    checked = 0
    for path in sorted((data_dir / "pcap").glob("nsm-*.pcap")):
        frame = path.read_bytes()[40:]
        theirs = oracle_net.decode(frame)  # verifies every checksum
        start = 18 if theirs["vlan"] is not None else 14
        header = net.IPV4.unpack(frame[start:])
        datagram = frame[start : start + header["total_length"]]
        assert net.ipv4_checksum(datagram[:20]) == header["checksum"]
        table, compute = (net.UDP, net.udp_checksum) if theirs["protocol"] == "udp" else (net.TCP, net.tcp_checksum)
        body = datagram[20:]
        assert compute(header["source_ip"], header["destination_ip"], body) == table.unpack(body)["checksum"]
        assert net.ipv4_text(header["source_ip"]) == theirs["source_ip"]
        checked += 1
    assert checked == 11
