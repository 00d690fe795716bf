"""OUCH 5.0: bytes typed by hand, the independent decoder, both revisions, and real captures."""

from pathlib import Path

import oracle_net
import oracle_ouch
import oracle_soup
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import ouch
from tickgate.sw.spec.fields import text

TIME = "00001f1aced9f001"
TIME_NS = 34_200_000_000_001
CLORDID = "48384655423849562020 20202020"  # H8FUB8IV
CVLT = "43564c5420202020"

# (inbound, name) -> (length of the older revision, bytes typed by hand, values)
GOLDEN: dict[tuple[bool, str], tuple[int, str, dict]] = {
    (True, "enter_order"): (
        47,
        f"4f 00000071 54 000000e1 {CVLT} 0000000000099db8 30 59 41 4e 4e {CLORDID} 0000",
        {
            "user_ref": 113, "side": "T", "quantity": 225, "symbol": "CVLT", "price_e4": 630_200,
            "time_in_force": "0", "display": "Y", "capacity": "A", "sweep": "N", "cross_type": "N",
            "clordid": "H8FUB8IV",
        },
    ),
    (True, "replace_order"): (
        40,
        f"55 00000071 00000072 0000012c 0000000000099db9 33 4e 59 {CLORDID} 0000",
        {
            "original_ref": 113, "user_ref": 114, "quantity": 300, "price_e4": 630_201, "time_in_force": "3",
            "display": "N", "sweep": "Y", "clordid": "H8FUB8IV",
        },
    ),
    (True, "cancel_order"): (9, "58 00000071 00000064", {"user_ref": 113, "quantity": 100}),
    (True, "modify_order"): (10, "4d 00000071 45 00000064", {"user_ref": 113, "side": "E", "quantity": 100}),
    (True, "mass_cancel"): (17, f"43 00000071 4c494d45 {CVLT}", {"user_ref": 113, "firm": "LIME", "symbol": "CVLT"}),
    (True, "disable_order_entry"): (9, "44 00000071 4c494d45", {"user_ref": 113, "firm": "LIME"}),
    (True, "enable_order_entry"): (9, "45 00000071 4c494d45", {"user_ref": 113, "firm": "LIME"}),
    (True, "account_query"): (1, "51", {}),
    (False, "system_event"): (10, f"53 {TIME} 53", {"event_code": "S"}),
    (False, "order_accepted"): (
        64,
        f"41 {TIME} 00000071 42 000000e1 {CVLT} 0000000000099db8 35 59 000000000f56b4f5 41 4e 4e 4c {CLORDID} 0000",
        {
            "user_ref": 113, "side": "B", "quantity": 225, "symbol": "CVLT", "price_e4": 630_200,
            "time_in_force": "5", "display": "Y", "order_reference": 257_340_661, "capacity": "A", "sweep": "N",
            "cross_type": "N", "order_state": "L", "clordid": "H8FUB8IV",
        },
    ),
    (False, "order_replaced"): (
        68,
        f"55 {TIME} 00000071 00000072 53 000000e1 {CVLT} 0000000000099db8 30 41 000000000f56b4f6 50 59 4f 44 {CLORDID}"
        " 0000",
        {
            "original_ref": 113, "user_ref": 114, "side": "S", "quantity": 225, "symbol": "CVLT",
            "price_e4": 630_200, "time_in_force": "0", "display": "A", "order_reference": 257_340_662,
            "capacity": "P", "sweep": "Y", "cross_type": "O", "order_state": "D", "clordid": "H8FUB8IV",
        },
    ),
    (False, "order_canceled"): (
        18, f"43 {TIME} 00000071 00000032 55", {"user_ref": 113, "quantity": 50, "reason": "U"}
    ),
    (False, "aiq_canceled"): (
        31,
        f"44 {TIME} 00000071 00000032 51 00000033 0000000000099db8 41",
        {
            "user_ref": 113, "decrement": 50, "reason": "Q", "prevented_quantity": 51, "price_e4": 630_200,
            "liquidity": "A",
        },
    ),
    (False, "order_executed"): (
        36,
        f"45 {TIME} 00000071 00000032 0000000000099db8 52 00000000000f4241 0000",
        {"user_ref": 113, "quantity": 50, "price_e4": 630_200, "liquidity": "R", "match_number": 1_000_001},
    ),
    (False, "broken_trade"): (
        36,
        f"42 {TIME} 00000071 00000000000f4241 45 {CLORDID}",
        {"user_ref": 113, "match_number": 1_000_001, "reason": "E", "clordid": "H8FUB8IV"},
    ),
    (False, "trade_correction"): (
        49,
        f"46 {TIME} 00000071 00000032 0000000000099db8 52 00000000000f4241 45 {CLORDID}",
        {
            "user_ref": 113, "quantity": 50, "price_e4": 630_200, "liquidity": "R", "match_number": 1_000_001,
            "reason": "E", "clordid": "H8FUB8IV",
        },
    ),
    (False, "rejected"): (
        29, f"4a {TIME} 00000071 0102 {CLORDID}", {"user_ref": 113, "reason": 258, "clordid": "H8FUB8IV"}
    ),
    (False, "cancel_pending"): (13, f"50 {TIME} 00000071", {"user_ref": 113}),
    (False, "cancel_reject"): (13, f"49 {TIME} 00000071", {"user_ref": 113}),
    (False, "priority_update"): (
        30,
        f"54 {TIME} 00000071 0000000000099db8 4e 000000000f56b4f5",
        {"user_ref": 113, "price_e4": 630_200, "display": "N", "order_reference": 257_340_661},
    ),
    (False, "order_modified"): (
        18, f"4d {TIME} 00000071 54 00000032", {"user_ref": 113, "side": "T", "quantity": 50}
    ),
    (False, "order_restated"): (16, f"52 {TIME} 00000071 52 0000", {"user_ref": 113, "reason": "R"}),
    (False, "mass_cancel_response"): (
        25, f"58 {TIME} 00000071 4c494d45 {CVLT}", {"user_ref": 113, "firm": "LIME", "symbol": "CVLT"}
    ),
    (False, "disable_response"): (17, f"47 {TIME} 00000071 4c494d45", {"user_ref": 113, "firm": "LIME"}),
    (False, "enable_response"): (17, f"4b {TIME} 00000071 4c494d45", {"user_ref": 113, "firm": "LIME"}),
    (False, "account_query_response"): (13, f"51 {TIME} 00000071", {"user_ref": 113}),
}  # fmt: skip

