"""The device's ends of the interfaces: ports of the driver, or the descriptors of TAPs, by the same few calls."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

from tickgate.drivers.errors import LinkDownError
from tickgate.drivers.port import Port

#: No frame is longer, whatever the MTU.
_FRAME_BYTES_MAX = 65_550


class _TapFrame(bytes):
    """A frame that was read: a copy already, with nothing to give back."""

    def release(self) -> None:
        """As of a port's frame."""


class TapEnd:
    """The end of a TAP that is no interface, with the calls of `Port` that the simulated NIC makes.

    Parameters
    ----------
    fd: of the TAP (O_NONBLOCK); owned. name: of its interface, for errors.
    """

    def __init__(self, fd: int, name: str):
        self._fd, self._name = fd, name

    def recv_burst(self, n: int) -> list[_TapFrame]:
        """At most `n` frames that came."""
        found: list[_TapFrame] = []
        while len(found) < n and (data := self._tried(os.read, _FRAME_BYTES_MAX)) is not None:
            found.append(_TapFrame(data))
        return found

    def send(self, data: bytes) -> bool:
        """One frame; whether it was taken.

        Raises
        ------
        LinkDownError: the interface is down.
        """
        return self._tried(os.write, data) is not None

    def send_burst(self, frames: Sequence[Any]) -> int:
        """Nothing waits here: for the empty burst that pushes on what waits in a port."""
        return len(frames)

    def fileno(self) -> int:
        """For select and poll."""
        return self._fd

    def close(self) -> None:
        """Removes the TAP."""
        os.close(self._fd)

    def _tried(self, call: Any, argument: Any) -> Any:
        """What the call gives, None where it would have to wait."""
        try:
            return call(self._fd, argument)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:
                raise LinkDownError(f"{self._name} is down") from None
            raise


End = Port | TapEnd


def taken(end: End, n: int) -> list[bytes]:
    """At most `n` frames that came, copied, their slots given back."""
    found = []
    for frame in end.recv_burst(n):
        found.append(bytes(frame))
        frame.release()
    return found
