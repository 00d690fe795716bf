"""Streams, layouts, memories and the register bus that components share."""
