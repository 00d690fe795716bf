"""Control frame decoder typed by hand from the description of the protocol; it shares nothing with its tables."""

OPERATIONS = {1: "hello", 2: "read", 3: "write", 4: "inject"}
STATUSES = {0: "ok", 1: "operation", 2: "count", 3: "address", 4: "busy"}


def _number(data: bytes) -> int:
    value = 0
    for byte in data:
        value = value * 256 + byte
    return value


def decode(frame: bytes) -> dict[str, object]:
    """The fields of one control frame.

    Raises
    ------
    ValueError
        Not a control frame, or cut.
    """
    if len(frame) < 32 or frame[12] != 0x88 or frame[13] != 0xB5 or frame[14] != 0xC1:
        raise ValueError("not a control frame")
    count = frame[28]
    message = b""
    if frame[15] == 4:  # a request: bytes in place of entries
        if len(frame) < 32 + count:
            raise ValueError("cut")
        message, count = frame[32 : 32 + count], 0
    if len(frame) < 32 + 8 * count:
        raise ValueError("cut")
    entries = []
    for number in range(count):
        start = 32 + 8 * number
        entries.append((_number(frame[start : start + 4]), _number(frame[start + 4 : start + 8])))
    return {
        "to": frame[0:6].hex(":"),
        "from": frame[6:12].hex(":"),
        "answer": frame[15] >= 0x80,
        "operation": OPERATIONS.get(frame[15] % 0x80, frame[15] % 0x80),
        "nonce": _number(frame[16:24]),
        "sequence": _number(frame[24:28]),
        "status": STATUSES[frame[29]],
        "detail": _number(frame[30:32]),
        "entries": entries,
        "message": message,
    }
