"""Ethernet, 802.1Q, IPv4, UDP and TCP decoder typed by hand from the standards; every checksum is verified.

It shares nothing with the project's tables: the checksum is the loop of RFC 1071, word by word.
"""


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071, one carry at a time."""
    total = 0
    for position in range(0, len(data), 2):
        low = data[position + 1] if position + 1 < len(data) else 0
        total += data[position] * 256 + low
        if total > 0xFFFF:
            total = (total & 0xFFFF) + 1
    return 0xFFFF - total


def decode(frame: bytes) -> dict[str, object]:
    """Headers and payload of a UDP or TCP frame.

    Raises
    ------
    ValueError
        A header is wrong, a length does not fit, or a checksum is not right.
    """
    out: dict[str, object] = {"destination_mac": frame[0:6].hex(":"), "source_mac": frame[6:12].hex(":"), "vlan": None}
    ethertype, rest = frame[12:14], frame[14:]
    if ethertype == b"\x81\x00":
        out["vlan"] = rest[0] * 256 + rest[1]
        ethertype, rest = rest[2:4], rest[4:]
    if ethertype != b"\x08\x00":
        raise ValueError(f"not IPv4: {ethertype.hex()}")
    if rest[0] != 0x45:
        raise ValueError(f"not IPv4 without options: {rest[0]:02x}")
    if checksum(rest[0:20]) != 0:
        raise ValueError("IPv4 header checksum wrong")
    total = rest[2] * 256 + rest[3]
    if total > len(rest):
        raise ValueError(f"the datagram has {total} bytes, {len(rest)} are there")
    if rest[6] & 0x3F or rest[7]:
        raise ValueError("a fragment")
    out["trailer"] = rest[total:]
    out["ttl"], out["identification"], out["dont_fragment"] = rest[8], rest[4] * 256 + rest[5], bool(rest[6] & 0x40)
    source, destination = rest[12:16], rest[16:20]
    out["source_ip"] = ".".join(map(str, source))
    out["destination_ip"] = ".".join(map(str, destination))
    protocol, body = rest[9], rest[20:total]
    pseudo = source + destination + bytes([0, protocol, len(body) // 256, len(body) % 256])
    out["source_port"], out["destination_port"] = body[0] * 256 + body[1], body[2] * 256 + body[3]
    if protocol == 17:
        if body[4] * 256 + body[5] != len(body):
            raise ValueError("UDP length wrong")
        if body[6:8] != b"\0\0" and checksum(pseudo + body) != 0:
            raise ValueError("UDP checksum wrong")
        out.update(protocol="udp", payload=body[8:])
    elif protocol == 6:
        if checksum(pseudo + body) != 0:
            raise ValueError("TCP checksum wrong")
        out["sequence"] = int.from_bytes(body[4:8], "big")
        out["acknowledgment"] = int.from_bytes(body[8:12], "big")
        out["flags"] = {name for bit, name in enumerate("FSRPAU") if body[13] >> bit & 1}
        out["window"] = body[14] * 256 + body[15]
        out.update(protocol="tcp", payload=body[(body[12] >> 4) * 4 :])
    else:
        raise ValueError(f"protocol {protocol} is neither UDP nor TCP")
    return out
