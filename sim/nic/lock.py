"""The pace of a client: the device's cycles pass only when a shared-memory client grants them.

The client joins side b of a segment that the simulated NIC made. A grant says how many cycles may pass and how many
frames of each role must have come before; the answer says the cycle that was reached and what left. As nothing passes
between two answers, the same frames under the same grants give the same cycles, however busy the machine is.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from tickgate.drivers.errors import PeerGoneError
from tickgate.drivers.port import Port
from tickgate.sim.nic.ends import taken
from tickgate.sim.nic.nic import Nic
from tickgate.sim.nic.watch import watch
from tickgate.sw.spec.errors import UserError

#: Cycles; frames that must have come at feed A, at feed B, and at the control role.
GRANT = struct.Struct("<QIII")
#: Cycle reached; frames taken in; orders and control frames that left since the last answer; frames that did not come.
ANSWER = struct.Struct("<QIIII")
#: How long frames that a grant names are waited for.
ARRIVAL_S = 2.0
_WAIT_MS = 50


@dataclass(frozen=True)
class Answer:
    """What a grant brought.

    Members
    -------
    cycle: reached. taken: frames fed. orders, control: frames that left. missing: frames that the grant named and that
    did not come in time; then nothing was fed and no cycle passed.
    """

    cycle: int
    taken: int
    orders: int
    control: int
    missing: int


class LockServer:
    """The simulated NIC's side; a client that leaves makes room for the next, and until then no cycle passes.

    Parameters
    ----------
    nic: whose device is at rest between grants. segment: name of the shared memory, which is made and removed here.
    """

    def __init__(self, nic: Nic, segment: str):
        self._nic, self._segment = nic, segment
        self._target = nic.device.cycle
        self._open()

    def _open(self) -> None:
        self._port = Port.open(self._segment, backend="shm", side="a", wait_ms=_WAIT_MS)
        path = Port.segment_path(self._segment)
        self._watched = watch(path, os.stat(path).st_ino)

    def close(self) -> None:
        """Removes the segment."""
        self._port.close()
        self._watched()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Answers grants until `stopped`."""
        while not stopped():
            try:
                self._turn(stopped)
            except PeerGoneError:
                self.close()
                self._open()

    def _turn(self, stopped: Callable[[], bool]) -> None:
        for data in taken(self._port, 1):
            if len(data) == GRANT.size:
                answer = self._grant(*GRANT.unpack(data))
                while not self._port.send(answer) and not stopped():
                    time.sleep(0.001)

    def _grant(self, cycles: int, *wanted: int) -> bytes:
        nic, device = self._nic, self._nic.device
        roles = ("feed_a", "feed_b", "control")
        deadline = time.monotonic() + ARRIVAL_S
        while True:
            nic.take()
            missing = sum(max(0, n - len(nic.taken[role])) for role, n in zip(roles, wanted, strict=True))
            if not missing or time.monotonic() > deadline:
                break
        taken, orders, control = self._moved()
        if not missing:
            self._target += cycles
            nic.feed()
            # Frames may have taken more cycles than were granted: then fewer are left of the next grants.
            device.step(max(0, self._target - device.cycle))
            nic.emit()
        now = self._moved()
        return ANSWER.pack(device.cycle, now[0] - taken, now[1] - orders, now[2] - control, missing)

    def _moved(self) -> tuple[int, int, int]:
        """Frames into the device, and out of it at the orders and control roles, since the beginning."""
        moved = self._nic.statistics
        return sum(moved.into.values()), moved.out["orders"], moved.out["control"]


class LockClient:
    """The client's side: `grant` lets cycles pass.

    Parameters
    ----------
    segment: name of the shared memory of a running simulated NIC.

    Raises
    ------
    PortError: no such segment.
    """

    def __init__(self, segment: str):
        self._port = Port.open(segment, backend="shm", side="b", wait_ms=_WAIT_MS)

    def grant(
        self, cycles: int, *, feed_a: int = 0, feed_b: int = 0, control: int = 0, timeout_s: float = 30
    ) -> Answer:
        """Lets `cycles` pass once so many frames have come at each role.

        Raises
        ------
        UserError: no answer. PeerGoneError: the simulated NIC ended.
        """
        self._port.send(GRANT.pack(cycles, feed_a, feed_b, control))
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for data in taken(self._port, 1):
                return Answer(*ANSWER.unpack(data))
        raise UserError(f"the simulated NIC did not answer a grant for {timeout_s:g} s")

    def close(self) -> None:
        """Leaves."""
        self._port.close()

    def __enter__(self) -> LockClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
