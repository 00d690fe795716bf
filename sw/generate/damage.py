"""What can be wrong in the headers of a MoldUDP64 frame, and how it is made so.

A damaged IP header gets a right checksum again, except where the checksum itself is the damage, so that each rule of
the feed handler is met.
"""

from collections.abc import Callable
from typing import Final

from tickgate.sw.files.frames import Datagram, locate_udp
from tickgate.sw.spec import itch, mold, net
from tickgate.sw.spec.fields import Message

Below = Callable[[int], int]
"""Draws an integer from 0 to below the argument."""
Damage = Callable[[bytes, Datagram, Below], bytes]
"""Makes a damaged frame of a right one."""


def locate_mold(frame: bytes) -> Datagram | None:
    """The MoldUDP64 packet of a frame, None where there is none."""
    found = locate_udp(frame)
    if not isinstance(found, Datagram) or found.end - found.start < mold.HEADER_SIZE:
        return None
    return found


def block_offsets(frame: bytes, where: Datagram) -> list[int]:
    """Where the length of each whole block of at least 12 bytes lies."""
    count = int.from_bytes(frame[where.start + 18 : where.start + 20], "big")
    offsets: list[int] = []
    if count == mold.END_OF_SESSION:
        return offsets
    position = where.start + mold.HEADER_SIZE
    for _ in range(count):
        length = int.from_bytes(frame[position : position + 2], "big")
        if length < itch.MIN_BLOCK or position + 2 + length > where.end:
            break
        offsets.append(position)
        position += 2 + length
    return offsets


def _put(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def _ip_field(name: str, value: Callable[[int, Below], int]) -> Damage:
    """Damage to one field of the IP header, its checksum made right again."""
    field = net.IPV4.field(name)

    def change(data: bytes, where: Datagram, below: Below) -> bytes:
        header = where.start - net.UDP_SIZE - net.IPV4_SIZE
        start = header + field.offset
        old = int.from_bytes(data[start : start + field.size], "big")
        data = _put(data, start, (value(old, below) & (1 << 8 * field.size) - 1).to_bytes(field.size, "big"))
        if name != "checksum":
            right = net.ipv4_checksum(data[header : header + net.IPV4_SIZE])
            data = _put(data, header + net.IPV4.field("checksum").offset, right.to_bytes(2, "big"))
        return data

    return change


def _field(table: Message, before: int, name: str, value: Callable[[int, Below], int]) -> Damage:
    """Damage to one integer field of a header that starts `before` bytes in front of the MoldUDP64 packet."""
    field = table.field(name)

    def change(data: bytes, where: Datagram, below: Below) -> bytes:
        start = where.start - before + field.offset
        old = int.from_bytes(data[start : start + field.size], "big")
        return _put(data, start, (value(old, below) & (1 << 8 * field.size) - 1).to_bytes(field.size, "big"))

    return change


def _ethertype(data: bytes, where: Datagram, below: Below) -> bytes:
    start = where.start - net.UDP_SIZE - net.IPV4_SIZE - 2
    return _put(data, start, (net.ETHERTYPE_ARP, net.ETHERTYPE_IPV6)[below(2)].to_bytes(2, "big"))


def _session(data: bytes, where: Datagram, below: Below) -> bytes:
    start = where.start + below(mold.SESSION_SIZE)
    return _put(data, start, bytes([data[start] ^ 0x03]))


def _cut(data: bytes, where: Datagram, below: Below) -> bytes:
    return data[: where.end - 1 - below(where.end - where.start - mold.HEADER_SIZE + 1)]


def _runt(data: bytes, where: Datagram, below: Below) -> bytes:
    return data[: 1 + below(where.start - 1)]


HEADER_DAMAGE: Final[tuple[tuple[str, Damage], ...]] = (
    ("ethertype", _ethertype),
    ("ip_version", _ip_field("version_ihl", lambda old, below: 0x60 | (old & 0xF))),
    ("ip_options", _ip_field("version_ihl", lambda old, below: 0x46 + below(10))),
    ("ip_fragment", _ip_field("flags_fragment", lambda old, below: (net.IPV4_FLAG_MF, 1 + below(0x1FFF))[below(2)])),
    ("ip_protocol", _ip_field("protocol", lambda old, below: net.PROTOCOL_TCP)),
    ("ip_checksum", _ip_field("checksum", lambda old, below: old ^ 1 << below(16))),
    ("ip_length", _ip_field("total_length", lambda old, below: net.IPV4_SIZE + below(net.UDP_SIZE))),
    ("destination_ip", _ip_field("destination_ip", lambda old, below: old ^ 1 << below(32))),
    ("destination_port", _field(net.UDP, net.UDP_SIZE, "destination_port", lambda old, below: old ^ 1 << below(16))),
    ("udp_length_short", _field(net.UDP, net.UDP_SIZE, "length", lambda old, below: below(28))),
    ("udp_length_long", _field(net.UDP, net.UDP_SIZE, "length", lambda old, below: old + 1 + below(64))),
    ("session", _session),
    ("sequence", _field(mold.HEADER, 0, "sequence", lambda old, below: max(1, old + (1, 2, 3, -1, -2, -3)[below(6)]))),
    ("count", _field(mold.HEADER, 0, "count", lambda old, below: old + 1 + below(8))),
    ("cut", _cut),
    ("runt", _runt),
)
"""What can be wrong in a header, and how it is made so. A sequence number is never far off: the feed follows it."""
