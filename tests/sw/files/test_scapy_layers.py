"""scapy layers made from the tables: built from fields they give the bytes that the tables and captures have."""

from pathlib import Path

import oracle_mold
import oracle_ouch
import oracle_soup
import pytest
import sample_feed

from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.spec import itch, ouch, soup

scapy_packet = pytest.importorskip("scapy.packet", reason="scapy is not installed")
from scapy.layers.inet import IP, TCP, UDP  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from scapy.packet import NoPayload, Packet, Raw  # noqa: E402

from tickgate.sw.files.scapy_layers import (  # noqa: E402
    ITCH,
    OUCH_INBOUND,
    OUCH_INBOUND_EXTENDED,
    OUCH_OUTBOUND,
    OUCH_OUTBOUND_EXTENDED,
    SOUP_CLIENT,
    SOUP_SERVER,
    IntegerField,
    MoldBlock,
    MoldUDP64,
    OuchOption,
    SoupBinTCP,
    itch_message,
    ouch_message,
    soup_class,
)

FEED = sample_feed.every_type()


def rebuilt(packet: Packet) -> bytes:
    """The bytes built from the fields alone, with lengths and counts left out."""

    def fresh(old: Packet) -> Packet:
        values = {}
        for field in old.fields_desc:
            value = old.getfieldval(field.name)
            if field.name in ("length", "count", "appendage_length") and not isinstance(field, IntegerField):
                continue
            if isinstance(value, list):
                value = [fresh(item) for item in value]
            elif isinstance(value, Packet):
                value = fresh(value)
            values[field.name] = value
        new = old.__class__(**values)
        if not isinstance(old.payload, NoPayload):
            new = new / fresh(old.payload)
        return new

    return fresh(packet).build()


@pytest.mark.parametrize("raw", FEED, ids=[message.name for message in itch.ALL])
def test_itch_layer_builds_the_bytes_that_it_read(raw: bytes) -> None:
    layer = itch_message(raw)
    assert type(layer) is ITCH[raw[0]]
    assert rebuilt(layer) == raw
    values = itch.MESSAGES[raw[0]].unpack(raw)
    assert {name: layer.getfieldval(name) for name in values} == values
    assert ITCH[raw[0]](**values).build() == raw


def test_unknown_type_and_wrong_length_are_raw() -> None:
    assert isinstance(itch_message(b"Z" + bytes(20)), Raw)
    assert isinstance(itch_message(FEED[0] + b"!"), Raw)
    assert isinstance(ouch_message(b"Z", True), Raw)


def test_mold_layer_counts_and_measures_its_blocks() -> None:
    built = MoldUDP64(session="SESSION001", sequence=7, blocks=[MoldBlock(message=itch_message(raw)) for raw in FEED])
    assert oracle_mold.decode(built.build()) == ("SESSION001", 7, 23, FEED)
    assert built.build() == sample_feed.mold(7, FEED)
    layer = MoldUDP64(sample_feed.mold(7, FEED))
    assert [bytes(block.message) for block in layer.blocks] == FEED
    assert rebuilt(layer) == sample_feed.mold(7, FEED)


def test_mold_end_of_session_holds_no_blocks() -> None:
    layer = MoldUDP64(sample_feed.mold(7, [], count=0xFFFF))
    assert (layer.count, layer.blocks) == (0xFFFF, [])


@pytest.mark.parametrize(
    ("classes", "tables", "inbound"),
    [
        (OUCH_INBOUND, ouch.INBOUND, True),
        (OUCH_OUTBOUND, ouch.OUTBOUND, False),
        (OUCH_INBOUND_EXTENDED, ouch.INBOUND_EXTENDED, True),
        (OUCH_OUTBOUND_EXTENDED, ouch.OUTBOUND_EXTENDED, False),
    ],
)
def test_ouch_layers_build_what_the_tables_build(classes: dict, tables: dict, inbound: bool) -> None:
    for code, table in tables.items():
        values = {
            field.name: 1 if field.is_integer else b"A" * field.size
            for field in table.fields
            if field.name not in ("type", "appendage_length")
        }
        options = [(2, b"FIRM"), (7, -5)] if table.tail else []
        raw = ouch.build(table, options, **values)
        layer = ouch_message(raw, inbound)
        assert type(layer) is classes[code]
        assert rebuilt(layer) == raw
        appendage = [OuchOption(tag=2, value=b"FIRM"), OuchOption(tag=7, value=b"\xff\xff\xff\xfb")]
        more = {"appendage": appendage} if table.tail else {}
        assert classes[code](**values, **more).build() == raw
        oracle_ouch.decode(raw, inbound)