TABLES = [
    (inbound, message) for inbound in (True, False) for message in (ouch.INBOUND if inbound else ouch.OUTBOUND).values()
]


def _plain(values: dict) -> dict:
    return {name: text(value) if isinstance(value, bytes) else value for name, value in values.items()}


def _ids(value: object) -> str:
    return getattr(value, "name", "in" if value is True else "out")


def test_every_message_has_golden_bytes() -> None:
    assert {(inbound, message.name) for inbound, message in TABLES} == set(GOLDEN)
    assert len(ouch.INBOUND) == 8
    assert len(ouch.OUTBOUND) == 18


@pytest.mark.parametrize(("inbound", "message"), TABLES, ids=_ids)
def test_older_revision_encodes_and_decodes_the_golden_bytes(inbound: bool, message) -> None:  # type: ignore[no-untyped-def]
    size, typed, values = GOLDEN[inbound, message.name]
    data = bytes.fromhex(typed)
    assert len(data) == size == message.size
    if not inbound:
        values = {"timestamp_ns": TIME_NS, **values}
    assert ouch.build(message, **values) == data
    table, decoded = ouch.decode(data, inbound)
    assert table is message
    options = decoded.pop("options", None)
    decoded.pop("appendage_length", None)
    assert _plain(decoded) == {"type": message.code.decode(), **values}
    theirs = oracle_ouch.decode(data, inbound)
    assert theirs.pop("options") == options
    assert theirs == _plain(decoded)


@pytest.mark.parametrize(("inbound", "message"), TABLES, ids=_ids)
def test_newer_revision_ends_with_an_appendage(inbound: bool, message) -> None:  # type: ignore[no-untyped-def]
    _size, typed, values = GOLDEN[inbound, message.name]
    plain = bytes.fromhex(typed)
    body = plain[: message.field("appendage_length").offset] if message.tail else plain
    data = body + bytes.fromhex("0006 05 02 4c494d45")
    extended = (ouch.INBOUND_EXTENDED if inbound else ouch.OUTBOUND_EXTENDED)[data[0]]
    if not inbound:
        values = {"timestamp_ns": TIME_NS, **values}
    assert ouch.build(extended, [(2, "LIME")], **values) == data
    table, decoded = ouch.decode(data, inbound)
    assert table.tail == "appendage"
    assert decoded["options"] == [(2, b"LIME")]
    assert oracle_ouch.decode(data, inbound)["options"] == [(2, b"LIME")]
    empty = body + b"\0\0"
    assert ouch.decode(empty, inbound)[1]["options"] == oracle_ouch.decode(empty, inbound)["options"] == []


