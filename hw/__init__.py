"""Boards, timing and area reports: how gateware becomes a bitstream of a named device."""
