"""Every message of a packet capture as it was sent, frame by frame, through the scapy layers.

Unlike `MoldSource`, which delivers a feed once and in order, this shows what the capture holds: repeated packets,
several sessions, heartbeats, and both directions of an order session.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Packet, Raw

from tickgate.sw.files.frames import locate_tcp, locate_udp
from tickgate.sw.files.mold_source import is_mold, is_soup
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.files.render import option_item, table_record, unknown_record
from tickgate.sw.files.scapy_layers import MoldUDP64, SoupBinTCP
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec import mold, ouch
from tickgate.sw.spec.fields import Message, text
from tickgate.sw.spec.state import Drop


@dataclass(frozen=True, slots=True)
class Captured:
    """One message of a capture.

    Members
    -------
    where : dict
        Packet number from 0, capture time, protocol, and what its packet says of it (session, sequence number).
    record : dict
        The decoded message.
    table : Message or None
        The table that read it.
    """

    where: dict[str, Any]
    record: dict[str, Any]
    table: Message | None


class CaptureReader:
    """The messages of a capture.

    Members
    -------
    packets : int
        Frames so far.
    mold_packets, soup_packets : int
        Packets of either protocol so far.
    unknown : int
        Messages so far that no table reads.

    Raises
    ------
    UserError
        As `PcapReader`.
    """

    def __init__(self, path: str | os.PathLike[str] | ByteStream):
        self._reader = PcapReader(path)
        self.path = self._reader.path
        self.packets = 0
        self.mold_packets = 0
        self.soup_packets = 0
        self.unknown = 0

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def __enter__(self) -> "CaptureReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Captured]:
        """The messages, in the order of the file."""
        for time_ns, frame in self._reader.packets():
            where = {"packet": self.packets, "time_ns": time_ns}
            self.packets += 1
            layer = application_layer(frame)
            if isinstance(layer, MoldUDP64):
                self.mold_packets += 1
                yield from self._mold(layer, where)
            elif isinstance(layer, SoupBinTCP):
                self.soup_packets += 1
                for packet in layer.packets:
                    yield self._soup(packet, where)

    def _mold(self, layer: Packet, where: dict[str, Any]) -> Iterator[Captured]:
        head = {**where, "protocol": "mold", "session": text(layer.session), "sequence": layer.sequence}
        if not layer.blocks:
            name = {mold.HEARTBEAT: "heartbeat", mold.END_OF_SESSION: "end_of_session"}.get(layer.count, "cut")
            yield Captured(head, {"message": name}, None)
        for number, block in enumerate(layer.blocks):
            # scapy makes bytes that are no block raw, and leaves out a message of length 0.
            message = block if isinstance(block, Raw) else block.message or Raw(b"")
            place = {**head, "protocol": "itch", "sequence": layer.sequence + number}
            yield self._captured(place, message, bytes(message))

    def _soup(self, packet: Packet, where: dict[str, Any]) -> Captured:
        carried = packet.fields.get("data")
        if isinstance(carried, Packet):
            return self._captured({**where, "protocol": "ouch"}, carried, bytes(carried))
        return self._captured({**where, "protocol": "soup"}, packet, bytes(packet))

    def _captured(self, where: dict[str, Any], layer: Packet, data: bytes) -> Captured:
        if isinstance(layer, (Raw, NoPayload)):
            self.unknown += 1
            return Captured(where, unknown_record(data), None)
        return Captured(where, layer_record(layer), layer.spec)


def application_layer(frame: bytes) -> Packet | None:
    """The MoldUDP64 or SoupBinTCP layer of a frame, on the default ports or recognised by its form; else None.

    Frames that the feed handler would drop for their headers hold none (scapy itself fails on some of them).
    """
    if isinstance(locate_udp(frame), Drop) and isinstance(locate_tcp(frame), Drop):
        return None
    packet = Ether(frame)
    for kind, carrier, recognise in ((MoldUDP64, UDP, is_mold), (SoupBinTCP, TCP, is_soup)):
        layer = packet.getlayer(kind)
        if layer is None and packet.haslayer(carrier):
            payload = packet[carrier].payload
            if isinstance(payload, Raw) and recognise(payload.load):
                layer = kind(payload.load)
        if layer is not None:
            return layer
    return None


def layer_record(layer: Packet) -> dict[str, Any]:
    """The fields of an ITCH, SoupBinTCP or OUCH layer, as `render` shows them."""
    table: Message = layer.spec
    record = table_record(table, {name: layer.getfieldval(name) for name in table.names})
    if table.tail == ouch.TAIL:
        options = ouch.parse_appendage(b"".join(bytes(option) for option in layer.appendage))
        record["options"] = dict(option_item(tag, value) for tag, value in options)
    elif table.tail == "text":
        record["text"] = text(layer.data)
    return record
