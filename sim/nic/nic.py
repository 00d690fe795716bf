"""The loop of the simulated NIC: frames from the ports into the device, cycles, frames from the device to the ports.

The device in this process is fed one line at a time: where one look found frames of both feed lines, they go in by
turns, frame by frame. The control role answers on the control port, and telemetry leaves there too, as the host expects
it.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tickgate.drivers.errors import LinkDownError
from tickgate.sim.compare.inputs import frames_of
from tickgate.sim.device import CONTROL_PORT, MINIMUM_GAP_CYCLES, ORDERS_PORT, TELEMETRY_PORT, Device, FrameAssembler
from tickgate.sim.nic.ends import End, taken
from tickgate.sw.spec import net

#: Frames taken from a port in one turn.
BURST = 64
#: Cycles that pass in a turn beside those of the frames.
TURN_CYCLES = 256
#: Cycles that a frame to the control role has to itself, to be executed and answered.
CONTROL_CYCLES = 256
#: Frames that wait for room in a port; what comes on top is lost and counted.
BACKLOG = 4096
#: Turns without a frame after which the free-running loop sleeps between turns, and how long.
IDLE_TURNS, IDLE_MS = 200, 2

_INTO = ("feed_a", "feed_b", "control")
_OUT_OF = {ORDERS_PORT: "orders", TELEMETRY_PORT: "control", CONTROL_PORT: "control"}


@dataclass
class NicStatistics:
    """Frames by role: into the device, out of it, and out of it but lost because the port took none for long."""

    into: dict[str, int]
    out: dict[str, int]
    lost: dict[str, int]


class Nic:
    """A device behind ports; both stay the caller's.

    Parameters
    ----------
    ports: by role, as in `tickgate.sim.nic.wires.ROLES`.
    keep: whether the device's traces and words are left for the caller, who clears them (`Nic.clear`).
    gap: idle cycles behind each frame of a feed.

    Members
    -------
    statistics: what passed. taken: frames of each role that were taken from the ports and not fed yet.
    """

    def __init__(self, device: Device, ports: Mapping[str, End], *, keep: bool = False, gap: int = MINIMUM_GAP_CYCLES):
        self.device, self.gap = device, gap
        self._ports, self._keep = ports, keep
        self._seen = 0
        self._assembler = FrameAssembler()
        self._backlog: dict[str, deque[bytes]] = {"orders": deque(), "control": deque()}
        self.taken: dict[str, list[bytes]] = {role: [] for role in _INTO}
        none = dict.fromkeys(("feed_a", "feed_b", "orders", "control"), 0)
        self.statistics = NicStatistics(dict(none), dict(none), dict(none))

    def take(self, *roles: str) -> int:
        """Looks for frames at the ports, of these roles or of all; gives how many came."""
        found = 0
        for role in roles or _INTO:
            for frame in self._burst(self._ports[role]):
                self.taken[role].append(frame)
                found += 1
        # What comes to the orders port is TCP of the venue, which is the host's: its own socket on the wire reads it.
        if not roles:
            self._burst(self._ports["orders"])
        return found

    def feed(self) -> None:
        """Feeds the device what was taken."""
        lines = (self.taken["feed_a"], self.taken["feed_b"])
        both = min(map(len, lines))
        for at in range(both):
            for line, frames in enumerate(lines):
                self._run([frames[at]], line)
        for line, frames in enumerate(lines):
            if len(frames) > both:
                self._run(frames[both:], line)
        for frame in self.taken["control"]:
            self.device.control(frame)
            self.device.step(CONTROL_CYCLES)
        for role, frames in self.taken.items():
            self.statistics.into[role] += len(frames)
            frames.clear()

    def _run(self, frames: list[bytes], line: int) -> None:
        self.device.run(frames_of((0, frame) for frame in frames), gap=self.gap, line=line)

    def emit(self) -> int:
        """Sends what left the device; gives how many frames went to the ports, or wait for them."""
        found = 0
        words = self.device.words()
        for port, _, frame, error in self._assembler.frames(words[self._seen :]):
            if error:
                continue  # its FCS is wrong: nobody takes it from a wire
            found += 1
            self._queue(_OUT_OF[port], frame)
        self._seen = len(words)
        if not self._keep:
            self.clear()  # in this process nobody looks at them, and they grow
        for role, waiting in self._backlog.items():
            self._flush(role, waiting)
        return found

    def turn(self, cycles: int = TURN_CYCLES) -> int:
        """One turn of the loop; gives how many frames moved."""
        came = self.take()
        self.feed()
        self.device.step(cycles)
        return came + self.emit()

    def run(self, stopped: Callable[[], bool]) -> None:
        """Free-running: turns until `stopped`, as fast as frames come, and every `IDLE_MS` when none do."""
        poll = select.poll()
        polled = [fd for role in _INTO if (fd := self._ports[role].fileno()) >= 0]
        for fd in polled:
            poll.register(fd, select.POLLIN)
        idle = 0
        while not stopped():
            idle = 0 if self.turn() else idle + 1
            if idle > IDLE_TURNS:
                poll.poll(IDLE_MS)

    def clear(self) -> None:
        """Forgets the device's traces and words so far; frames that are leaving just now are not cut."""
        self.device.clear()
        self.forget()

    def forget(self) -> None:
        """To be called when the device's words were cleared."""
        self._seen = 0

    def _burst(self, end: End) -> list[bytes]:
        try:
            return taken(end, BURST)
        except LinkDownError:
            return []  # as a cable that is pulled: nothing comes

    def _queue(self, role: str, frame: bytes) -> None:
        waiting = self._backlog[role]
        if len(waiting) < BACKLOG:
            waiting.append(frame.ljust(net.FRAME_SIZE_MIN, b"\0") if role == "control" else frame)
        else:
            self.statistics.lost[role] += 1

    def _flush(self, role: str, waiting: deque[bytes]) -> None:
        port = self._ports[role]
        try:
            for _ in range(min(len(waiting), BURST)):
                if not port.send(waiting[0]):
                    break
                waiting.popleft()
                self.statistics.out[role] += 1
            port.send_burst([])
        except LinkDownError:
            self.statistics.lost[role] += len(waiting)
            waiting.clear()
