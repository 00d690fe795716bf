"""The register bank's reference."""

import pytest

from tickgate.sw.model import registers as model
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec import rows
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=256, levels=64, stash=4)


def read(bank, name):
    found = BY_NAME[name]
    return sum(bank.read(found.offset + 4 * w) << 32 * w for w in range(found.words))


def write(bank, name, value):
    bank.write(BY_NAME[name].offset, value)


def test_registers_tell_their_identity():
    bank = Registers(SIZES, build_id=0x1122334455667788)
    assert read(bank, "map_hash") == spec.map_hash() and read(bank, "build_id") == 0x1122334455667788
    assert (read(bank, "size_slots"), read(bank, "core_clock_khz")) == (4, 156_250)
    assert bank.read(0xFFC) == 0 == read(bank, "kill")
    bank.write(0xFFC, 1)
    write(bank, "map_hash", 5)
    assert read(bank, "map_hash") == spec.map_hash()


@pytest.mark.parametrize("record", [record for record, _ in rows.ROWS], ids=lambda r: r.name)
def test_registers_row_is_in_force_from_its_commit(record):
    bank = Registers(SIZES)
    values = {f.name: (1 << f.bits) - 1 - n % (1 << f.bits) for n, f in enumerate(record.fields)}
    selector = {r.name: s for r, s in rows.ROWS}[record.name]
    writes = spec.row_writes(record, values, 3)
    for address, value in writes[:-1]:
        bank.write(address, value)
    write(bank, "row_select", {"slot": 6}.get(selector, 3))
    found = {register.name: read(bank, register.name) for register in spec.row_registers(record)}
    assert not any(found.values())
    bank.write(*writes[-1])
    short = record.name.removesuffix("_row")
    assert {name: read(bank, f"{short}_{name}") for name in values} == values


def test_registers_group_takes_rows_over_together():
    bank = Registers(SIZES)
    write(bank, "limits_max_quantity", 5)
    write(bank, "gate_rate_burst", 7)
    write(bank, "trigger_quantity", 9)
    write(bank, "commit_group", spec.group_value(("limits", "gate", "trigger"), 2, 1))
    assert bank.rows == {
        ("limits_row", 2): {f.name: 5 * (f.name == "max_quantity") for f in rows.LIMITS_ROW.fields},
        ("gate_row", 0): {f.name: 7 * (f.name == "rate_burst") for f in rows.GATE_ROW.fields},
        ("trigger_row", 5): {f.name: 9 * (f.name == "quantity") for f in rows.TRIGGER_ROW.fields},
    }


def test_registers_commit_beyond_the_last_slot_is_ignored():
    bank = Registers(SIZES)
    write(bank, "limits_commit", 4)
    write(bank, "trigger_commit", 8)
    write(bank, "gate_commit", 77)
    assert list(bank.rows) == [("gate_row", 0)]
    write(bank, "trigger_commit", 7)
    assert len(bank.rows) == 2


def test_registers_kill_switch_and_heartbeat():
    bank = Registers(SIZES)
    assert not bank.armed
    write(bank, "arm", ARM_KEY + 1)
    assert not bank.armed
    write(bank, "arm", ARM_KEY)
    assert bank.armed and read(bank, "status") == 1
    write(bank, "kill", 0)
    assert not bank.armed
    write(bank, "heartbeat_limit_cycles", 100)
    write(bank, "arm", ARM_KEY)
    bank.cycle = 50
    write(bank, "heartbeat", 1)
    bank.cycle = 149
    assert bank.armed and read(bank, "now") == 149
    bank.cycle = 150
    assert not bank.armed and read(bank, "status") == 0b100000 and read(bank, "heartbeat_limit_cycles") == 100


def test_registers_clear_and_values_of_the_data_path():
    bank = Registers(SIZES)
    write(bank, "clear", 1)
    bank.values["orders"] = 12
    assert bank.cleared == 1 and read(bank, "orders") == 12 and read(bank, "frames") == 0


def test_registers_row_of_no_table_is_an_error(monkeypatch):
    monkeypatch.setattr(model, "ROWS", ())
    with pytest.raises(AssertionError, match="no field of a row"):
        Registers(SIZES).read(BY_NAME["gate_rate_burst"].offset)
