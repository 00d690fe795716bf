"""Readers, writers and conversion of ITCH files and packet captures."""
