"""scapy layers for MoldUDP64, ITCH 5.0, SoupBinTCP and OUCH 5.0, made from the tables of `sw.spec`.

Importing this module binds the layers to the default ports: UDP 26477 (feed), TCP 8001 and 8003 (orders). For other
ports call the classes on the payload, or bind them: `bind_layers(UDP, MoldUDP64, dport=...)`.

Every class has the fields of its table under the same names (`display` is also a method of scapy's packets: read that
field with `getfieldval`). Lengths and counts are filled in on `build()` when they
are left out. `ITCH`, `OUCH_INBOUND`, `OUCH_OUTBOUND`, `SOUP_SERVER` and `SOUP_CLIENT` give the class of a table.
Wrong lengths and unknown types dissect as `Raw`: nothing is guessed.
"""

from typing import Any

from scapy.fields import Field as ScapyField
from scapy.fields import (
    FieldLenField,
    PacketLenField,
    PacketListField,
    StrFixedLenField,
    StrLenField,
)
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet, Raw, bind_layers

from tickgate.sw.files.render import integer_text
from tickgate.sw.spec import defaults, itch, mold, ouch, soup
from tickgate.sw.spec.fields import Field, Kind, Message


class IntegerField(ScapyField):  # type: ignore[misc]
    """A big-endian integer of any size, shown as its kind says."""

    __slots__ = ["spec"]

    def __init__(self, field: Field, default: int = 0):
        super().__init__(field.name, default, f"{field.size}s")
        self.spec = field

    def i2m(self, pkt: Packet | None, x: int | None) -> bytes:
        """Encode."""
        return self.spec.to_bytes(0 if x is None else x)

    def m2i(self, pkt: Packet | None, x: bytes) -> int:
        """Decode."""
        return int.from_bytes(x, "big", signed=self.spec.is_signed)

    def i2repr(self, pkt: Packet | None, x: int) -> str:
        """Show with unit."""
        return integer_text(self.spec.kind, x)


def _field(message: Message, field: Field) -> Any:
    if field.is_integer:
        return IntegerField(field)
    default = message.code if field.name == "type" and message.code is not None else b" " * field.size
    return StrFixedLenField(field.name, default, field.size)


class _Whole(Packet):  # type: ignore[misc]
    """A packet that leaves what follows it to whoever dissects it."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """No payload: the rest belongs to the next packet of the list."""
        return b"", s


def _class(prefix: str, message: Message, fields: list[Any], suffix: str = "") -> type[Packet]:
    name = prefix + "".join(word.capitalize() for word in message.name.split("_")) + suffix
    members = {"name": name, "fields_desc": fields, "__doc__": message.doc, "spec": message, "__module__": __name__}
    return type(name, (_Whole,), members)


# ITCH

ITCH: dict[int, type[Packet]] = {
    code: _class("Itch", message, [_field(message, field) for field in message.fields])
    for code, message in itch.MESSAGES.items()
}
"""Class of an ITCH type byte."""


def itch_message(data: bytes) -> Packet:
    """The ITCH layer of one message; `Raw` for an unknown type or a wrong length."""
    if data and itch.LENGTHS.get(data[0]) == len(data):
        return ITCH[data[0]](data)
    return Raw(data)


class MoldBlock(_Whole):
    """One MoldUDP64 message block: a length and an ITCH message."""

    name = "MoldBlock"
    fields_desc = [
        FieldLenField("length", None, length_of="message", fmt="!H"),
        PacketLenField("message", Raw(b""), itch_message, length_from=lambda pkt: pkt.length),
    ]


def _mold_fields() -> list[Any]:
    fields: list[Any] = []
    for field in mold.HEADER.fields:
        if field.name == "count":
            fields.append(FieldLenField("count", None, count_of="blocks", fmt="!H"))
        else:
            fields.append(_field(mold.HEADER, field))
    blocks = PacketListField(
        "blocks", [], MoldBlock, count_from=lambda pkt: 0 if pkt.count == mold.END_OF_SESSION else pkt.count
    )
    return [*fields, blocks]


class MoldUDP64(Packet):  # type: ignore[misc]
    """A MoldUDP64 downstream packet with its blocks."""

    name = "MoldUDP64"
    fields_desc = _mold_fields()


# OUCH


class OuchOption(_Whole):
    """One optional value of an appendage."""

    name = "OuchOption"
    fields_desc = [
        FieldLenField("length", None, length_of="value", fmt="B", adjust=lambda pkt, x: x + 1),
        IntegerField(Field("tag", 0, 1, Kind.UINT)),
        StrLenField("value", b"", length_from=lambda pkt: max(pkt.length - 1, 0)),
    ]


def _ouch_class(message: Message, direction: str, suffix: str) -> type[Packet]:
    fields: list[Any] = []
    for field in message.fields:
        if field.name == "appendage_length":
            fields.append(FieldLenField(field.name, None, length_of=ouch.TAIL, fmt="!H"))
        else:
            fields.append(_field(message, field))
    if message.tail:
        fields.append(PacketListField(message.tail, [], OuchOption, length_from=lambda pkt: pkt.appendage_length))
    return _class(f"Ouch{direction}", message, fields, suffix)


def _ouch_classes(tables: dict[int, Message], direction: str) -> dict[int, type[Packet]]:
    return {code: _ouch_class(message, direction, "") for code, message in tables.items()}


def _extended(older: dict[int, type[Packet]], tables: dict[int, Message], direction: str) -> dict[int, type[Packet]]:
    """Classes of the newer revision; a message that is the same in both has one class."""
    return {
        code: older[code] if older[code].spec is message else _ouch_class(message, direction, "Extended")
        for code, message in tables.items()
    }


OUCH_INBOUND = _ouch_classes(ouch.INBOUND, "In")
"""Class of a client's OUCH type byte, older revision."""
OUCH_OUTBOUND = _ouch_classes(ouch.OUTBOUND, "Out")
"""Class of the exchange's OUCH type byte, older revision."""
OUCH_INBOUND_EXTENDED = _extended(OUCH_INBOUND, ouch.INBOUND_EXTENDED, "In")
"""Class of a client's OUCH type byte, newer revision."""
OUCH_OUTBOUND_EXTENDED = _extended(OUCH_OUTBOUND, ouch.OUTBOUND_EXTENDED, "Out")
"""Class of the exchange's OUCH type byte, newer revision."""


