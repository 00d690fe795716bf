"""The engine `gateware` of `tickgate bbo`: best prices as the simulated device tells them, message by message."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tickgate.sim.cli.compare import selection
from tickgate.sim.compare.inputs import Input
from tickgate.sim.compare.run import CompareOptions, configuration
from tickgate.sim.device import Device
from tickgate.sw.cli.progress import progress_bar
from tickgate.sw.files.packer import Frames
from tickgate.sw.model.bbo import BboRow
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import NO_SLOT, EventKind, ItchStatus, Notice
from tickgate.sw.spec.sizes import sizes_named
from tickgate.sw.spec.state import STICKY_VALIDITY, Anomaly, Validity

_UNSYNCED = int(Validity.UNSYNCED)
_INCOMPLETE = int(Validity.INCOMPLETE)
#: Validity bits that a notice clears and sets in every slot; NONE stands for a message of a wrong length.
_EVERY_SLOT = {
    int(Notice.NONE): (0, _INCOMPLETE),
    int(Notice.GAP): (0, int(Validity.GAP)),
    int(Notice.FCS): (0, int(Validity.FCS)),
    int(Notice.NEW_SESSION): (int(STICKY_VALIDITY), _UNSYNCED),
    int(Notice.MARK): (int(STICKY_VALIDITY) | _UNSYNCED, 0),
    int(Notice.SYNC): (_UNSYNCED, 0),
}
_WITHOUT_BOOK = (int(ItchStatus.UNSUBSCRIBED), int(ItchStatus.UNKNOWN_TYPE))
_ITCH_FIELDS = ("status", "notice", "reference", "new_reference", "kind")
_BOOK_FIELDS = ("slot", "bid_px_e4", "bid_qty", "ask_px_e4", "ask_qty", "validity", "anomaly", "old_qty_after")
_ADD, _REPLACE, _DELETE = int(EventKind.ADD), int(EventKind.REPLACE), int(EventKind.DELETE)
_FIRST = (0, 0, 0, 0, 1)


class RowMaker:
    """BBO rows out of a device's trace records.

    A slot's row follows from the records of its own messages, and its validity also from what concerns every slot. That
    an order of one slot was named by a message of another makes both incomplete, but the record names one: so the slot
    of each live order is kept.

    Parameters
    ----------
    config: which locate has which slot. The device has just been loaded with it.

    Members
    -------
    index: messages so far.
    """

    def __init__(self, config: Config):
        slots = len(config.slots)
        self._locates = [slot.symbol["locate"] for slot in config.slots]
        self._prices: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)] * slots
        self._validity = [_UNSYNCED] * slots
        self._rows: dict[int, tuple[int, int, int, int, int]] = {}
        self._slot_of: dict[int, int] = {}
        self._told = True
        self.index = 0

    def rows(self, itch: npt.NDArray[Any], book: npt.NDArray[Any]) -> Iterator[BboRow]:
        """The rows of a batch of records of the parser and of the book."""
        after = iter(zip(*(book[name].tolist() for name in _BOOK_FIELDS), strict=True))
        for status, notice, reference, new_reference, kind in zip(
            *(itch[name].tolist() for name in _ITCH_FIELDS), strict=True
        ):
            if status in _WITHOUT_BOOK:
                yield from self._changed(None)
                continue
            slot, *prices, validity, anomaly, rest = next(after)
            if status == ItchStatus.NOTICE or status == ItchStatus.WRONG_LENGTH:
                clear, bits = _EVERY_SLOT[notice]
                self._validity = [known & ~clear | bits for known in self._validity]
                self._told = False
                if status == ItchStatus.NOTICE:
                    if notice == Notice.NEW_SESSION:
                        self._prices = [(0, 0, 0, 0)] * len(self._prices)
                        self._slot_of.clear()
                    continue  # it shows with the message that follows
                slot = NO_SLOT
            if slot == NO_SLOT:
                yield from self._changed(None)
                continue
            self._prices[slot] = tuple(prices)
            self._validity[slot] = validity
            if kind > _REPLACE:
                yield from self._changed(None)
                continue
            self._order(slot, kind, reference, new_reference, anomaly, rest)
            yield from self._changed(slot)

    def _order(self, slot: int, kind: int, reference: int, new_reference: int, anomaly: int, rest: int) -> None:
        """Keeps whose the live orders are."""
        if anomaly == Anomaly.WRONG_LOCATE:
            other = self._slot_of.get(reference)
            if other is not None:
                self._validity[other] |= _INCOMPLETE
                self._told = False
        elif kind == _ADD:
            if not anomaly:
                self._slot_of[reference] = slot
        elif anomaly != Anomaly.UNKNOWN_REFERENCE:
            if kind in (_REPLACE, _DELETE) or not rest:
                self._slot_of.pop(reference, None)
            if kind == _REPLACE and not anomaly:
                self._slot_of[new_reference] = slot

    def _changed(self, slot: int | None) -> Iterator[BboRow]:
        """One message is done, of `slot`; the rows of all locates that had one are looked at where all may change."""
        index = self.index
        self.index += 1
        slots: list[int] = [] if slot is None else [slot]
        if not self._told:
            self._told = True
            slots = [s for s, locate in enumerate(self._locates) if locate in self._rows or s == slot]
            slots.sort(key=self._locates.__getitem__)
        for s in slots:
            row = (*self._prices[s], int(not self._validity[s]))
            locate = self._locates[s]
            if self._rows.get(locate, _FIRST) != row:
                self._rows[locate] = row
                yield (index, locate, *row)


def rows(path: str, args: argparse.Namespace) -> Iterator[BboRow]:
    """The rows of a file as the device tells them; of the busiest symbols where the options choose none.

    Parameters
    ----------
    path: BinaryFILE or capture. args: the options of `tickgate bbo`.

    Raises
    ------
    UserError: the file or an option is not what it should be, or a tool is missing. DeviceError: the device hung.
    """
    sizes = sizes_named(args.size)
    chosen = selection(args, sizes.slots)
    stop = None if args.limit is None else args.start + args.limit
    options = CompareOptions(path=Path(path), sizes=sizes, selection=chosen)
    source = Input(options.path)
    with progress_bar("deriving a configuration") as update:
        config = configuration(options, source, lambda what, share, count: update(share, count))
    with progress_bar("device") as update, Device(sizes) as device:
        device.load(config)
        device.clear()
        maker = RowMaker(config)
        for frames in source.batches():
            for row in _run(device, maker, frames):
                if stop is not None and row[0] >= stop:
                    return
                if row[0] >= args.start:
                    yield row
            update(source.progress, maker.index)
            if stop is not None and maker.index >= stop:
                return


def _run(device: Device, maker: RowMaker, frames: Frames) -> Iterator[BboRow]:
    device.run(frames)
    device.drain()
    found = device.traces()
    device.clear()
    yield from maker.rows(found["itch"], found["book"])