def test_soup_layers_build_what_the_tables_build() -> None:
    order = ouch.build(ouch.CANCEL_ORDER, user_ref=1, quantity=2)
    stream = [
        soup.build(soup.LOGIN_REQUEST, user="user", password="password", session="", sequence=1),
        soup.build(soup.UNSEQUENCED_DATA, payload=order),
        soup.build(soup.CLIENT_HEARTBEAT),
        soup.build(soup.DEBUG, text=b"hello"),
        soup.build(soup.LOGIN_ACCEPTED, session="S", sequence=9),
        soup.build(soup.LOGIN_REJECTED, reason="A"),
        soup.build(soup.SEQUENCED_DATA, payload=ouch.build(ouch.CANCEL_PENDING, timestamp_ns=1, user_ref=1)),
        soup.build(soup.END_OF_SESSION),
    ]
    layer = SoupBinTCP(b"".join(stream))
    assert [bytes(packet) for packet in layer.packets] == stream == oracle_soup.split(b"".join(stream))
    assert rebuilt(layer) == b"".join(stream)
    assert SOUP_CLIENT[ord("U")](data=OUCH_INBOUND[ord("X")](user_ref=1, quantity=2)).build() == stream[1]
    assert SOUP_SERVER[ord("H")]().build() == b"\0\1H"


def test_direction_follows_the_ports() -> None:
    order = soup.build(soup.UNSEQUENCED_DATA, payload=ouch.build(ouch.CANCEL_ORDER, user_ref=1, quantity=2))
    to_server = Ether(sample_feed.tcp_frame(order, 42277, 8001))
    assert to_server[SoupBinTCP].packets[0].name == "SoupClientUnsequencedData"
    from_server = Ether(sample_feed.tcp_frame(order, 8003, 42277))
    assert from_server[SoupBinTCP].packets[0].name == "SoupServerUnsequencedData"


@pytest.mark.parametrize("data", [b"\0", b"\0\5Uab", b"\0\1?", b"\0\2H!", b"\0\1A"])
def test_cut_or_unknown_soup_is_raw(data: bytes) -> None:
    assert soup_class(data) is Raw


def test_whole_frame_builds_with_right_lengths_and_checksums() -> None:
    import oracle_net

    order = OUCH_INBOUND[ord("X")](user_ref=1, quantity=2)
    frame = (
        Ether(dst="02:00:00:00:00:20", src="02:00:00:00:00:10")
        / IP(src="198.51.100.1", dst="198.51.100.2")
        / TCP(sport=42277, dport=8001, flags="PA")
        / SoupBinTCP(packets=[SOUP_CLIENT[ord("U")](data=order)])
    ).build()
    assert oracle_net.decode(frame)["payload"] == b"\0\x0aUX" + bytes.fromhex("00000001 00000002")
    feed = (Ether() / IP(dst="233.54.12.111") / UDP(dport=26477) / MoldUDP64(sequence=1)).build()
    assert MoldUDP64 in Ether(feed)


def test_real_captures_build_the_bytes_that_they_hold(data_dir: Path) -> None:
    checked = 0
    for path in sorted((data_dir / "pcap").glob("nsm-*.pcap")):
        with PcapReader(path) as reader:
            ((_time_ns, frame),) = reader.packets()
        packet = Ether(frame)
        layer = packet.getlayer(MoldUDP64) or packet.getlayer(SoupBinTCP)
        raw = bytes(layer)
        assert raw in frame
        assert rebuilt(layer) == raw
        checked += 1
    assert checked == 11
