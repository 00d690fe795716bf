"""Amaranth layouts and port signatures made from the records of `tickgate.sw.spec`."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from tickgate.sw.spec import events, rows
from tickgate.sw.spec.records import Record


def layout(record: Record) -> data.StructLayout:
    """The record as a structure, its first field in the lowest bits."""
    return data.StructLayout({f.name: f.bits for f in record.fields})


def flow(record: Record) -> stream.Signature:
    """A stream of the record that can never be held up (`ready` is always 1)."""
    return stream.Signature(layout(record), always_ready=True)


def elastic(record: Record) -> stream.Signature:
    """A stream of the record with back-pressure."""
    return stream.Signature(layout(record))


class RowPort(wiring.Signature):
    """One configuration row on its way to the stage that keeps it.

    Members
    -------
    row: Out(layout of the record), the shadow registers; steady in the cycle of `commit`.
    select: Out(7), slot, or 2 x slot + side.
    commit: Out(1), high for one cycle: take the row over whole.
    """

    def __init__(self, record: Record):
        self.record = record
        super().__init__({"row": Out(layout(record)), "select": Out(7), "commit": Out(1)})


def counters(names: tuple[str, ...]) -> data.StructLayout:
    """32-bit wrapping counters by register name (`tickgate.sw.spec.registers.counter_names`)."""
    return data.StructLayout({name: 32 for name in names})


FRAME = layout(events.FRAME_WORD)
ROW_PORTS = {record.name.removesuffix("_row"): record for record, _ in rows.ROWS}

#: What the device tells its surroundings at once: `message` and `order` are pulses, `book_valid` is of the slot that
#: changed last.
STATUS = data.StructLayout({"armed": 1, "session_open": 1, "book_valid": 1, "message": 1, "order": 1})
