"""Ethernet II, 802.1Q, IPv4, UDP and TCP headers, their checksums, and addresses as text.

Sources: IEEE 802.3 clause 3, IEEE 802.1Q clause 9, RFC 791 section 3.1, RFC 768, RFC 9293 section 3.1, RFC 1071.
Addresses are integers (MAC 48 bits, IPv4 32 bits); `mac` and `ipv4` turn text into them.
"""

from typing import Final

from tickgate.sw.spec.fields import Field, Kind, Message

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_VLAN: Final = 0x8100
ETHERTYPE_IPV6: Final = 0x86DD
ETHERTYPE_MIN: Final = 0x0600
"""Smaller values are a length (IEEE 802.3), not a type."""

PROTOCOL_ICMP: Final = 1
PROTOCOL_TCP: Final = 6
PROTOCOL_UDP: Final = 17

PREAMBLE_BYTES: Final = 8
"""Preamble and start of frame delimiter."""
FCS_BYTES: Final = 4
INTERFRAME_GAP_BYTES: Final = 12
WIRE_OVERHEAD_BYTES: Final = PREAMBLE_BYTES + FCS_BYTES + INTERFRAME_GAP_BYTES
"""Byte times that a frame costs on the wire beyond its own bytes."""
FRAME_SIZE_MIN: Final = 60
"""Shortest frame without FCS; shorter ones are padded."""
FRAME_SIZE_MAX: Final = 1514
"""Longest untagged frame without FCS."""
MTU_BYTES: Final = 1500

_UINT = Kind.UINT

ETHERNET: Final = Message(
    "ethernet", None, 14,
    (
        Field("destination_mac", 0, 6, _UINT, "Destination address"),
        Field("source_mac", 6, 6, _UINT, "Source address"),
        Field("ethertype", 12, 2, _UINT, "What follows"),
    ),
    "Ethernet II header (IEEE 802.3 clause 3)",
    tail="payload",
)  # fmt: skip

VLAN: Final = Message(
    "vlan", None, 4,
    (
        Field("tci", 0, 2, _UINT, "Priority 3 bits, drop eligible 1, VLAN identifier 12"),
        Field("ethertype", 2, 2, _UINT, "What follows"),
    ),
    "802.1Q tag, behind the ethertype 0x8100 (IEEE 802.1Q clause 9)",
    tail="payload",
)  # fmt: skip

IPV4: Final = Message(
    "ipv4", None, 20,
    (
        Field("version_ihl", 0, 1, _UINT, "Version 4, header length in words: 0x45 without options"),
        Field("dscp_ecn", 1, 1, _UINT, "Class of service and congestion bits"),
        Field("total_length", 2, 2, _UINT, "Bytes of the datagram, this header included"),
        Field("identification", 4, 2, _UINT, "Groups fragments"),
        Field("flags_fragment", 6, 2, _UINT, "Reserved 1 bit, DF, MF, fragment offset 13 bits"),
        Field("ttl", 8, 1, _UINT, "Time to live"),
        Field("protocol", 9, 1, _UINT, "What follows"),
        Field("checksum", 10, 2, _UINT, "Header checksum"),
        Field("source_ip", 12, 4, _UINT, "Source address"),
        Field("destination_ip", 16, 4, _UINT, "Destination address"),
    ),
    "IPv4 header without options (RFC 791 section 3.1)",
    tail="payload",
)  # fmt: skip
IPV4_VERSION_IHL: Final = 0x45
IPV4_FLAG_DF: Final = 0x4000
IPV4_FLAG_MF: Final = 0x2000
IPV4_FRAGMENT_OFFSET_MASK: Final = 0x1FFF

UDP: Final = Message(
    "udp", None, 8,
    (
        Field("source_port", 0, 2, _UINT, "Source port"),
        Field("destination_port", 2, 2, _UINT, "Destination port"),
        Field("length", 4, 2, _UINT, "Bytes of the datagram, this header included"),
        Field("checksum", 6, 2, _UINT, "Checksum; 0: none"),
    ),
    "UDP header (RFC 768)",
    tail="payload",
)  # fmt: skip

