"""Finding the UDP or TCP payload of an Ethernet frame, by the rules that the feed handler follows.

Accepted: Ethernet II, none or one 802.1Q tag, IPv4 without options, no fragment, header checksum right. The IP total
length decides where a datagram ends: bytes behind it (padding, capture trailers) are not looked at.
"""

import struct
from typing import NamedTuple

from tickgate.sw.spec import net
from tickgate.sw.spec.state import Drop

_ADDRESSES = struct.Struct(">II")
_WORDS = struct.Struct(">10H")
_PORTS = struct.Struct(">HH")
UDP_LENGTH_MIN = net.UDP_SIZE


class Datagram(NamedTuple):
    """Where a payload lies in its frame, and from where to where it goes.

    Members
    -------
    protocol : int
        IP protocol number, UDP or TCP.
    start, end : int
        The payload is `frame[start:end]`.
    source_ip, destination_ip, source_port, destination_port : int
        Addresses as integers.
    """

    protocol: int
    start: int
    end: int
    source_ip: int
    destination_ip: int
    source_port: int
    destination_port: int


def locate_ip(frame: bytes) -> tuple[int, int, int] | Drop:
    """(protocol, first byte behind the IP header, end of the datagram), or why the frame is dropped."""
    size = len(frame)
    if size < net.ETHERNET_SIZE:
        return Drop.RUNT
    position = net.ETHERNET_SIZE
    ethertype = frame[12] << 8 | frame[13]
    if ethertype == net.ETHERTYPE_VLAN:
        if size < net.ETHERNET_SIZE + net.VLAN_SIZE:
            return Drop.RUNT
        ethertype = frame[16] << 8 | frame[17]
        position += net.VLAN_SIZE
    if ethertype != net.ETHERTYPE_IPV4:
        return Drop.ETHERTYPE
    if size < position + net.IPV4_SIZE:
        return Drop.RUNT
    first = frame[position]
    if first >> 4 != 4:
        return Drop.IP_VERSION
    if first != net.IPV4_VERSION_IHL:
        return Drop.IP_OPTIONS
    words = _WORDS.unpack_from(frame, position)
    if words[3] & (net.IPV4_FLAG_MF | net.IPV4_FRAGMENT_OFFSET_MASK):
        return Drop.IP_FRAGMENT
    # Words of a right header sum to 0xFFFF in one's complement, that is to a multiple of 0xFFFF that is not 0.
    if sum(words) % 0xFFFF:
        return Drop.IP_CHECKSUM
    return words[4] & 0xFF, position + net.IPV4_SIZE, position + words[1]


def locate_udp(frame: bytes) -> Datagram | Drop:
    """The UDP payload of a frame, or why the frame is dropped (the first cause in the order of `Drop`)."""
    found = locate_ip(frame)
    if isinstance(found, Drop):
        return found
    protocol, start, ip_end = found
    if protocol != net.PROTOCOL_UDP:
        return Drop.IP_PROTOCOL
    if len(frame) < start + net.UDP_SIZE:
        return Drop.RUNT
    length = frame[start + 4] << 8 | frame[start + 5]
    if length < UDP_LENGTH_MIN or start + length > ip_end:
        return Drop.LENGTH
    if start + length > len(frame):
        return Drop.TRUNCATED
    source_ip, destination_ip = _ADDRESSES.unpack_from(frame, start - 8)
    source_port, destination_port = _PORTS.unpack_from(frame, start)
    return Datagram(
        protocol, start + net.UDP_SIZE, start + length, source_ip, destination_ip, source_port, destination_port
    )


def locate_tcp(frame: bytes) -> Datagram | Drop:
    """The TCP payload of a frame (TCP options are skipped), or why there is none."""
    found = locate_ip(frame)
    if isinstance(found, Drop):
        return found
    protocol, start, ip_end = found
    if protocol != net.PROTOCOL_TCP:
        return Drop.IP_PROTOCOL
    if len(frame) < start + net.TCP_SIZE:
        return Drop.RUNT
    payload = start + (frame[start + 12] >> 4) * 4
    if payload < start + net.TCP_SIZE or payload > ip_end:
        return Drop.LENGTH
    if ip_end > len(frame):
        return Drop.TRUNCATED
    source_ip, destination_ip = _ADDRESSES.unpack_from(frame, start - 8)
    source_port, destination_port = _PORTS.unpack_from(frame, start)
    return Datagram(protocol, payload, ip_end, source_ip, destination_ip, source_port, destination_port)
