"""Planted faults: what a component that declares some accepts."""

from collections.abc import Mapping


def checked_faults(faults: frozenset[str], declared: Mapping[str, str]) -> frozenset[str]:
    """The faults that a component is built with, if it declares them all.

    Parameters
    ----------
    faults: names, as the constructor got them.
    declared: the component's `FAULTS`, name to what is wrong.

    Raises
    ------
    ValueError: a fault that is not declared.
    """
    if unknown := sorted(faults - declared.keys()):
        raise ValueError(f"fault must be one of {', '.join(declared)}, not {unknown[0]!r}")
    return faults
