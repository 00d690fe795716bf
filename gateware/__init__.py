"""Amaranth components, one a pipeline stage."""
