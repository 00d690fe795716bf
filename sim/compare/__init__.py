"""Gateware against the reference models, message by message, on a market data file."""
