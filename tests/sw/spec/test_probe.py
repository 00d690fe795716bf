"""Bytes of the probe's ports, laid out by hand."""

import pytest

from tickgate.sw.spec.probe import BY_NAME, PORTS, REFUSED


def test_numbers_are_one_byte_and_say_the_direction():
    assert len({port.number for port in PORTS}) == len(PORTS)
    assert all(port.number != REFUSED and (port.number >= 0x80) == port.out for port in PORTS)


def test_levels_are_two_bits():
    port = BY_NAME["levels"]
    assert (port.bits, port.size) == (2, 1)
    assert port.pack({"session_ok": 1}) == bytes([7, 0b10])
    assert port.unpack(bytes([0b01])) == {"kill": 1, "session_ok": 0}


def test_row_has_its_slot_in_front():
    port = BY_NAME["symbol"]
    assert (port.bits, port.size) == (17, 4)
    packed = port.pack({"valid": 1, "locate": 0x0107}, slot=3)
    assert packed[:2] == bytes([2, 3])
    assert port.unpack(packed[1:]) == {"valid": 1, "locate": 0x0107}


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.name)
def test_every_port_carries_all_ones_of_its_fields_and_nothing_else(port):
    widths = {field.name: field.bits for field in port.record.fields if field.name in port.fields}
    ones = {name: (1 << bits) - 1 for name, bits in widths.items()}
    packed = port.pack(ones)
    assert len(packed) == 1 + port.size
    assert sum(byte.bit_count() for byte in packed[1:]) == port.bits == sum(widths.values())
    assert port.unpack(packed[1:]) == ones


def test_what_a_port_does_not_carry_is_refused():
    with pytest.raises(ValueError, match="does not carry 'locate'"):
        BY_NAME["levels"].pack({"locate": 1})
    with pytest.raises(ValueError, match="kill has 1 bits, 2 does not fit"):
        BY_NAME["levels"].pack({"kill": 2})
    with pytest.raises(ValueError, match="has 1 bytes, not 2"):
        BY_NAME["levels"].unpack(b"ab")
