"""Telemetry frames to the host, their records, and the bins of the latency histograms that the device counts.

A frame is Ethernet II with the local experimental EtherType 0x88B5 (IEEE 802 clause 9.2.4), a header, and whole records
one behind the other; everything is big-endian. A record is a run of 8-byte words: a common head, then the fields of its
class. The fields are those of the stage's trace record (`tickgate.sw.spec.events`) under the same names.
"""

from __future__ import annotations

from typing import Any, Final

from tickgate.sw.spec import net
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.fields import Field, Kind, Message, at

ETHERTYPE: Final = 0x88B5
DESTINATION_MAC: Final = net.mac("ff:ff:ff:ff:ff:ff")
SOURCE_MAC: Final = net.mac("02:00:00:00:00:11")
VERSION: Final = 1
WORD_BYTES: Final = 8
FRAME_SIZE_MAX: Final = 128
"""A telemetry frame may hold an order frame up for no longer than this."""

HEADER: Final = Message(
    "telemetry", None, 10,
    (
        Field("version", 0, 1, Kind.UINT, "1"),
        Field("count", 1, 1, Kind.UINT, "Records in this frame"),
        Field("frame_sequence", 2, 4, Kind.UINT, "Telemetry frames before this one since reset"),
        Field("lost", 6, 4, Kind.UINT, "Records lost since reset, as the counter telemetry_lost says"),
    ),
    "What stands in front of the records",
    tail="records",
)  # fmt: skip
RECORDS_OFFSET: Final = net.ETHERNET_SIZE + HEADER.size
"""Where the first record starts: a multiple of 8."""

_HEAD: Final = (
    ("telemetry_class", 1, Kind.UINT, "Stage of the record, in pipeline order"),
    ("words", 1, Kind.UINT, "Length of the record in 8-byte words, this one included"),
    ("slot", 1, Kind.UINT, "Slot, 255 every slot or none"),
    ("telemetry_flags", 1, Kind.UINT, "0"),
    ("number", 4, Kind.UINT, "Records of this class before this one since reset, sent or not"),
    ("cycle", 8, Kind.UINT, "Core cycle of the record"),
    ("stamp", 8, Kind.UINT, "Core cycle of the deciding byte"),
    ("seq", 8, Kind.UINT, "Sequence number of the message"),
)


def _u(name: str, size: int) -> tuple[str, int, Kind, str]:
    return (name, size, Kind.UINT, "as in the trace record")


def _pad(size: int) -> tuple[str, int, Kind, str]:
    return ("padding", size, Kind.RAW, "0")


_FIELDS: Final = {
    "feed": (_u("count", 8), _u("length", 2), _u("item", 1), _u("notice", 1), _u("port", 1), _pad(3)),
    "itch": (
        _u("reference", 8), _u("new_reference", 8), _u("quantity", 4), _u("price_e4", 4), _u("itch_type", 1),
        _u("status", 1), _u("kind", 1), _u("notice", 1), _u("side", 1), _u("state_op", 1), _u("state_bits", 1), _pad(1),
    ),
    "book": (
        _u("bid_qty", 8), _u("ask_qty", 8), _u("bid_px_e4", 4), _u("ask_px_e4", 4), _u("kind", 1), _u("itch_type", 1),
        _u("anomaly", 1), _u("validity", 1), _u("state", 1), _u("bbo_changed", 1), _u("overflow", 1), _pad(1),
    ),
    "trigger": (
        _u("wait_seq", 8), _u("price_e4", 4), _u("quantity", 4), _u("flags", 1), _u("condition", 1), _u("fired", 1),
        _u("row", 1), _u("status", 1), _u("wait_slot", 1), _u("wait_row", 1), _pad(1),
    ),
    "risk": (
        _u("entry_cycle", 8), _u("as_of_seq", 8), _u("notional_e4", 8), _u("reasons", 4), _u("reference_e4", 4),
        _u("price_e4", 4), _u("quantity", 4), _u("tokens_symbol", 2), _u("tokens_session", 2), _u("side", 1),
        _u("validity", 1), _u("state", 1), _pad(1),
    ),
    "orders": (_u("user_ref", 4), _u("tcp_seq", 4), _u("length", 2), _u("item", 1), _pad(5)),
}  # fmt: skip


def _record(stage: str) -> Message:
    fields = at(0, *_HEAD, *_FIELDS[stage])
    size = fields[-1].end
    if size % WORD_BYTES or RECORDS_OFFSET % WORD_BYTES:
        raise ValueError(f"telemetry record of {stage}: {size} bytes are not whole words")
    if RECORDS_OFFSET + size > FRAME_SIZE_MAX:
        raise ValueError(f"telemetry record of {stage}: {size} bytes do not fit a frame")
    return Message(f"telemetry_{stage}", None, size, fields, f"Record of the stage {stage}")


CLASSES: Final = tuple(TRACES)
"""Stage of each record class; the index is the class and its bit in the register `telemetry_mask`."""
RECORDS: Final[dict[str, Message]] = {stage: _record(stage) for stage in CLASSES}
"""Record of each stage. The slot of a trigger record is the evaluated one's, of feed 255."""
ALWAYS: Final = ("trigger", "risk", "orders")
"""Classes of which intents, verdicts and orders are sent whatever the mask says."""


def decode(frame: bytes) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """A telemetry frame as its header's values and its records, (stage, values) each.

    Raises
    ------
    ValueError
        Not a telemetry frame, another version, or records that are not as long as they say.
    """
    if len(frame) < RECORDS_OFFSET or net.ETHERNET.unpack(frame)["ethertype"] != ETHERTYPE:
        raise ValueError("not a telemetry frame")
    header = HEADER.unpack(frame[net.ETHERNET_SIZE :])
    if header["version"] != VERSION:
        raise ValueError(f"telemetry version {header['version']}, not {VERSION}")
    data = header.pop("records")
    records = []
    position = 0
    for number in range(header["count"]):
        if position >= len(data) or data[position] >= len(CLASSES):
            raise ValueError(f"record {number} has no known class")
        stage = CLASSES[data[position]]
        values = RECORDS[stage].unpack(data[position : position + RECORDS[stage].size])
        if values["words"] * WORD_BYTES != RECORDS[stage].size:
            raise ValueError(f"record {number} says {values['words']} words")
        records.append((stage, values))
        position += RECORDS[stage].size
    return header, records


HISTOGRAM_STAGES: Final = CLASSES
"""Stages whose latency (`cycle - stamp` of their trace records) the device counts."""
BINS: Final = 32
LINEAR_BINS: Final = 16
"""Bins of one cycle; above them each doubling has two bins, and the last bin takes what is longer."""


def bin_of(latency_cycles: int) -> int:
    """The bin that counts a latency."""
    if latency_cycles < LINEAR_BINS:
        return latency_cycles
    octave = latency_cycles.bit_length() - LINEAR_BINS.bit_length()
    return min(LINEAR_BINS + 2 * octave + (latency_cycles >> (latency_cycles.bit_length() - 2) & 1), BINS - 1)


def bin_start(number: int) -> int:
    """The least latency in cycles that a bin counts."""
    if number < LINEAR_BINS:
        return number
    octave, half = divmod(number - LINEAR_BINS, 2)
    return LINEAR_BINS + half * LINEAR_BINS // 2 << octave
