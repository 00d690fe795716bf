"""The release that this source is, as the package, the device and the host tell it."""

from typing import Final

#: Major, minor, patch: the version of the package without its suffix.
RELEASE: Final = (0, 1, 0)


def release_word() -> int:
    """The release as the register `release` holds it."""
    major, minor, patch = RELEASE
    return major << 24 | minor << 16 | patch


def release_text(word: int) -> str:
    """`0.1.0` of the register's value."""
    return f"{word >> 24}.{word >> 16 & 0xFF}.{word & 0xFFFF}"
