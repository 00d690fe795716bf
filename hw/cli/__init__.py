"""Subcommands of the hardware side, found by name through the launcher."""
