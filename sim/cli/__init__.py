"""Subcommands of the simulation side, found by name through the launcher."""
