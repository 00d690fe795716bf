"""SoupBinTCP decoder typed by hand from the specification; it shares nothing with the project's tables."""

SERVER = {
    "+": "debug",
    "A": "login_accepted",
    "J": "login_rejected",
    "S": "sequenced_data",
    "H": "server_heartbeat",
    "Z": "end_of_session",
    "U": "server_unsequenced_data",
}
CLIENT = {
    "+": "debug",
    "L": "login_request",
    "U": "unsequenced_data",
    "R": "client_heartbeat",
    "O": "logout_request",
}


def split(stream: bytes) -> list[bytes]:
    """The packets of a stream, length fields included.

    Raises
    ------
    ValueError
        The last packet is cut.
    """
    packets = []
    while stream:
        size = 2 + stream[0] * 256 + (stream[1] if len(stream) > 1 else 0)
        if len(stream) < size or size < 3:
            raise ValueError("a packet is cut")
        packets.append(stream[:size])
        stream = stream[size:]
    return packets


def decode(packet: bytes, from_server: bool) -> dict[str, object]:
    """The fields of one packet.

    Raises
    ------
    ValueError
        Unknown type, or a length that is not the type's.
    """
    body = packet[3:]
    if packet[0] * 256 + packet[1] != len(packet) - 2:
        raise ValueError("the length field is wrong")
    name = (SERVER if from_server else CLIENT)[chr(packet[2])]
    fixed = {"login_accepted": 30, "login_rejected": 1, "login_request": 46, "server_heartbeat": 0,
             "client_heartbeat": 0, "end_of_session": 0, "logout_request": 0}  # fmt: skip
    if name in fixed and len(body) != fixed[name]:
        raise ValueError(f"{name} has {fixed[name]} bytes behind its type, not {len(body)}")
    if name == "login_accepted":
        return {"name": name, "session": body[0:10].decode().strip(), "sequence": int(body[10:30])}
    if name == "login_rejected":
        return {"name": name, "reason": body.decode()}
    if name == "login_request":
        return {
            "name": name,
            "user": body[0:6].decode().rstrip(),
            "password": body[6:16].decode().rstrip(),
            "session": body[16:26].decode().strip(),
            "sequence": int(body[26:46]),
        }
    return {"name": name, "payload": body}
