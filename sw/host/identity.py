"""What a device says it is, and whether this host may talk to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tickgate.sw.host.errors import WrongDeviceError
from tickgate.sw.spec import registers
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.version import release_text, release_word


@dataclass(frozen=True)
class Identity:
    """The identity registers of a device.

    Members
    -------
    build_id: first 64 bits of the hash of the design; 0 of a simulated one.
    release: as the register holds it.
    core_clock_khz: what a device cycle is worth.
    """

    map_hash: int
    build_id: int
    map_version: int
    release: int
    core_clock_khz: int
    size_slots: int
    size_orders: int
    size_levels: int
    size_stash: int

    @property
    def sizes(self) -> Sizes:
        """Sizes of the device.

        Raises
        ------
        WrongDeviceError: sizes that no device has.
        """
        try:
            return Sizes(self.size_slots, self.size_orders, self.size_levels, self.size_stash)
        except UserError as error:
            raise WrongDeviceError(f"the device tells sizes that none has: {error}") from None

    def cycles(self, seconds: float) -> int:
        """Core cycles in `seconds`, at the clock that the device declares."""
        return round(seconds * self.core_clock_khz * 1000)

    def ns(self, cycles: float) -> float:
        """Nanoseconds of `cycles`, at the clock that the device declares."""
        return cycles * 1e6 / self.core_clock_khz if self.core_clock_khz else 0.0


def identity_of(words: Mapping[int, int]) -> Identity:
    """The identity in the answer to a HELLO.

    Raises
    ------
    WrongDeviceError: words are missing.
    """
    values = {}
    try:
        for name in registers.IDENTITY:
            found = registers.BY_NAME[name]
            values[name] = sum(words[found.offset + 4 * w] << 32 * w for w in range(found.words))
    except KeyError as error:
        raise WrongDeviceError(f"the device does not tell the register word {error.args[0]:#x}") from None
    return Identity(**values)


def check_identity(found: Identity, expected_build: int | None = None) -> None:
    """Whether this host may talk to the device.

    Parameters
    ----------
    expected_build: the build id that the device must have; None takes any.

    Raises
    ------
    WrongDeviceError: another register map, or another build; the second line says which side is older.
    """
    if found.map_hash != registers.map_hash():
        raise WrongDeviceError(
            f"the device has another register map ({found.map_hash:#010x}) than this host "
            f"({registers.map_hash():#010x})\n{_older(found)}"
        )
    if expected_build is not None and found.build_id != expected_build:
        what = "a simulated design" if not found.build_id else f"the build {found.build_id:#018x}"
        raise WrongDeviceError(f"the device is {what}, not {expected_build:#018x}\n{_older(found)}")


def _older(found: Identity) -> str:
    """Which side is older, by the version of the map and then by release."""
    known = next((version for version, number in registers.MAP_HISTORY.items() if number == found.map_hash), None)
    # The first register of any map is its hash; what lies behind it may be something else in an older one.
    if known is not None and known < registers.MAP_VERSION:
        return f"the device is older: map version {known}, this host has {registers.MAP_VERSION}"
    mine, theirs = (registers.MAP_VERSION, release_word()), (found.map_version, found.release)
    numbers = (
        f"device: map version {found.map_version}, release {release_text(found.release)}; "
        f"host: map version {registers.MAP_VERSION}, release {release_text(release_word())}"
    )
    if theirs < mine:
        return f"the device is older ({numbers})"
    if theirs > mine:
        return f"this host is older ({numbers})"
    return f"neither says that it is older ({numbers}): one of them was changed without a new number"
