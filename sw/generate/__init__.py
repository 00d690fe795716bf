"""Seeded generation of market data sessions and of faults in them."""

from tickgate.sw.generate.options import Mix, SessionOptions
from tickgate.sw.generate.day import Session, blocks, session

__all__ = ["Mix", "Session", "SessionOptions", "blocks", "session"]
