"""Host drivers: clock, latency histogram, ports (packet input and output), network namespaces, tuning."""

from pathlib import Path


def get_include() -> str:
    """Folder of the C headers (-I), for modules that cimport ``tickgate.drivers._clock``, ``_histogram``, ``_port``."""
    return str(Path(__file__).parent / "c")
