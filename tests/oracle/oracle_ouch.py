"""OUCH 5.0 decoder typed by hand from the specification; it shares nothing with the project's tables.

A row is the body's struct format and names behind the type byte, without the appendage; then whether the older
revision has an appendage there ("always") or only the newer one ("newer").
"""

import struct

INBOUND = {
    "O": ("I c I 8s Q c c c c c 14s",
          "user_ref side quantity symbol price_e4 time_in_force display capacity sweep cross_type clordid", "always"),
    "U": ("I I I Q c c c 14s",
          "original_ref user_ref quantity price_e4 time_in_force display sweep clordid", "always"),
    "X": ("I I", "user_ref quantity", "newer"),
    "M": ("I c I", "user_ref side quantity", "newer"),
    "C": ("I 4s 8s", "user_ref firm symbol", "newer"),
    "D": ("I 4s", "user_ref firm", "newer"),
    "E": ("I 4s", "user_ref firm", "newer"),
    "Q": ("", "", "newer"),
}  # fmt: skip
OUTBOUND = {
    "S": ("Q c", "timestamp_ns event_code", "newer"),
    "A": ("Q I c I 8s Q c c Q c c c c 14s",
          "timestamp_ns user_ref side quantity symbol price_e4 time_in_force display order_reference capacity sweep "
          "cross_type order_state clordid", "always"),
    "U": ("Q I I c I 8s Q c c Q c c c c 14s",
          "timestamp_ns original_ref user_ref side quantity symbol price_e4 time_in_force display order_reference "
          "capacity sweep cross_type order_state clordid", "always"),
    "C": ("Q I I c", "timestamp_ns user_ref quantity reason", "newer"),
    "D": ("Q I I c I Q c",
          "timestamp_ns user_ref decrement reason prevented_quantity price_e4 liquidity", "newer"),
    "E": ("Q I I Q c Q", "timestamp_ns user_ref quantity price_e4 liquidity match_number", "always"),
    "B": ("Q I Q c 14s", "timestamp_ns user_ref match_number reason clordid", "newer"),
    "F": ("Q I I Q c Q c 14s",
          "timestamp_ns user_ref quantity price_e4 liquidity match_number reason clordid", "newer"),
    "J": ("Q I H 14s", "timestamp_ns user_ref reason clordid", "newer"),
    "P": ("Q I", "timestamp_ns user_ref", "newer"),
    "I": ("Q I", "timestamp_ns user_ref", "newer"),
    "T": ("Q I Q c Q", "timestamp_ns user_ref price_e4 display order_reference", "newer"),
    "M": ("Q I c I", "timestamp_ns user_ref side quantity", "newer"),
    "R": ("Q I c", "timestamp_ns user_ref reason", "always"),
    "X": ("Q I 4s 8s", "timestamp_ns user_ref firm symbol", "newer"),
    "G": ("Q I 4s", "timestamp_ns user_ref firm", "newer"),
    "K": ("Q I 4s", "timestamp_ns user_ref firm", "newer"),
    "Q": ("Q I", "timestamp_ns user_ref", "newer"),
}  # fmt: skip


def decode(message: bytes, inbound: bool) -> dict[str, object]:
    """The fields of one message; `options` is a list of (tag, value bytes), None where there is no appendage.

    Raises
    ------
    ValueError
        Unknown type, or a length that fits neither revision.
    """
    kind = chr(message[0])
    rows = INBOUND if inbound else OUTBOUND
    if kind not in rows:
        raise ValueError(f"unknown type {kind!r}")
    form, names, revision = rows[kind]
    fixed = 1 + struct.calcsize(">" + form)
    if len(message) < fixed:
        raise ValueError(f"type {kind} has at least {fixed} bytes, not {len(message)}")
    out: dict[str, object] = {"type": kind}
    for name, value in zip(names.split(), struct.unpack(">" + form, message[1:fixed]), strict=True):
        out[name] = value.decode("ascii").rstrip(" ") if isinstance(value, bytes) else value
    rest = message[fixed:]
    if not rest and revision == "newer":
        out["options"] = None
        return out
    if len(rest) < 2 or int.from_bytes(rest[:2], "big") != len(rest) - 2:
        raise ValueError(f"type {kind}: appendage length and packet length disagree")
    options = []
    rest = rest[2:]
    while rest:
        size = rest[0]
        if size < 1 or len(rest) < 1 + size:
            raise ValueError("an option is cut")
        options.append((rest[1], rest[2 : 1 + size]))
        rest = rest[1 + size :]
    out["options"] = options
    return out