TCP: Final = Message(
    "tcp", None, 20,
    (
        Field("source_port", 0, 2, _UINT, "Source port"),
        Field("destination_port", 2, 2, _UINT, "Destination port"),
        Field("sequence", 4, 4, _UINT, "Sequence number of the first payload byte"),
        Field("acknowledgment", 8, 4, _UINT, "Next byte expected from the peer"),
        Field("data_offset", 12, 1, _UINT, "Header length in words in the upper 4 bits: 0x50 without options"),
        Field("flags", 13, 1, _UINT, "CWR ECE URG ACK PSH RST SYN FIN"),
        Field("window", 14, 2, _UINT, "Bytes the sender of this segment will take"),
        Field("checksum", 16, 2, _UINT, "Checksum over pseudo header, header and payload"),
        Field("urgent", 18, 2, _UINT, "Urgent pointer"),
    ),
    "TCP header without options (RFC 9293 section 3.1)",
    tail="payload",
)  # fmt: skip
TCP_DATA_OFFSET: Final = 0x50
TCP_FIN: Final = 0x01
TCP_SYN: Final = 0x02
TCP_RST: Final = 0x04
TCP_PSH: Final = 0x08
TCP_ACK: Final = 0x10

ETHERNET_SIZE: Final = ETHERNET.size
VLAN_SIZE: Final = VLAN.size
IPV4_SIZE: Final = IPV4.size
UDP_SIZE: Final = UDP.size
TCP_SIZE: Final = TCP.size
UDP_PAYLOAD_OFFSET: Final = ETHERNET_SIZE + IPV4_SIZE + UDP_SIZE
"""Where the payload of an untagged UDP frame starts."""
TCP_PAYLOAD_OFFSET: Final = ETHERNET_SIZE + IPV4_SIZE + TCP_SIZE
"""Where the payload of an untagged TCP frame without options starts."""


def mac(text: str) -> int:
    """The 48-bit integer of `01:23:45:67:89:ab`.

    Raises
    ------
    ValueError
        Not a MAC address.
    """
    parts = text.split(":")
    if len(parts) != 6 or any(len(part) != 2 for part in parts):
        raise ValueError(f"a MAC address is six hexadecimal bytes like 02:00:00:00:00:01, not {text!r}")
    try:
        return int("".join(parts), 16)
    except ValueError:
        raise ValueError(f"a MAC address is six hexadecimal bytes like 02:00:00:00:00:01, not {text!r}") from None


def mac_text(value: int) -> str:
    """`01:23:45:67:89:ab` of a 48-bit integer."""
    return value.to_bytes(6, "big").hex(":")


def ipv4(text: str) -> int:
    """The 32-bit integer of `192.0.2.1`.

    Raises
    ------
    ValueError
        Not an IPv4 address.
    """
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise ValueError(f"an IPv4 address is four numbers below 256 like 192.0.2.1, not {text!r}")
    return int.from_bytes(bytes(int(part) for part in parts), "big")


def ipv4_text(value: int) -> str:
    """`192.0.2.1` of a 32-bit integer."""
    return ".".join(str(byte) for byte in value.to_bytes(4, "big"))


def multicast_mac(address: int) -> int:
    """The MAC address of an IPv4 multicast group (RFC 1112 section 6.4): 01:00:5e and the low 23 bits."""
    return 0x01005E000000 | (address & 0x7FFFFF)


def ones_complement_sum(data: bytes, start: int = 0) -> int:
    """16-bit one's complement sum of big-endian words; an odd last byte is padded with zero (RFC 1071)."""
    if len(data) & 1:
        data = bytes(data) + b"\0"
    # The sum of 16-bit words modulo 0xFFFF is the whole number modulo 0xFFFF, because 65536 is 1 modulo 0xFFFF.
    total = start + int.from_bytes(data, "big")
    folded = total % 0xFFFF
    return folded if folded or not total else 0xFFFF


def internet_checksum(data: bytes, start: int = 0) -> int:
    """Checksum to put into a header whose checksum field is zero; over a whole header with it, 0 means right."""
    return ~ones_complement_sum(data, start) & 0xFFFF


def ipv4_checksum(header: bytes) -> int:
    """Checksum of an IPv4 header (its own checksum field is left out)."""
    return internet_checksum(bytes(header[:10]) + b"\0\0" + bytes(header[12:]))


