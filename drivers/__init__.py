"""Host drivers: clock, latency histogram, later packet input and output."""

from pathlib import Path


def get_include() -> str:
    """Folder of the C headers that a module which cimports ``tickgate.drivers._clock`` or ``_histogram`` needs (-I)."""
    return str(Path(__file__).parent / "c")
