"""What a device is configured to do, and the register writes that load it."""

import pytest

from tickgate.sw.spec import rows
from tickgate.sw.spec.config import Config, SlotConfig, ascii_field, symbol_row
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4


def test_config_writes_end_with_the_feed_row_and_the_arm_key():
    slot = SlotConfig(symbol_row(13, "AAPL", 100, 1_000_000, 64), ({"kind": 1}, {"kind": 2}), {"max_quantity": 5})
    config = Config({"dst_port": 7}, (slot, slot))
    writes = config.writes()
    assert writes[-1] == (BY_NAME["arm"].offset, ARM_KEY)
    assert writes[-2] == (BY_NAME["feed_commit"].offset, 0)
    commits = [value for offset, value in writes if offset == BY_NAME["trigger_commit"].offset]
    assert commits == [0, 1, 2, 3]
    assert Config().writes()[-1][0] == BY_NAME["arm"].offset
    assert Config(armed=False).writes()[-1][0] == BY_NAME["feed_commit"].offset


def test_config_writes_wide_fields_lowest_word_first():
    slot = SlotConfig(symbol_row(13, "AAPL", 100, 1_000_000, 64))
    at = BY_NAME["symbol_symbol"].offset
    assert [value for offset, value in Config(slots=(slot,)).writes() if offset in (at, at + 4)] == [
        int.from_bytes(b"    ", "big"), int.from_bytes(b"AAPL", "big"),
    ]  # fmt: skip


def test_config_locates_are_those_of_slots_in_use():
    used = SlotConfig(symbol_row(13, "AAPL", 100, 1_000_000, 64))
    assert Config(slots=(SlotConfig({}), used, SlotConfig({"locate": 5}))).locates() == {13: 1}


def test_symbol_row_holds_what_follows_from_its_tick():
    for index, tick in enumerate(TICKS_E4):
        row = symbol_row(1, "A", tick, 10 * tick, 256, True)
        assert (row["tick"], row["reciprocal"], row["span_e4"]) == (index, RECIPROCALS[index], 256 * tick)
        assert rows.SYMBOL_ROW.unpack(rows.SYMBOL_ROW.pack(row)) == row


@pytest.mark.parametrize("tick, base, message", [
    (7, 0, "tick_e4 must be one of"), (100, 50, "multiple of the tick"), (100, -100, "multiple of the tick"),
    (100, 4_294_960_000 + 6_600, "at most"),
])  # fmt: skip
def test_symbol_row_refuses_a_window_that_is_none(tick, base, message):
    with pytest.raises(ValueError, match=message):
        symbol_row(1, "A", tick, base, 64)


def test_ascii_field_has_its_first_character_highest():
    assert ascii_field("AB", 4) == 0x41422020
    with pytest.raises(ValueError, match="longer than 2"):
        ascii_field("ABC", 2)
    with pytest.raises(UnicodeEncodeError):
        ascii_field("é", 2)
