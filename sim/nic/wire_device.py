"""A simulated device that is reached over the wire, for the comparison: every frame passes the kernel and the driver.

Frames go through a port of the user's side, the veth, a port of the device's side and the gateware; orders come back
the same way. A bounded number of frames is under way: the next ones wait until the frame counter of the device, asked
over the control role, says that the earlier ones came. Traces and memories are looked at in this process: no wire
carries them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from tickgate.drivers.port import Port
from tickgate.drivers.transport import PortTransport
from tickgate.sim.device import MINIMUM_GAP_CYCLES, ORDERS_PORT, Device, DeviceError
from tickgate.sim.nic.ends import taken
from tickgate.sim.nic.nic import BURST, Nic
from tickgate.sim.nic.wires import DEFAULT_BACKEND, RING, TAP, VETH, Wires
from tickgate.sw.files.packer import Frames
from tickgate.sw.host.device import Device as HostDevice
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes

_TAP_PREFIX = f"{TAP}-"
#: Frames under way at most.
WINDOW = 64
#: How long a frame may be under way before it is lost.
ARRIVAL_S = 2.0


class _Pumped(PortTransport):
    """A port's transport whose waiting lets the simulated NIC run, as both are in this process."""

    def __init__(self, port: Port, turn: Callable[[], None]):
        super().__init__(port)
        self._turn = turn

    def receive(self, timeout_s: float) -> list[bytes]:
        """What came, turning the simulated NIC meanwhile."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._turn()
            if (found := super().receive(0)) or time.monotonic() >= deadline:
                return found


class WireDevice(Device):
    """A device behind its interfaces.

    Parameters
    ----------
    sizes, faults: as of `Device`. window: frames under way at most.
    backend: of the driver on the user's side; with `tap-` in front of it the interfaces are TAPs.

    Members
    -------
    frames_sent, frames_lost: over the wire into feed line A or B, and those of them that the device did not count.
    most_under_way: the most that were sent and not yet acknowledged. orders_received: order frames that came back.

    Raises
    ------
    PortError: as `Wires`. UserError: as `Device`.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        faults: frozenset[str] = frozenset(),
        backend: str = DEFAULT_BACKEND,
        window: int = WINDOW,
    ):
        super().__init__(sizes, faults=faults)
        self.frames_sent = self.frames_lost = self.most_under_way = self.orders_received = 0
        self._window = window
        self._link = TAP if backend.startswith(_TAP_PREFIX) else VETH
        backend = backend.removeprefix(_TAP_PREFIX)
        self._orders: list[bytes] = []
        self._host: HostDevice | None = None
        self._stack = ExitStack()
        try:
            wires = self._stack.enter_context(Wires(link=self._link))
            ends = {r: self._stack.enter_context(wires.open(r, backend=backend, ring=RING)) for r in wires.ports}
        except BaseException:
            self.close()
            raise
        self._lines = (ends["feed_a"], ends["feed_b"])
        self._orders_end = ends["orders"]
        self._transport = _Pumped(ends["control"], self._turn)
        self._transport.name = "the simulated NIC"
        self._nic = Nic(self, wires.ports, keep=True)
        self._feeding = False

    @property
    def via(self) -> str:
        """One line on what the frames passed and how many of them did."""
        port = self._lines[0]
        through = f"TAP and {port.backend}" if self._link == TAP else port.backend
        return (
            f"over the wire ({through}, {port.mode}): {self.frames_sent:,} frames in, {self.frames_lost:,} lost, "
            f"at most {self.most_under_way} unacknowledged; {self.orders_received:,} order frames back"
        )

    def close(self) -> None:
        """Removes the interfaces and frees the model."""
        self._stack.close()
        super().close()

    def run(self, frames: Frames, *, errors: npt.NDArray[np.uint8] | None = None,
            gap: int = MINIMUM_GAP_CYCLES, line: int = 0) -> None:  # fmt: skip
        """Sends frames to feed line `line` over the wire, and waits until the device has counted them all.

        Raises
        ------
        UserError: a frame that the interfaces do not take. DeviceError: frames were lost.
        """
        if self._feeding:  # called by the simulated NIC for what came over the wire
            super().run(frames, errors=errors, gap=gap, line=line)
            return
        if errors is not None and errors.any():
            raise UserError("a frame with an error does not pass an interface: compare it without --via")
        self._nic.gap = gap
        port = self._lines[line]
        waiting = [frame for _, frame in frames]
        if too_long := [len(f) for f in waiting if not 14 <= len(f) <= port.max_frame + 4]:
            raise UserError(f"the interfaces take frames of 14 to {port.max_frame} bytes, not {too_long[0]}")
        counted = self._counted()
        before = counted
        sent, at = 0, time.monotonic()
        while (arrived := counted - before & 0xFFFFFFFF) < len(waiting):
            room = self._window - (sent - arrived)
            for frame in waiting[sent : sent + min(room, BURST)]:
                if not port.send(frame):
                    break
                sent += 1
            port.send_burst([])
            self.most_under_way = max(self.most_under_way, sent - arrived)
            self._turn()
            last, counted = counted, self._counted()
            if counted != last:
                at = time.monotonic()
            elif time.monotonic() - at > ARRIVAL_S:
                self.frames_lost += sent - arrived
                raise DeviceError(f"{sent - arrived} of {sent} frames did not reach the device: {port.stats()}")
        self.frames_sent += sent

    def drain(self, quiet: int | None = None, limit: int = 1_000_000) -> None:
        """As `Device.drain`; then what left the device has crossed the wire too."""
        super().drain(quiet, limit)
        self._turn()
        expected = sum(1 for _ in super().frames(ORDERS_PORT))
        came, at = len(self._orders), time.monotonic()
        while len(self._orders) < expected and time.monotonic() - at < ARRIVAL_S:
            self._turn()
            if len(self._orders) != came:
                came, at = len(self._orders), time.monotonic()

    def frames(self, port: int = ORDERS_PORT) -> Iterator[tuple[int, bytes]]:
        """Of the order session: the frames that came over the wire, with the cycles in which they left."""
        found = super().frames(port)
        if port != ORDERS_PORT:
            return found
        cycles = [cycle for cycle, _ in found]
        return iter([(cycles[min(i, len(cycles) - 1)] if cycles else 0, f) for i, f in enumerate(self._orders)])

    def clear(self) -> None:
        """Forgets traces, words and orders so far."""
        super().clear()
        self._nic.forget()
        self._orders.clear()

    def _turn(self) -> None:
        self._feeding = True
        try:
            self._nic.turn(0)
        finally:
            self._feeding = False
        while found := taken(self._orders_end, BURST):
            self._orders += found
            self.orders_received += len(found)

    def _counted(self) -> int:
        """The device's frame counter, asked over the control role."""
        if self._host is None:
            self._host = HostDevice(self._transport, timeout_s=1.0)
        return self._host.read("frames")["frames"]
