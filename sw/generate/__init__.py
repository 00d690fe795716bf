"""Seeded generation of market data sessions and of faults in them."""

from tickgate.sw.generate.day import Session, blocks, session
from tickgate.sw.generate.faults import FaultOptions, Faults, Frame, apply_faults
from tickgate.sw.generate.options import Mix, SessionOptions

__all__ = [
    "FaultOptions",
    "Faults",
    "Frame",
    "Mix",
    "Session",
    "SessionOptions",
    "apply_faults",
    "blocks",
    "session",
]
