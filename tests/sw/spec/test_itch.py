"""ITCH 5.0: bytes typed by hand from the specification, the independent decoder, and real files, against the tables."""

import struct
from pathlib import Path

import oracle_itch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import itch
from tickgate.sw.spec.fields import text

# Header of every golden message: stock locate 13, tracking number 2, 09:30:00.000000001 since midnight.
HEAD = "000d 0002 1f1aced9f001"
HEADER = {"stock_locate": 13, "tracking_number": 2, "timestamp_ns": 34_200_000_000_001}
AAPL = "4141504c20202020"

# name -> (bytes typed by hand: type, header, body; values)
GOLDEN: dict[str, tuple[str, dict]] = {
    "system_event": (f"53 {HEAD} 51", {"event_code": "Q"}),
    "stock_directory": (
        f"52 {HEAD} {AAPL} 51 4e 00000064 4e 43 5a20 50 4e 20 31 59 00000003 4e",
        {
            "stock": "AAPL", "market_category": "Q", "financial_status": "N", "round_lot_size": 100,
            "round_lots_only": "N", "issue_classification": "C", "issue_subtype": "Z", "authenticity": "P",
            "short_sale_threshold": "N", "ipo_flag": "", "luld_tier": "1", "etp_flag": "Y", "etp_leverage": 3,
            "inverse": "N",
        },
    ),
    "trading_action": (
        f"48 {HEAD} {AAPL} 48 20 54312020",
        {"stock": "AAPL", "trading_state": "H", "reserved": "", "reason": "T1"},
    ),
    "reg_sho": (f"59 {HEAD} {AAPL} 31", {"stock": "AAPL", "reg_sho_action": "1"}),
    "market_participant_position": (
        f"4c {HEAD} 4d41584d {AAPL} 59 4e 41",
        {
            "mpid": "MAXM", "stock": "AAPL", "primary_market_maker": "Y", "market_maker_mode": "N",
            "participant_state": "A",
        },
    ),
    "mwcb_decline_level": (
        f"56 {HEAD} 0000004a817c8000 000000456d3f9a40 0000003ba43b7400",
        {"level1_e8": 320_000_000_000, "level2_e8": 298_185_628_224, "level3_e8": 256_158_430_208},
    ),
    "mwcb_status": (f"57 {HEAD} 32", {"breached_level": "2"}),
    "quoting_period_update": (
        f"4b {HEAD} {AAPL} 0000a8c0 41 000f4240",
        {"stock": "AAPL", "release_time_s": 43_200, "release_qualifier": "A", "price_e4": 1_000_000},
    ),
    "luld_auction_collar": (
        f"4a {HEAD} {AAPL} 000f4240 00100590 000e7ef0 00000001",
        {
            "stock": "AAPL", "reference_price_e4": 1_000_000, "upper_price_e4": 1_050_000, "lower_price_e4": 950_000,
            "extension": 1,
        },
    ),
    "operational_halt": (f"68 {HEAD} {AAPL} 51 48", {"stock": "AAPL", "market_code": "Q", "action": "H"}),
    "add_order": (
        f"41 {HEAD} 0102030405060708 42 00000064 {AAPL} 00310110",
        {"reference": 0x0102030405060708, "side": "B", "shares": 100, "stock": "AAPL", "price_e4": 3_211_536},
    ),
    "add_order_mpid": (
        f"46 {HEAD} 0102030405060708 53 0000012c {AAPL} 00310110 4d41584d",
        {
            "reference": 0x0102030405060708, "side": "S", "shares": 300, "stock": "AAPL", "price_e4": 3_211_536,
            "mpid": "MAXM",
        },
    ),
    "order_executed": (
        f"45 {HEAD} 0000000000000007 00000032 00000000000f4241",
        {"reference": 7, "shares": 50, "match_number": 1_000_001},
    ),
    "order_executed_with_price": (
        f"43 {HEAD} 0000000000000007 00000032 00000000000f4241 4e 00310110",
        {"reference": 7, "shares": 50, "match_number": 1_000_001, "printable": "N", "price_e4": 3_211_536},
    ),
    "order_cancel": (f"58 {HEAD} 0000000000000007 0000000a", {"reference": 7, "shares": 10}),
    "order_delete": (f"44 {HEAD} 0000000000000007", {"reference": 7}),
    "order_replace": (
        f"55 {HEAD} 0000000000000007 0000000000000008 000000c8 00310111",
        {"original_reference": 7, "new_reference": 8, "shares": 200, "price_e4": 3_211_537},
    ),
    "trade": (
        f"50 {HEAD} 0000000000000000 42 00000019 {AAPL} 00310110 00000000000f4242",
        {
            "reference": 0, "side": "B", "shares": 25, "stock": "AAPL", "price_e4": 3_211_536,
            "match_number": 1_000_002,
        },
    ),
    "cross_trade": (
        f"51 {HEAD} 0000000100000000 {AAPL} 00310110 00000000000f4243 4f",
        {
            "shares": 4_294_967_296, "stock": "AAPL", "price_e4": 3_211_536, "match_number": 1_000_003,
            "cross_type": "O",
        },
    ),
    "broken_trade": (f"42 {HEAD} 00000000000f4243", {"match_number": 1_000_003}),
    "noii": (
        f"49 {HEAD} 0000000000000bb8 00000000000001f4 53 {AAPL} 00310110 00310111 00310112 43 4c",
        {
            "paired_shares": 3_000, "imbalance_shares": 500, "imbalance_direction": "S", "stock": "AAPL",
            "far_price_e4": 3_211_536, "near_price_e4": 3_211_537, "reference_price_e4": 3_211_538, "cross_type": "C",
            "price_variation": "L",
        },
    ),
    "rpii": (f"4e {HEAD} {AAPL} 42", {"stock": "AAPL", "interest_flag": "B"}),
    "direct_listing": (
        f"4f {HEAD} {AAPL} 59 000c3500 001b7740 000f4240 00001f1aced9f000 000dbba0 0010c8e0",
        {
            "stock": "AAPL", "open_eligibility": "Y", "minimum_price_e4": 800_000, "maximum_price_e4": 1_800_000,
            "near_execution_price_e4": 1_000_000, "near_execution_time_ns": 34_200_000_000_000,
            "lower_collar_e4": 900_000, "upper_collar_e4": 1_100_000,
        },
    ),
}  # fmt: skip

