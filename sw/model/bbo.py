"""Best bid and offer rows of the true book."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tickgate.sw.model.itch import BAD_SIDE, picker
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import BUY, SELL, Notice

#: index, locate, best bid, its shares, best ask, its shares, valid.
BboRow = tuple[int, int, int, int, int, int, int]

HEADER = ("index", "locate", "bid_px", "bid_qty", "ask_px", "ask_qty", "valid")

_SIDES = {itch.BUY: BUY, itch.SELL: SELL}
_FIRST = (0, 0, 0, 0, 1)


def _taker(message: Any, *names: str) -> Callable[[bytes], tuple[Any, ...]]:
    return picker(message, "stock_locate", *names)


_ADD = {m.type_byte: _taker(m, "reference", "side", "shares", "price_e4")
        for m in (itch.ADD_ORDER, itch.ADD_ORDER_MPID)}  # fmt: skip
_REDUCE = {m.type_byte: _taker(m, "reference", "shares")
           for m in (itch.ORDER_EXECUTED, itch.ORDER_EXECUTED_WITH_PRICE, itch.ORDER_CANCEL)}  # fmt: skip
_DELETE = {itch.ORDER_DELETE.type_byte: _taker(itch.ORDER_DELETE, "reference")}
_REPLACE = {
    itch.ORDER_REPLACE.type_byte: _taker(
        itch.ORDER_REPLACE, "original_reference", "new_reference", "shares", "price_e4"
    )
}


def apply_message(book: TrueBook, data: bytes) -> int | None:
    """Apply one message to a true book whose symbols are known by locate; returns the locate it may have changed.

    Unknown types, wrong lengths and types that change no book return None.
    """
    code = data[0] if data else 0
    if itch.LENGTHS.get(code) != len(data):
        return None
    if (take := _ADD.get(code)) is not None:
        locate, reference, side, quantity, price_e4 = take(data)
        book.add(locate, reference, _SIDES.get(side, BAD_SIDE), quantity, price_e4)
    elif (take := _DELETE.get(code)) is not None:
        locate, reference = take(data)
        book.delete(locate, reference)
    elif (take := _REDUCE.get(code)) is not None:
        locate, reference, quantity = take(data)
        book.reduce(locate, reference, quantity)
    elif (take := _REPLACE.get(code)) is not None:
        locate, reference, new_reference, quantity, price_e4 = take(data)
        book.replace(locate, reference, new_reference, quantity, price_e4)
    else:
        return None
    return int(locate)


def bbo_rows(items: Iterable[bytes | Notice]) -> Iterator[BboRow]:
    """A row whenever a locate's best prices, quantities or validity differ from its row before.

    Parameters
    ----------
    items: messages in the order of the feed, and between them what the feed had to tell: `Notice.GAP` and `Notice.FCS`
        make every symbol invalid from the next message on, `Notice.NEW_SESSION` forgets all orders and makes it valid.
    """
    book = TrueBook()
    rows: dict[int, tuple[int, int, int, int, int]] = {}
    valid = 1
    told = True
    index = 0
    for item in items:
        if isinstance(item, Notice):
            if item in (Notice.GAP, Notice.FCS):
                valid, told = 0, False
            elif item == Notice.NEW_SESSION:
                book.forget_orders()
                valid, told = 1, False
            continue
        locate = apply_message(book, item)
        if not told:
            told = True
            changed = sorted(rows.keys() | ({locate} if locate is not None else set()))
        else:
            changed = [locate] if locate is not None else []
        for key in changed:
            row = (*book.bbo(key), valid)
            if rows.get(key, _FIRST) != row:
                rows[key] = row
                yield (index, key, *row)
        index += 1
