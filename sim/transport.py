"""The simulated device in this process as a transport of the host: its control role, and its telemetry."""

from __future__ import annotations

import time

from tickgate.sim.device import CONTROL_PORT, TELEMETRY_PORT, Device
from tickgate.sw.host.transport import Transport
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named

#: Cycles of the device that one look for frames takes.
STEP_CYCLES = 64


class SimTransport(Transport):
    """Frames to and from a simulated device, which runs only while frames are sent or waited for.

    Parameters
    ----------
    device: stays the caller's, who may run feed frames through it between requests.
    owned: close it with the transport.
    """

    def __init__(self, device: Device, *, owned: bool = False):
        self.device, self._owned = device, owned

    def send(self, frame: bytes) -> None:
        """One frame into the control role."""
        self.device.control(frame)

    def receive(self, timeout_s: float) -> list[bytes]:
        """Frames of the control role and of telemetry; the device runs until one has come."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.device.step(STEP_CYCLES)
            found = [frame for port in (CONTROL_PORT, TELEMETRY_PORT) for _, frame in self.device.frames(port)]
            if found:
                self.device.drain()  # so that no frame is cut in two
                found = [frame for port in (TELEMETRY_PORT, CONTROL_PORT) for _, frame in self.device.frames(port)]
                self.device.clear()
                return found
            if time.monotonic() >= deadline:
                return []

    def close(self) -> None:
        """Frees the device where it is owned."""
        if self._owned:
            self.device.close()


def open_sim(argument: str) -> SimTransport:
    """A fresh simulated device of a size of the ladder.

    Raises
    ------
    UserError: no such size, or a tool is missing.
    """
    return SimTransport(Device(sizes_named(argument or DEFAULT_SIZE)), owned=True)
