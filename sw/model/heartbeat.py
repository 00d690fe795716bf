"""The host's heartbeat: when it stops, the kill switch goes up and stays up until the host lives again and re-arms."""

from __future__ import annotations


class Heartbeat:
    """What the registers `heartbeat` and `heartbeat_limit_cycles` do, cycle numbers told by the caller.

    Members
    -------
    limit_cycles: 0 never kills.
    """

    def __init__(self) -> None:
        self.limit_cycles = 0
        self._beat_cycle: int | None = None

    def write_limit(self, cycle: int, limit_cycles: int) -> None:
        """The limit is written in this cycle; it counts as a heartbeat."""
        self.limit_cycles = limit_cycles
        self._beat_cycle = cycle if limit_cycles else None

    def beat(self, cycle: int) -> None:
        """The host gives a sign of life in this cycle."""
        self._beat_cycle = cycle if self.limit_cycles else None

    def kill_cycle(self) -> int | None:
        """First cycle in which the kill switch is up if no sign of life comes any more; None where it is never."""
        if self._beat_cycle is None:
            return None
        return self._beat_cycle + max(2, self.limit_cycles)

    def holds_kill(self, cycle: int) -> bool:
        """Whether the kill switch is up in this cycle because the heartbeat is lost."""
        at = self.kill_cycle()
        return at is not None and cycle >= at