def ouch_message(data: bytes, inbound: bool) -> Packet:
    """The OUCH layer of one message, either revision; `Raw` where `ouch.decode` would refuse it."""
    try:
        message, _values = ouch.decode(data, inbound)
    except ValueError:
        return Raw(data)
    older, newer = (OUCH_INBOUND, OUCH_INBOUND_EXTENDED) if inbound else (OUCH_OUTBOUND, OUCH_OUTBOUND_EXTENDED)
    tables = ouch.INBOUND if inbound else ouch.OUTBOUND
    return (older if tables[data[0]] is message else newer)[data[0]](data)


# SoupBinTCP


def _soup_class(message: Message, side: str, inbound: bool) -> type[Packet]:
    after = message.size - 2
    fields: list[Any] = []
    for field in message.fields:
        if field.name != "length":
            fields.append(_field(message, field))
        elif message.tail:
            fields.append(
                FieldLenField("length", None, length_of="data", fmt="!H", adjust=lambda pkt, x, n=after: x + n)
            )
        else:
            fields.append(IntegerField(field, after))

    def rest(pkt: Packet) -> int:
        return max(pkt.length - after, 0)

    if message.tail == "payload":
        fields.append(PacketLenField("data", Raw(b""), lambda data: ouch_message(data, inbound), length_from=rest))
    elif message.tail:
        fields.append(StrLenField("data", b"", length_from=rest))
    return _class(f"Soup{side}", message, fields)


SOUP_SERVER: dict[int, type[Packet]] = {
    code: _soup_class(message, "", inbound=False) for code, message in soup.SERVER.items()
}
"""Class of a server's SoupBinTCP type byte; its tail is the field `data`."""
SOUP_CLIENT: dict[int, type[Packet]] = {
    code: _soup_class(message, "Client" if code in soup.SERVER else "", inbound=True)
    for code, message in soup.CLIENT.items()
}
"""Class of a client's SoupBinTCP type byte; its tail is the field `data`."""


def soup_class(data: bytes, from_server: bool | None = None) -> type[Packet]:
    """The class that dissects a SoupBinTCP packet at the start of `data`; `Raw` if it is cut or unknown.

    `U` is a client's packet unless the direction is known to be the server's.
    """
    if len(data) < soup.HEADER_SIZE:
        return Raw
    end = 2 + int.from_bytes(data[:2], "big")
    order = (SOUP_SERVER, SOUP_CLIENT) if from_server else (SOUP_CLIENT, SOUP_SERVER)
    for classes, tables in zip(order, [soup.SERVER if c is SOUP_SERVER else soup.CLIENT for c in order], strict=True):
        kind = data[2]
        if kind in classes:
            table = tables[kind]
            fits = end >= table.size if table.tail else end == table.size
            return classes[kind] if fits and end <= len(data) else Raw
    return Raw


def _next_soup(pkt: Packet, packets: list[Packet], current: Packet | None, remain: bytes) -> type[Packet] | None:
    if not remain:
        return None
    below = pkt.underlayer
    known = isinstance(below, TCP) and (below.sport in defaults.ORDER_PORTS or below.dport in defaults.ORDER_PORTS)
    return soup_class(remain, below.sport in defaults.ORDER_PORTS if known else None)


class SoupBinTCP(Packet):  # type: ignore[misc]
    """The SoupBinTCP packets of one TCP segment (a packet that the segment cuts is `Raw`)."""

    name = "SoupBinTCP"
    fields_desc = [PacketListField("packets", [], next_cls_cb=_next_soup)]


def _bind() -> None:
    bind_layers(UDP, MoldUDP64, dport=defaults.FEED_PORT)
    for port in defaults.ORDER_PORTS:
        bind_layers(TCP, SoupBinTCP, dport=port)
        bind_layers(TCP, SoupBinTCP, sport=port)


_bind()
