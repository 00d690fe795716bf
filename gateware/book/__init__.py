"""Order book: order table, price levels, best bid and offer, validity and trading state of every slot."""

from tickgate.gateware.book.book import Book

__all__ = ["Book"]
