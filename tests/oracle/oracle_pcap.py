"""pcap reader and pcapng builder typed by hand from the format drafts; they share nothing with the project's code."""

import struct


def read(data: bytes) -> tuple[int, list[tuple[int, int, bytes]]]:
    """(link type, packets) of a little-endian nanosecond pcap; a packet is (seconds, nanoseconds, bytes).

    Raises
    ------
    ValueError
        Another magic, or a record that is not whole.
    """
    magic, major, minor, _zone, _sigfigs, _snaplen, linktype = struct.unpack("<IHHiIII", data[:24])
    if (magic, major, minor) != (0xA1B23C4D, 2, 4):
        raise ValueError(f"magic {magic:08x}, version {major}.{minor}")
    packets = []
    position = 24
    while position < len(data):
        seconds, nanoseconds, captured, original = struct.unpack("<IIII", data[position : position + 16])
        frame = data[position + 16 : position + 16 + captured]
        if len(frame) != captured or captured != original:
            raise ValueError(f"record at {position} is cut")
        packets.append((seconds, nanoseconds, frame))
        position += 16 + captured
    return linktype, packets


def build(packets: list[tuple[int, int, bytes]], order: str = "<", magic: int = 0xA1B2C3D4, linktype: int = 1) -> bytes:
    """A pcap of (seconds, fraction, bytes) in either byte order."""
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, linktype)
    for seconds, fraction, frame in packets:
        out += struct.pack(order + "IIII", seconds, fraction, len(frame), len(frame)) + frame
    return out


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block around a body, padded to 4 bytes."""
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    """A pcapng section header block."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", linktype: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    """A pcapng interface description block."""
    return block(1, struct.pack(order + "HHI", linktype, 0, snaplen) + options, order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """A pcapng option."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(units: int, frame: bytes, order: str = "<", number: int = 0) -> bytes:
    """A pcapng enhanced packet block; a comment follows the packet."""
    head = struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame))
    tail = bytes(-len(frame) % 4) + option(1, b"a comment", order) + option(0, b"", order)
    return block(6, head + frame + tail, order)


def simple(frame: bytes, order: str = "<") -> bytes:
    """A pcapng simple packet block."""
    return block(3, struct.pack(order + "I", len(frame)) + frame, order)


def obsolete(units: int, frame: bytes, order: str = "<") -> bytes:
    """A pcapng obsolete packet block."""
    head = struct.pack(order + "HHIIII", 0, 0, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, head + frame, order)
