"""Fixed records, and the rows, registers and sizes that are made of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import registers
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import EVENT, TIMED, TRACES
from tickgate.sw.spec.records import Record, RecordField, record
from tickgate.sw.spec.registers import (
    ARM_KEY,
    BY_NAME,
    IDENTITY,
    MAP_HISTORY,
    MAP_VERSION,
    REGISTERS,
    Access,
    counter_names,
    group_value,
    map_hash,
    row_values,
    row_writes,
)
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import LIMITS_ROW, ROWS
from tickgate.sw.spec.sizes import LADDER, Sizes, sizes_named
from tickgate.sw.spec.state import Anomaly, Drop
from tickgate.sw.spec.units import RECIPROCAL_SHIFT, RECIPROCALS, TICKS_E4, format_price
from tickgate.sw.spec.version import release_text, release_word

SMALL = record("small", "For tests.", ("a", 3, ""), ("b", 1, ""), ("c", 12, ""))


def test_record_packs_its_first_field_lowest():
    assert SMALL.pack({"a": 5, "c": 0xABC}) == 0xABC << 4 | 5
    assert SMALL.unpack(0xABC << 4 | 5) == {"a": 5, "b": 0, "c": 0xABC}
    assert (SMALL.bits, SMALL.size_bytes) == (16, 2)
    assert [SMALL.offset_bits(name) for name in "abc"] == [0, 3, 4]
    assert SMALL.tuple_type(1, 2, 3).c == 3


@given(st.integers(0, (1 << EVENT.bits) - 1))
def test_record_comes_back(word):
    assert EVENT.pack(EVENT.unpack(word)) == word


@pytest.mark.parametrize("values, message", [
    ({"z": 1, "y": 2}, "has no field y, z"), ({"a": 8}, r"small\.a takes 0 to 7, not 8"), ({"a": -1}, "not -1"),
])  # fmt: skip
def test_record_refuses_what_does_not_fit(values, message):
    with pytest.raises(ValueError, match=message):
        SMALL.pack(values)


def test_record_cannot_be_built_wrong():
    with pytest.raises(ValueError, match="at least 1 bit wide, not 0"):
        RecordField("a", 0)
    with pytest.raises(ValueError, match="names a more than once"):
        record("r", "", ("a", 1, ""), ("a", 2, ""))
    with pytest.raises(ValueError, match=r"r\.a must be 8, 16, 32 or 64 bits, not 7"):
        Record("r", (RecordField("a", 7),), aligned=True)
    with pytest.raises(KeyError, match="has no field 'z'"):
        SMALL.offset_bits("z")


@pytest.mark.parametrize("stage", TRACES)
def test_trace_record_is_whole_bytes_and_starts_with_its_times(stage):
    trace = TRACES[stage]
    assert [f.name for f in trace.fields[:3]] == [*TIMED, "seq"]
    assert all(field.bits in (8, 16, 32, 64) for field in trace.fields)
    assert trace.size_bytes * 8 == trace.bits


def test_registers_lie_side_by_side_and_inside_the_address_space():
    ends = 0
    for register in REGISTERS:
        assert register.offset >= ends
        assert register.offset % 4 == 0
        ends = register.offset + 4 * register.words
    assert ends <= 1 << registers.ADDRESS_BITS
    assert len(BY_NAME) == len(REGISTERS)
    assert REGISTERS[0].name == "map_hash"


def test_registers_have_a_counter_for_every_enumeration():
    names = counter_names()
    assert len(set(names)) == len(names)
    assert {f"drop_{d.name.lower()}" for d in Drop} <= set(names)
    assert {f"anomaly_{a.name.lower()}" for a in Anomaly if a} <= set(names)
    assert {f"reject_{r.name.lower()}" for r in Reason} <= set(names)
    assert all(BY_NAME[name].access is Access.RO for name in names)


def test_registers_hold_every_field_of_every_row():
    for row, _ in ROWS:
        short = row.name.removesuffix("_row")
        assert [BY_NAME[f"{short}_{f.name}"].bits for f in row.fields] == [f.bits for f in row.fields]
        assert f"{short}_commit" in BY_NAME


def test_row_writes_fill_the_shadow_and_commit():
    writes = row_writes(LIMITS_ROW, {"max_notional_e4": 0x1_0000_0002}, 5)
    at = BY_NAME["limits_max_notional_e4"].offset
    assert [w for w in writes if w[0] in (at, at + 4)] == [(at, 2), (at + 4, 1)]
    assert writes[-1] == (BY_NAME["limits_commit"].offset, 5)
    with pytest.raises(ValueError, match="has no field"):
        row_writes(LIMITS_ROW, {"nothing": 1})


def test_map_hash_is_that_of_its_version():
    assert MAP_HISTORY[MAP_VERSION] == map_hash(), "count MAP_VERSION up and add the new hash to MAP_HISTORY"
    assert max(MAP_HISTORY) == MAP_VERSION and len(set(MAP_HISTORY.values())) == len(MAP_HISTORY)


def test_identity_is_at_the_start_of_the_map():
    assert [r.name for r in REGISTERS[: len(IDENTITY)]] == list(IDENTITY)
    assert REGISTERS[0].offset == 0 and BY_NAME["scratch"].offset == 40


def test_row_values_come_back_from_their_writes():
    values = {f.name: 1 << f.bits - 1 for f in LIMITS_ROW.fields}
    words = dict(row_writes(LIMITS_ROW, values)[:-1])
    assert row_values(LIMITS_ROW, words) == values


def test_group_value_names_rows_by_their_place():
    assert group_value(("feed", "limits"), 3, 1) == 0x1107
    with pytest.raises(ValueError, match="a row is one of feed, .* not 'x'"):
        group_value(("x",))


def test_release_is_that_of_the_package(repository):
    text = (repository / "pyproject.toml").read_text()
    assert re.search(r'^version = "([\d.]*\d)', text, re.MULTILINE)[1] == release_text(release_word())


def test_map_hash_changes_with_the_map(monkeypatch):
    before = map_hash()
    assert 0 < before < 1 << 32
    monkeypatch.setattr(registers, "REGISTERS", REGISTERS[:-1])
    assert map_hash() != before
    assert ARM_KEY.to_bytes(4, "big") == b"ARM!"


def test_register_map_that_does_not_fit_cannot_be_built(monkeypatch):
    monkeypatch.setattr(registers, "ADDRESS_BITS", 10)
    with pytest.raises(ValueError, match="beyond 10 address bits"):
        registers._build()


def test_registers_that_reach_the_histograms_cannot_be_built(monkeypatch):
    monkeypatch.setattr(registers, "HISTOGRAMS_AT", 0x400)
    with pytest.raises(ValueError, match="beyond the histograms at 0x400"):
        registers._build()


def test_every_active_reason_is_a_reason():
    assert ACTIVE_REASONS & ~sum(Reason) == 0
    assert Reason.DUPLICATE not in ACTIVE_REASONS


def test_sizes_follow_from_their_numbers():
    sizes = sizes_named("medium")
    assert sizes is LADDER["medium"]
    assert (sizes.slot_bits, sizes.level_bits, sizes.level_memory_bits) == (3, 10, 8 * 2 * 1024 * 48)


@pytest.mark.parametrize("wrong, message", [
    ({"slots": 3}, "size slots must be a power of two from 2 to 64, not 3"),
    ({"slots": 128}, "not 128"),
    ({"orders": 131_072}, "size orders must be a power of two from 256 to 65,536, not 131,072"),
    ({"levels": 32}, "size levels must be a power of two from 64 to 4,096, not 32"),
    ({"stash": 65}, "size stash must be from 4 to 64, not 65"),
])  # fmt: skip
def test_sizes_out_of_range_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Sizes(**wrong)


def test_sizes_of_an_unknown_name_are_refused():
    with pytest.raises(UserError, match="size must be one of small, medium, large, not 'huge'"):
        sizes_named("huge")


@given(st.integers(0, (1 << 32) - 1), st.sampled_from(range(len(TICKS_E4))))
def test_reciprocal_divides_every_price(price, index):
    assert price * RECIPROCALS[index] >> RECIPROCAL_SHIFT == price // TICKS_E4[index]


@pytest.mark.parametrize("index", range(len(TICKS_E4)))
def test_reciprocal_divides_around_every_edge(index):
    tick = TICKS_E4[index]
    for multiple in (*range(0, 1 << 32, (1 << 32) // 997 // tick * tick), ((1 << 32) - 1) // tick * tick):
        for price in (max(0, multiple - 1), multiple):
            assert price * RECIPROCALS[index] >> RECIPROCAL_SHIFT == price // tick


def test_price_is_shown_with_four_decimals():
    assert [format_price(p) for p in (3_211_500, 1, 0)] == ["321.1500", "0.0001", "0.0000"]
