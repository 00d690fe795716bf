"""A simulated device that is reached through its MAC: frames go in and order frames come out as bytes of a GMII.

One clock runs the wire and the core, so the core gets a word every eight cycles at most. Every byte that leaves is held
to the model of the MAC: preamble, padding, FCS and gap.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tickgate.sim import build
from tickgate.sim.device import MINIMUM_GAP_CYCLES, ORDERS_PORT, Device, DeviceError, copied, declare
from tickgate.sw.files.packer import Frames
from tickgate.sw.model import mac as model
from tickgate.sw.spec import net
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.mac import FRAME_SIZE_MAX
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import WORD_BYTES

_SYMBOL = np.dtype([("cycle", "<u8"), ("symbol", "<u4"), ("unused", "<u4")])


class MacDevice(Device):
    """A device behind a GMII.

    Parameters
    ----------
    sizes, faults: as of `Device`; faults of the MAC begin with `mac.`.

    Members
    -------
    port: the model of its MAC, which has seen every byte.

    Raises
    ------
    UserError: as `Device`.
    """

    def __init__(self, sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        super().__init__(sizes, faults=faults)
        self.port = model.Mac()
        handle, u64, pointer = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p
        sent = ("tg_sent", pointer, [handle, ctypes.POINTER(u64)])
        declare(self._lib, (("tg_symbols", None, [handle, pointer, u64]), sent))

    def _compiled(self, waves: bool, faults: frozenset[str]) -> Path:
        return build.shared_object(self.sizes, waves=waves, faults=faults, gmii=True)

    @property
    def via(self) -> str:
        """One line on how frames reach the device."""
        counted = self.port.counters
        return (
            f"through the MAC, as bytes of a GMII: {counted['mac_rx_good']:,} good and {counted['mac_rx_fcs']:,} bad "
            f"frames in, {counted['mac_tx_good']:,} frames out and "
            f"{counted['mac_tx_poisoned']:,} poisoned, one clock for wire and core"
        )

    def play(self, symbols: list[int] | npt.NDArray[np.uint16]) -> None:
        """Puts symbols (see `tickgate.sw.model.mac`) on the wire, one a cycle."""
        line = np.ascontiguousarray(symbols, dtype=np.uint16)
        self._lib.tg_symbols(self._handle, line.ctypes.data, len(line))

    def run(self, frames: Frames, *, errors: npt.NDArray[np.uint8] | None = None,
            gap: int = MINIMUM_GAP_CYCLES, line: int = 0) -> None:  # fmt: skip
        """Puts frames on the wire of feed line A, those marked by `errors` with a wrong FCS; shorter ones are padded.

        `gap` counts words as of `Device`: 3 are preamble, FCS and the smallest gap, each more is 8 byte times.

        Raises
        ------
        UserError: a frame that is too long for the wire; feed line B.
        """
        if line:
            raise UserError("the MAC is in front of feed line A only")
        idle = [0] * (net.INTERFRAME_GAP_BYTES + WORD_BYTES * (gap - MINIMUM_GAP_CYCLES))
        symbols: list[int] = []
        for number, (_, frame) in enumerate(frames):
            if len(frame) > FRAME_SIZE_MAX:
                raise UserError(f"the wire takes frames of up to {FRAME_SIZE_MAX} bytes, not {len(frame)}")
            padded = bytes(frame).ljust(net.FRAME_SIZE_MIN, b"\0")
            bad = errors is not None and bool(errors[number])
            symbols += model.carrier(model.on_wire(padded, bad_fcs=1 if bad else 0))
            symbols += idle
        for _ in self.port.receive(symbols):
            pass  # what it counts is held to the device's registers
        self.play(symbols)

    def sent(self) -> npt.NDArray[np.void]:
        """(cycle, symbol) of each byte with a carrier that was sent since the last `clear`."""
        size = ctypes.c_uint64()
        address = self._lib.tg_sent(self._handle, ctypes.byref(size))
        return copied(address, size.value, _SYMBOL)

    def carriers(self) -> Iterator[tuple[int, list[int]]]:
        """(cycle of the first byte, symbols) of each frame sent since the last `clear`.

        Raises
        ------
        DeviceError: two of them with less than the smallest gap between.
        """
        found = self.sent()
        breaks = np.flatnonzero(np.diff(found["cycle"]) != 1) + 1
        last: int | None = None
        for part in np.split(found, breaks) if len(found) else []:
            first = int(part["cycle"][0])
            if last is not None and first - last <= net.INTERFRAME_GAP_BYTES:
                raise DeviceError(f"a gap of {first - last - 1} byte times in front of the frame sent at cycle {first}")
            last = int(part["cycle"][-1])
            yield first, part["symbol"].tolist()

    def frames(self, port: int = ORDERS_PORT) -> Iterator[tuple[int, bytes]]:
        """As `Device.frames`; those of the order session are taken from the wire.

        A frame of which a byte is not what the model sends is given as it stood on the wire, preamble and FCS included;
        of one whose last word had `error`, an inverted FCS is what it sends.
        """
        if port != ORDERS_PORT:
            yield from super().frames(port)
            return
        words = [frame for _, frame in super().frames(ORDERS_PORT)]
        errors = [error for _, error in self.order_ends()]
        for (cycle, symbols), frame, error in zip(self.carriers(), words, errors, strict=True):
            expected = self.port.send(frame, error)[: -net.INTERFRAME_GAP_BYTES]
            yield cycle, frame if symbols == expected else bytes(symbol & 0xFF for symbol in symbols)

    def differences(self) -> dict[str, tuple[int, int]]:
        """Counters of the MAC that are not what its model counts: (expected, found) by name."""
        return {
            name: (count, found)
            for name, count in self.port.counters.items()
            if (found := self.read(name)) != count & 0xFFFFFFFF
        }
