"""Messages as dictionaries for JSON and as lines for people.

In JSON integers stay integers in the unit that their name tells (`price_e4`, `timestamp_ns`) and text loses its
padding; in lines prices have their decimals and times of day their colons.
"""

import re
from typing import Any

from tickgate.sw.spec import itch, ouch
from tickgate.sw.spec.fields import Kind, Message, text

_UNIT = re.compile("_(e4|e8|ns)$")
_DECIMALS = {Kind.PRICE: 4, Kind.SIGNED_PRICE: 4, Kind.PRICE8: 8}


def integer_text(kind: Kind, value: int) -> str:
    """How a number of that kind is shown: prices with their decimals, times of day as hh:mm:ss.nnnnnnnnn."""
    decimals = _DECIMALS.get(kind)
    if decimals is not None:
        whole, fraction = divmod(abs(value), 10**decimals)
        return f"{'-' if value < 0 else ''}{whole}.{fraction:0{decimals}d}"
    if kind is Kind.TIMESTAMP:
        seconds, nanoseconds = divmod(value, 1_000_000_000)
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{nanoseconds:09d}"
    return str(value)


def unknown_record(data: bytes) -> dict[str, Any]:
    """What can be said of a message that no table reads."""
    return {"message": "unknown", "type": text(data[:1]), "length": len(data), "raw": data.hex()}


def table_record(message: Message, values: dict[str, Any]) -> dict[str, Any]:
    """A decoded message: its name, then its fields, text without padding."""
    record: dict[str, Any] = {"message": message.name}
    for name, value in values.items():
        record[name] = text(value) if isinstance(value, bytes) else value
    return record


def itch_record(data: bytes) -> dict[str, Any]:
    """An ITCH message; an unknown type or a wrong length keeps its bytes as hexadecimal digits."""
    message = itch.MESSAGES.get(data[0]) if data else None
    if message is None or len(data) != message.size:
        return unknown_record(data)
    return table_record(message, message.unpack(data))


def ouch_record(data: bytes, inbound: bool) -> dict[str, Any]:
    """An OUCH message of either revision, its options by name under `options`; else its bytes."""
    try:
        message, values = ouch.decode(data, inbound)
    except ValueError:
        return unknown_record(data)
    options = values.pop("options", None)
    record = table_record(message, values)
    if options is not None:
        record["options"] = dict(option_item(tag, value) for tag, value in options)
    return record


def option_item(tag: int, value: int | bytes) -> tuple[str, Any]:
    """Name and value of a parsed option; one that no table reads is `tag_N` with hexadecimal digits."""
    known = ouch.OPTIONS.get(tag)
    if known is None or (isinstance(value, bytes) and (known.value.is_integer or len(value) != known.value.size)):
        return f"tag_{tag}", value.hex() if isinstance(value, bytes) else value
    return known.value.name, text(value) if isinstance(value, bytes) else value


def _value_text(message: Message | None, name: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{" + " ".join(f"{key}={item}" for key, item in value.items()) + "}"
    if message is not None and name in message.names and message.field(name).is_integer:
        return integer_text(message.field(name).kind, value)
    return str(value) if value != "" else "''"


def line(record: dict[str, Any], message: Message | None) -> str:
    """One line: type and name, then `field=value` for each field; a unit that the value shows is not named again."""
    kind = record.get("type", "")
    words = [kind or "-", record["message"]]
    for name, value in record.items():
        if name not in ("message", "type"):
            words.append(f"{_UNIT.sub('', name)}={_value_text(message, name, value)}")
    return " ".join(words)
