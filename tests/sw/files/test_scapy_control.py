"""scapy reads and builds the same control frames as the tables do."""

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tickgate.sw.files.scapy_control import Control, ControlEntry, TelemetryHead
from tickgate.sw.spec import control, telemetry
from tickgate.sw.spec.control import Operation

FRAMES = (
    control.encode(Operation.HELLO, 0x0123456789ABCDEF, 1),
    control.encode(Operation.WRITE, 7, 0xFFFFFFFF, ((0x34, 0x41524D21), (0x4C, 1))),
    control.encode(Operation.READ, 7, 3, ((4, 5),) * 12, is_answer=True, status=3, detail=2),
    control.encode(Operation.INJECT, 7, 4, message=b"\0\1R"),
    control.encode(Operation.INJECT, 7, 4, is_answer=True, status=4),
)


@pytest.mark.parametrize("frame", FRAMES)
def test_control_layer_builds_the_bytes_that_it_read(frame):
    packet = Ether(frame)
    assert Control in packet and bytes(packet) == frame
    found = control.decode(frame)
    layer = packet[Control]
    assert (layer.nonce, layer.sequence, layer.status) == (found.nonce, found.sequence, found.status)
    assert [(entry.address, entry.value) for entry in layer.entries] == list(found.entries)
    assert (layer.message or b"") == found.message


def test_control_layer_counts_its_entries():
    built = Ether(dst="02:00:00:00:00:11", src="02:00:00:00:00:12") / Control(
        operation=3, nonce=7, sequence=0xFFFFFFFF, entries=[ControlEntry(address=0x34, value=0x41524D21)] * 2
    )
    found = control.decode(bytes(built))
    assert found.entries == ((0x34, 0x41524D21),) * 2 and found.operation == Operation.WRITE
    ends = Ether(dst="02:00:00:00:00:11", src="02:00:00:00:00:12")
    built = ends / Control(operation=4, nonce=7, sequence=1, message=b"\0\1R")
    assert bytes(built) == control.encode(Operation.INJECT, 7, 1, message=b"\0\1R")
    padded = Ether(bytes(built) + bytes(25))
    assert padded[Control].message == b"\0\1R" and len(padded) == 60


def test_telemetry_and_other_versions_are_told_apart():
    head = FRAMES[0][:14]
    assert Ether(head + bytes([telemetry.VERSION, 2]) + bytes(8))[TelemetryHead].count == 2
    assert Raw in Ether(head + b"\x07rest")