def pseudo_header_sum(source_ip: int, destination_ip: int, protocol: int, length: int) -> int:
    """Start value of a UDP or TCP checksum (RFC 9293 section 3.1)."""
    return (
        (source_ip >> 16)
        + (source_ip & 0xFFFF)
        + (destination_ip >> 16)
        + (destination_ip & 0xFFFF)
        + protocol
        + length
    )


def tcp_checksum(source_ip: int, destination_ip: int, segment: bytes) -> int:
    """Checksum of a TCP segment (header and payload; its own checksum field is left out)."""
    start = pseudo_header_sum(source_ip, destination_ip, PROTOCOL_TCP, len(segment))
    return internet_checksum(bytes(segment[:16]) + b"\0\0" + bytes(segment[18:]), start)


def udp_checksum(source_ip: int, destination_ip: int, datagram: bytes) -> int:
    """Checksum of a UDP datagram (header and payload); a result of 0 is sent as 0xFFFF (RFC 768)."""
    start = pseudo_header_sum(source_ip, destination_ip, PROTOCOL_UDP, len(datagram))
    return internet_checksum(bytes(datagram[:6]) + b"\0\0" + bytes(datagram[8:]), start) or 0xFFFF


def ethernet_frame(destination_mac: int, source_mac: int, payload: bytes, vlan: int | None = None) -> bytes:
    """An Ethernet II frame around an IPv4 datagram, without padding and FCS; `vlan` is the tag's TCI."""
    if vlan is None:
        ethertype = ETHERTYPE_IPV4
    else:
        ethertype = ETHERTYPE_VLAN
        payload = VLAN.pack(tci=vlan, ethertype=ETHERTYPE_IPV4, payload=payload)
    return ETHERNET.pack(destination_mac=destination_mac, source_mac=source_mac, ethertype=ethertype, payload=payload)


def ipv4_datagram(
    source_ip: int, destination_ip: int, protocol: int, payload: bytes, ttl: int = 64, identification: int = 0
) -> bytes:
    """An IPv4 datagram without options, DF set, with its header checksum."""
    values = {
        "version_ihl": IPV4_VERSION_IHL,
        "dscp_ecn": 0,
        "total_length": IPV4_SIZE + len(payload),
        "identification": identification,
        "flags_fragment": IPV4_FLAG_DF,
        "ttl": ttl,
        "protocol": protocol,
        "checksum": 0,
        "source_ip": source_ip,
        "destination_ip": destination_ip,
    }
    values["checksum"] = ipv4_checksum(IPV4.pack(**values))
    return IPV4.pack(**values, payload=payload)


def udp_frame(
    payload: bytes,
    *,
    destination_mac: int,
    source_mac: int,
    source_ip: int,
    destination_ip: int,
    source_port: int,
    destination_port: int,
    vlan: int | None = None,
    checksum: bool = False,
) -> bytes:
    """A UDP frame; without `checksum` the UDP checksum is 0, which means none."""
    values = {"source_port": source_port, "destination_port": destination_port, "length": UDP_SIZE + len(payload)}
    datagram = UDP.pack(**values, checksum=0, payload=payload)
    if checksum:
        value = udp_checksum(source_ip, destination_ip, datagram)
        datagram = UDP.pack(**values, checksum=value, payload=payload)
    return ethernet_frame(
        destination_mac, source_mac, ipv4_datagram(source_ip, destination_ip, PROTOCOL_UDP, datagram), vlan
    )


def tcp_frame(
    payload: bytes,
    *,
    destination_mac: int,
    source_mac: int,
    source_ip: int,
    destination_ip: int,
    source_port: int,
    destination_port: int,
    sequence: int,
    acknowledgment: int,
    window: int,
    flags: int = TCP_ACK | TCP_PSH,
) -> bytes:
    """A TCP segment without options in a frame, with both checksums."""
    values = {
        "source_port": source_port,
        "destination_port": destination_port,
        "sequence": sequence,
        "acknowledgment": acknowledgment,
        "data_offset": TCP_DATA_OFFSET,
        "flags": flags,
        "window": window,
        "urgent": 0,
    }
    checksum = tcp_checksum(source_ip, destination_ip, TCP.pack(**values, checksum=0, payload=payload))
    segment = TCP.pack(**values, checksum=checksum, payload=payload)
    return ethernet_frame(destination_mac, source_mac, ipv4_datagram(source_ip, destination_ip, PROTOCOL_TCP, segment))
