"""A small hand-made feed for the tests of readers and writers: every ITCH type at least once."""

import struct


def header(kind: str, locate: int, time_ns: int) -> bytes:
    """The 11 bytes that start every message."""
    return struct.pack(">cHHHI", kind.encode(), locate, 0, time_ns >> 32, time_ns & 0xFFFFFFFF)


def add(reference: int, side: str = "B", shares: int = 100, price_e4: int = 1_000_000, locate: int = 1,
        time_ns: int = 0, stock: str = "AAPL") -> bytes:  # fmt: skip
    """An Add Order."""
    body = struct.pack(">QcI8sI", reference, side.encode(), shares, stock.ljust(8).encode(), price_e4)
    return header("A", locate, time_ns) + body


def delete(reference: int, locate: int = 1, time_ns: int = 0) -> bytes:
    """An Order Delete."""
    return header("D", locate, time_ns) + struct.pack(">Q", reference)


def execute(reference: int, shares: int, locate: int = 1, time_ns: int = 0) -> bytes:
    """An Order Executed."""
    return header("E", locate, time_ns) + struct.pack(">QIQ", reference, shares, 1)


def replace(
    reference: int, new: int, shares: int, price_e4: int = 1_000_000, locate: int = 1, time_ns: int = 0
) -> bytes:
    """An Order Replace."""
    return header("U", locate, time_ns) + struct.pack(">QQII", reference, new, shares, price_e4)


SIZES = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
    "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip


def every_type(count: int = 1, step_ns: int = 1_000) -> list[bytes]:
    """`count` rounds of all 23 types, bodies of letters, `step_ns` apart."""
    messages = []
    for number in range(count * len(SIZES)):
        kind, size = list(SIZES.items())[number % len(SIZES)]
        messages.append(header(kind, 1 + number % 7, number * step_ns) + b"A" * (size - 11))
    return messages


def binaryfile(messages: list[bytes]) -> bytes:
    """The bytes of a BinaryFILE."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def mold(sequence: int, messages: list[bytes], session: bytes = b"SESSION001", count: int | None = None) -> bytes:
    """The bytes of a MoldUDP64 packet."""
    number = len(messages) if count is None else count
    return session + sequence.to_bytes(8, "big") + number.to_bytes(2, "big") + binaryfile(messages)


def _checksum(data: bytes) -> int:
    total = sum(data[i] * 256 + data[i + 1] for i in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def ip_frame(body: bytes, protocol: int, tag: bytes = b"", trailer: bytes = b"", first: int = 0x45, flags: int = 0x4000,
             spoil: int = 0, ethertype: bytes = b"\x08\x00") -> bytes:  # fmt: skip
    """An Ethernet frame with an IPv4 datagram from 192.0.2.1 to 233.54.12.111; parts can be made wrong."""
    head = bytearray(struct.pack(">BBHHHBBHII", first, 0, 20 + len(body), 0, flags, 64, protocol, 0,
                                 0xC0000201, 0xE9360C6F))  # fmt: skip
    head[10:12] = (_checksum(bytes(head)) ^ spoil).to_bytes(2, "big")
    return bytes.fromhex("01005e360c6f020000000001") + tag + ethertype + bytes(head) + body + trailer


def udp_frame(payload: bytes, port: int = 26477, length: int | None = None, **kwargs) -> bytes:  # type: ignore[no-untyped-def]
    """A UDP frame with a payload."""
    size = 8 + len(payload) if length is None else length
    return ip_frame(struct.pack(">HHHH", 49649, port, size, 0) + payload, 17, **kwargs)


def tcp_frame(payload: bytes, source_port: int = 42277, port: int = 8001, options: bytes = b"", **kwargs) -> bytes:  # type: ignore[no-untyped-def]
    """A TCP frame with a payload (its TCP checksum is not made)."""
    offset = (5 + len(options) // 4) << 4
    head = struct.pack(">HHIIBBHHH", source_port, port, 1, 2, offset, 0x18, 1000, 0, 0)
    return ip_frame(head + options + payload, 6, **kwargs)
