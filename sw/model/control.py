"""The control protocol as a device serves it: frames in, register operations and frames out.

The plain reference of `tickgate.sw.spec.control`. One request at a time; a frame that comes while a request is being
executed is the caller's to leave out (`busy`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation, Status

COUNTERS = (
    "control_requests", "control_repeats", "control_foreign", "control_malformed", "control_stale", "control_busy",
)  # fmt: skip


class Served(NamedTuple):
    """What one frame caused.

    Members
    -------
    reads: addresses read, in order.
    writes: (address, value) written, in order and in consecutive cycles.
    frame: the answer, empty where there is none.
    message: handed to the order session, empty where there is none.
    """

    reads: tuple[int, ...] = ()
    writes: tuple[tuple[int, int], ...] = ()
    frame: bytes = b""
    message: bytes = b""


class Control:
    """One device's side of the protocol.

    Parameters
    ----------
    read: gives the value of a register word by its address.
    write: takes (address, value).
    inject: takes a message for the order session, or tells with False that the one before still waits.

    Members
    -------
    counters: this stage's counters by register name.
    owner: Ethernet address and nonce of the session, None before the first HELLO.
    sequence: of its last request.
    """

    def __init__(
        self,
        read: Callable[[int], int],
        write: Callable[[int, int], None] | None = None,
        inject: Callable[[bytes], bool] | None = None,
    ):
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._read, self._write, self._inject = read, write, inject
        self.owner: tuple[int, int] | None = None
        self.sequence = 0
        self._answer = b""

    def busy(self) -> None:
        """A frame came while another one was under way: it is lost."""
        self.counters["control_busy"] += 1

    def frame(self, frame: bytes, armed: bool = False, error: bool = False) -> Served:
        """Serve one frame.

        Parameters
        ----------
        armed: the kill switch is down; only the session's own address may say HELLO then.
        error: of the frame's last word.
        """
        if error:
            return self._drop("control_malformed")
        if not control.is_control(frame):
            return self._drop("control_foreign")
        if not control.ENTRIES_OFFSET <= len(frame) <= control.FRAME_SIZE_MAX:
            return self._drop("control_malformed")
        head = control.HEADER.unpack(frame[14:])
        source = int.from_bytes(frame[6:12], "big")
        operation, nonce, sequence = head["operation"], head["nonce"], head["sequence"]
        if self.owner != (source, nonce):
            if operation != Operation.HELLO or self.owner is not None and armed and self.owner[0] != source:
                return self._drop("control_foreign")
            if head["count"]:
                return self._drop("control_malformed")
            self.owner = (source, nonce)
        elif sequence == self.sequence:
            self.counters["control_repeats"] += 1
            return Served(frame=self._answer)
        elif sequence != self.sequence + 1 & 0xFFFFFFFF:
            return self._drop("control_stale")
        self.counters["control_requests"] += 1
        self.sequence = sequence
        served, status, detail, entries = self._execute(head)
        self._answer = control.encode(
            operation & ~control.ANSWER,
            nonce,
            sequence,
            entries,
            source_mac=control.DEVICE_MAC,
            destination_mac=source,
            is_answer=True,
            status=status,
            detail=detail,
        )
        return served._replace(frame=self._answer)

    def _execute(self, head: dict[str, int | bytes]) -> tuple[Served, Status, int, control.Entries]:
        """Do what a request says: operations, status, detail, the answer's entries."""
        operation, count, data = head["operation"], head["count"], head["entries"]
        assert isinstance(count, int) and isinstance(data, bytes)
        if operation not in tuple(Operation):
            return Served(), Status.OPERATION, 0, ()
        if operation == Operation.INJECT:
            if count > min(control.INJECT_SIZE_MAX, len(data)):
                return Served(), Status.COUNT, 0, ()
            message = data[:count]
            if message and self._inject is not None and not self._inject(message):
                return Served(), Status.BUSY, 0, ()
            return Served(message=message), Status.OK, 0, ()
        room = 0 if operation == Operation.HELLO else min(control.ENTRIES_MAX, len(data) // control.ENTRY.size)
        if count > room:
            return Served(), Status.COUNT, 0, ()
        requested = [control.ENTRY.unpack_tuple(data, at * control.ENTRY.size) for at in range(count)]
        for number, (address, _) in enumerate(requested):
            if not control.is_address(address):
                return Served(), Status.ADDRESS, number, ()
        if operation == Operation.WRITE:
            writes = tuple((address, value) for address, value in requested)
            if self._write is not None:
                for address, value in writes:
                    self._write(address, value)
            return Served(writes=writes), Status.OK, 0, ()
        reads = tuple(address for address, _ in requested)
        if operation == Operation.HELLO:
            reads = control.IDENTITY_ADDRESSES
        return Served(reads=reads), Status.OK, 0, tuple((address, self._read(address)) for address in reads)

    def _drop(self, counter: str) -> Served:
        self.counters[counter] += 1
        return Served()
