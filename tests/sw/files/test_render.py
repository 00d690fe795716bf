"""Messages as dictionaries and as lines."""

import oracle_itch
import pytest
import sample_feed

from tickgate.sw.files import render
from tickgate.sw.spec import itch, ouch
from tickgate.sw.spec.fields import Kind


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Kind.PRICE, 3_211_536, "321.1536"),
        (Kind.PRICE, 7, "0.0007"),
        (Kind.SIGNED_PRICE, -15_000, "-1.5000"),
        (Kind.PRICE8, 320_000_000_001, "3200.00000001"),
        (Kind.TIMESTAMP, 34_200_000_000_001, "09:30:00.000000001"),
        (Kind.UINT, 5, "5"),
    ],
)
def test_numbers_show_their_unit(kind: Kind, value: int, expected: str) -> None:
    assert render.integer_text(kind, value) == expected


@pytest.mark.parametrize("raw", sample_feed.every_type(), ids=[message.name for message in itch.ALL])
def test_record_says_what_the_independent_decoder_reads(raw: bytes) -> None:
    record = render.itch_record(raw)
    assert record.pop("message") == itch.MESSAGES[raw[0]].name
    assert record == oracle_itch.decode(raw)


@pytest.mark.parametrize("raw", [b"", b"Zab", sample_feed.delete(1) + b"!"])
def test_unreadable_message_keeps_its_bytes(raw: bytes) -> None:
    expected = {"message": "unknown", "type": raw[:1].decode(), "length": len(raw), "raw": raw.hex()}
    assert render.itch_record(raw) == expected


def test_line_names_units_only_where_the_value_does_not_show_them() -> None:
    raw = sample_feed.add(7, side="S", shares=300, price_e4=1_234_500, locate=13, time_ns=34_200_000_000_001)
    assert render.line(render.itch_record(raw), itch.ADD_ORDER) == (
        "A add_order stock_locate=13 tracking_number=0 timestamp=09:30:00.000000001 reference=7 side=S shares=300 "
        "stock=AAPL price=123.4500"
    )
    assert render.line(render.itch_record(b"Zab"), None) == "Z unknown length=3 raw=5a6162"
    assert render.line({"message": "heartbeat", "note": ""}, None) == "- heartbeat note=''"


def test_ouch_record_names_its_options() -> None:
    raw = ouch.build(ouch.INBOUND_EXTENDED[ord("X")], [(2, "FIRM"), (7, -5), (99, b"\1")], user_ref=1, quantity=0)
    record = render.ouch_record(raw, True)
    assert record["message"] == "cancel_order"
    assert record["options"] == {"firm": "FIRM", "peg_offset_e4": -5, "tag_99": "01"}
    assert "options={firm=FIRM peg_offset_e4=-5 tag_99=01}" in render.line(record, ouch.CANCEL_ORDER)
    older = render.ouch_record(ouch.build(ouch.CANCEL_ORDER, user_ref=1, quantity=0), True)
    assert older == {"message": "cancel_order", "type": "X", "user_ref": 1, "quantity": 0}
    assert render.ouch_record(b"?", True)["message"] == "unknown"


def test_option_of_an_unusual_size_is_shown_as_bytes() -> None:
    assert render.option_item(2, b"AB") == ("tag_2", "4142")
    assert render.option_item(3, b"\1") == ("tag_3", "01")
    assert render.option_item(3, 1) == ("minimum_quantity", 1)
