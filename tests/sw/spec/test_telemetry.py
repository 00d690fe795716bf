"""Telemetry frames and histogram bins as declared; bytes typed by hand."""

import pytest

from tickgate.sw.spec import telemetry
from tickgate.sw.spec.events import TRACES

HEAD = bytes.fromhex("ff ff ff ff ff ff 02 00 00 00 00 11 88 b5")


def frame(*records: bytes, version: int = 1, count: int | None = None) -> bytes:
    number = len(records) if count is None else count
    return HEAD + bytes((version, number)) + bytes.fromhex("00 00 00 07 00 00 00 02") + b"".join(records)


VERDICT = bytes.fromhex(
    "04 0a 03 00 00 00 00 05"  # risk, ten words, slot 3, its sixth record
    "00 00 00 00 00 00 01 00"  # cycle
    "00 00 00 00 00 00 00 e0"  # stamp
    "00 00 00 00 00 00 00 2a"  # sequence number
    "00 00 00 00 00 00 00 fc"  # entry
    "00 00 00 00 00 00 00 29"  # as of
    "00 00 00 00 00 0f 42 40"  # notional
    "00 00 00 50 00 00 27 10"  # reasons, reference
    "00 00 27 11 00 00 00 64"  # price, quantity
    "00 01 00 02 01 02 04 00"  # tokens, side, validity, state
)


def test_telemetry_frame_typed_by_hand_decodes():
    header, records = telemetry.decode(frame(VERDICT))
    assert header == {"version": 1, "count": 1, "frame_sequence": 7, "lost": 2}
    ((stage, values),) = records
    assert stage == "risk"
    expected = {
        "telemetry_class": 4, "words": 10, "slot": 3, "telemetry_flags": 0, "number": 5, "cycle": 256, "stamp": 224,
        "seq": 42, "entry_cycle": 252, "as_of_seq": 41, "notional_e4": 1_000_000, "reasons": 0x50,
        "reference_e4": 10_000, "price_e4": 10_001, "quantity": 100, "tokens_symbol": 1, "tokens_session": 2,
        "side": 1, "validity": 2, "state": 4, "padding": b"\0",
    }  # fmt: skip
    assert values == expected


@pytest.mark.parametrize(
    ("data", "message"),
    (
        (b"", "not a telemetry frame"),
        (bytes(64), "not a telemetry frame"),
        (frame(version=2), "telemetry version 2, not 1"),
        (frame(count=1), "record 0 has no known class"),
        (frame(b"\x06\x06" + bytes(46)), "record 0 has no known class"),
        (frame(b"\x00\x02" + bytes(46)), "record 0 says 2 words"),
        (frame(VERDICT[:-1]), "80 bytes, not 79"),
    ),
)
def test_telemetry_decode_refuses_what_is_no_telemetry(data, message):
    with pytest.raises(ValueError, match=message):
        telemetry.decode(data)


def test_telemetry_fields_are_those_of_the_trace_records():
    own = {"telemetry_class", "words", "slot", "telemetry_flags", "number", "padding"}
    for stage, record in telemetry.RECORDS.items():
        trace = {f.name: f.bits for f in TRACES[stage].fields}
        for field in record.fields:
            assert field.name in own or trace[field.name] in (8 * field.size, 64), (stage, field.name)


@pytest.mark.parametrize(
    ("fields", "message"),
    (
        ((("count", 4, telemetry.Kind.UINT, ""),), "are not whole words"),
        (tuple((f"word_{n}", 8, telemetry.Kind.UINT, "") for n in range(10)), "do not fit a frame"),
    ),
)
def test_telemetry_record_that_no_frame_can_hold_is_refused(monkeypatch, fields, message):
    monkeypatch.setitem(telemetry._FIELDS, "orders", fields)
    with pytest.raises(ValueError, match=message):
        telemetry._record("orders")


def test_telemetry_bins_cover_every_latency_once():
    assert [telemetry.bin_start(n) for n in (0, 1, 15, 16, 17, 18, 19, 31)] == [0, 1, 15, 16, 24, 32, 48, 3072]
    for latency in range(5000):
        at = telemetry.bin_of(latency)
        assert telemetry.bin_start(at) <= latency
        assert at == telemetry.BINS - 1 or latency < telemetry.bin_start(at + 1)
