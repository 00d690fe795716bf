"""Order book: order table, price levels, best bid and offer, validity and trading state of every slot."""

from tickgate.gateware.book.book import Book
from tickgate.gateware.book.dump import decode_dump, dump_signals

__all__ = ["Book", "decode_dump", "dump_signals"]
