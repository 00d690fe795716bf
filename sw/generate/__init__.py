"""Seeded generation of market data sessions and of faults in them."""
