"""scapy layers of the control protocol and of telemetry's header, made from their tables; both have one EtherType.

Importing this module binds them to the EtherType: the first byte tells which it is.
"""

from typing import Any

from scapy.fields import ConditionalField, FieldLenField, PacketListField, StrLenField
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, bind_layers

from tickgate.sw.files.scapy_layers import IntegerField
from tickgate.sw.spec import control, telemetry


class ControlEntry(Packet):  # type: ignore[misc]
    """One register word of a control frame."""

    name = "ControlEntry"
    fields_desc = [IntegerField(field) for field in control.ENTRY.fields]

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        """No payload: the rest belongs to the next entry."""
        return b"", s


class _CountField(FieldLenField):  # type: ignore[misc]
    """How many entries follow, or how many bytes of a message."""

    def i2m(self, pkt: Any, x: Any) -> int:
        """As it is built where nothing is given."""
        if x is None and pkt is not None and _is_inject(pkt):
            return len(pkt.message)
        return int(super().i2m(pkt, x))


def _is_inject(pkt: Any) -> bool:
    return bool(pkt.operation == control.Operation.INJECT)


def _control_fields() -> list[Any]:
    fields: list[Any] = []
    for field in control.HEADER.fields:
        if field.name == "count":
            fields.append(_CountField("count", None, count_of="entries", fmt="B"))
        else:
            fields.append(IntegerField(field, control.VERSION if field.name == "version" else 0))
    message = StrLenField("message", b"", length_from=lambda pkt: pkt.count)
    entries = PacketListField("entries", [], ControlEntry, count_from=lambda pkt: 0 if _is_inject(pkt) else pkt.count)
    return [*fields, entries, ConditionalField(message, _is_inject)]


class Control(Packet):  # type: ignore[misc]
    """A request or an answer of the control protocol."""

    name = "Control"
    fields_desc = _control_fields()


class TelemetryHead(Packet):  # type: ignore[misc]
    """The header of a telemetry frame; its records follow as `Raw`."""

    name = "TelemetryHead"
    fields_desc = [IntegerField(field) for field in telemetry.HEADER.fields]


class Tickgate(Packet):  # type: ignore[misc]
    """What the EtherType holds: dissected as what its first byte says."""

    name = "Tickgate"

    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *args: Any, **kargs: Any) -> type[Packet]:
        """The class of a packet by its first byte; `Raw` for any other."""
        kinds = {control.VERSION: Control, telemetry.VERSION: TelemetryHead}
        return kinds.get(_pkt[0] if _pkt else -1, Raw)


bind_layers(Ether, Tickgate, type=control.ETHERTYPE)
bind_layers(Ether, Control, type=control.ETHERTYPE)  # what building a frame writes
bind_layers(Ether, TelemetryHead, type=control.ETHERTYPE)
Ether.payload_guess = [(value, layer) for value, layer in Ether.payload_guess if layer not in (Control, TelemetryHead)]