# Lengths of the specification, typed again.
LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
    "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def _plain(values: dict) -> dict:
    return {name: text(value) if isinstance(value, bytes) else value for name, value in values.items()}


def test_all_23_types_have_the_lengths_of_the_specification() -> None:
    assert {chr(code): size for code, size in itch.LENGTHS.items()} == LENGTHS
    assert len(itch.ALL) == len(itch.MESSAGES) == 23
    assert {message.name for message in itch.ALL} == set(GOLDEN)
    assert itch.MESSAGE_SIZE_MAX == 50
    assert itch.HEADER_SIZE == 11
    assert bytes(sorted(itch.BOOK_TYPES)) == b"ACDEFUX"


@pytest.mark.parametrize("message", itch.ALL, ids=lambda message: message.name)
def test_golden_bytes_decode_and_encode(message) -> None:  # type: ignore[no-untyped-def]
    typed, values = GOLDEN[message.name]
    data = bytes.fromhex(typed)
    expected = {"type": message.code.decode(), **HEADER, **values}
    assert _plain(message.unpack(data)) == expected
    assert oracle_itch.decode(data) == expected
    assert message.pack(**HEADER, **values) == data


@pytest.mark.parametrize("message", itch.ALL, ids=lambda message: message.name)
def test_message_starts_with_the_common_header(message) -> None:  # type: ignore[no-untyped-def]
    first = [(field.name, field.offset, field.size) for field in message.fields[:4]]
    assert first == [("type", 0, 1), ("stock_locate", 1, 2), ("tracking_number", 3, 2), ("timestamp_ns", 5, 6)]


@given(st.data())
def test_tables_agree_with_the_independent_decoder_on_any_bytes(data: st.DataObject) -> None:
    message = data.draw(st.sampled_from(itch.ALL))
    numbers = data.draw(st.binary(min_size=message.size - 1, max_size=message.size - 1))
    body = bytearray(message.code + numbers)
    for field in message.fields[1:]:
        if not field.is_integer:  # text is ASCII on the wire
            letters = bytes(0x20 + byte % 0x5F for byte in body[field.offset : field.end])
            body[field.offset : field.end] = letters
    raw = bytes(body)
    assert message.pack(**message.unpack(raw)) == raw
    ours, theirs = _plain(message.unpack(raw)), oracle_itch.decode(raw)
    assert {name: value for name, value in ours.items() if name != "type"} == {
        name: value for name, value in theirs.items() if name != "type"
    }


@pytest.mark.parametrize("name", ["real_aapl_20200130_pre", "real_directory_start_of_day", "simulated_20101224"])
def test_tables_agree_with_the_independent_decoder_on_files(data_dir: Path, name: str) -> None:
    data = (data_dir / "itch" / f"{name}.itch").read_bytes()
    position = count = 0
    while position < len(data):
        (size,) = struct.unpack_from(">H", data, position)
        raw = data[position + 2 : position + 2 + size]
        assert _plain(itch.MESSAGES[raw[0]].unpack(raw)) == oracle_itch.decode(raw)
        position += 2 + size
        count += 1
    assert count in (10_000, 1_000, 12_012)