def test_options_take_the_size_of_their_kind() -> None:
    options = [(1, 2**40), (6, "P"), (7, -25), (9, 630_200), (24, 7), (99, b"xyz")]
    data = bytes.fromhex(
        "09 01 0000010000000000 02 06 50 05 07 ffffffe7 09 09 0000000000099db8 03 18 0007 04 63 78797a"
    )
    assert ouch.build_appendage(options) == data
    assert ouch.parse_appendage(data) == [(1, 2**40), (6, b"P"), (7, -25), (9, 630_200), (24, 7), (99, b"xyz")]
    assert ouch.OPTION_TAGS["peg_offset_e4"] == 7


def test_option_of_an_unusual_size_keeps_its_bytes() -> None:
    assert ouch.parse_appendage(bytes.fromhex("03 02 4142")) == [(2, b"AB")]


@pytest.mark.parametrize("data", ["00", "05 02 4142", "02"])
def test_appendage_that_is_cut_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match=r"option at byte 0 of \d has the length \d"):
        ouch.parse_appendage(bytes.fromhex(data))


@pytest.mark.parametrize("option", [(300, b""), (99, bytes(255))])
def test_option_that_has_no_encoding_is_refused(option: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError, match="cannot be encoded"):
        ouch.build_appendage([option])


def test_options_for_a_message_without_appendage_are_refused() -> None:
    with pytest.raises(ValueError, match="cancel_order of this revision has no appendage"):
        ouch.build(ouch.CANCEL_ORDER, [(2, "LIME")], user_ref=1, quantity=0)


@pytest.mark.parametrize(
    ("data", "inbound", "error"),
    [
        (b"", True, "at least its type byte"),
        (b"Z", True, "no inbound message b'Z'"),
        (b"Z", False, "no outbound message b'Z'"),
        (b"X\0\0\0", True, "cancel_order has at least 9 bytes, not 4"),
        (b"X" + bytes(9), True, "cancel_order has at least 11 bytes, not 10"),
        (b"X" + bytes(9) + b"\x01", True, "the appendage has 0 bytes, its length says 1"),
    ],
)
def test_wrong_type_or_length_is_refused(data: bytes, inbound: bool, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        ouch.decode(data, inbound)


def test_enumerations_name_what_the_tables_show() -> None:
    assert ouch.Side.SELL_SHORT.value == b"T"
    assert dict(ouch.ENTER_ORDER.field("side").values)["E"] == "sell short exempt"
    assert dict(ouch.ENTER_ORDER.field("time_in_force").values)["3"] == "ioc"


@given(st.data())
def test_independent_decoder_reads_every_message(data: st.DataObject) -> None:
    inbound, message = data.draw(st.sampled_from(TABLES))
    extended = (ouch.INBOUND_EXTENDED if inbound else ouch.OUTBOUND_EXTENDED)[message.type_byte]
    table = data.draw(st.sampled_from([message, extended]))
    letters = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=4)
    values = {
        field.name: data.draw(
            st.integers(0, 256**field.size - 1) if field.is_integer else letters.map(lambda x, n=field.size: x[:n])
        )
        for field in table.fields[1:]
        if field.name != "appendage_length"
    }
    options = data.draw(st.lists(st.tuples(st.sampled_from([3, 15]), st.integers(0, 2**32 - 1)))) if table.tail else []
    raw = ouch.build(table, options, **values)
    theirs = oracle_ouch.decode(raw, inbound)
    assert theirs.pop("options") == (
        [(tag, value.to_bytes(4, "big")) for tag, value in options] if table.tail else None
    )
    assert theirs == {"type": table.code.decode(), **values}
    _table, decoded = ouch.decode(raw, inbound)
    assert decoded.get("options", []) == options


@pytest.mark.parametrize(
    ("name", "inbound", "expected"),
    [
        ("EnterOrderMessage", True, {"symbol": "CVLT", "price_e4": 630_200, "options": [(2, b"LIME")]}),
        ("OrderAcceptedMessage", False, {"symbol": "ADBE", "quantity": 40, "options": [(2, b"MLRO"), (18, b"0")]}),
        ("CancelOrderMessage", True, {"user_ref": 7_679_601, "quantity": 0, "options": None}),
    ],
)
def test_real_captures_decode_as_the_independent_decoder_says(
    data_dir: Path, name: str, inbound: bool, expected: dict
) -> None:
    frame = (data_dir / "pcap" / f"nsm-ouch50-{name}.pcap").read_bytes()[40:]
    (packet,) = oracle_soup.split(oracle_net.decode(frame)["payload"])  # type: ignore[arg-type]
    raw = packet[3:]
    theirs = oracle_ouch.decode(raw, inbound)
    assert expected.items() <= theirs.items()
    table, decoded = ouch.decode(raw, inbound)
    assert decoded.get("options") == theirs.pop("options")
    options = decoded.pop("options", [])
    decoded.pop("appendage_length", None)
    assert _plain(decoded) == theirs
    assert ouch.build(table, options, **decoded) == raw
