"""MoldUDP64 decoder typed by hand from the specification; it shares nothing with the project's tables."""


def decode(packet: bytes) -> tuple[str, int, int, list[bytes]]:
    """(session, sequence number, count field, messages) of a packet.

    Raises
    ------
    ValueError
        Too short, a block that is cut, or bytes behind the last block.
    """
    if len(packet) < 20:
        raise ValueError(f"a MoldUDP64 packet has at least 20 bytes, not {len(packet)}")
    session = packet[0:10].decode("ascii").rstrip(" ")
    sequence = int.from_bytes(packet[10:18], "big")
    count = packet[18] * 256 + packet[19]
    messages = []
    rest = packet[20:]
    for _ in range(0 if count == 65535 else count):
        size = rest[0] * 256 + rest[1] if len(rest) >= 2 else 0
        if len(rest) < 2 or len(rest) < 2 + size:
            raise ValueError("a block is cut")
        messages.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    if rest:
        raise ValueError(f"{len(rest)} bytes behind the last block")
    return session, sequence, count, messages
